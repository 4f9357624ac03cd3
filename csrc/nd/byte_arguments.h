// Groups of arguments of kernels for maps of bytes: plain data, the same for every instruction set.
#pragma once
#include "base.h"

namespace nd {

// x (N, H, W, in) of bytes, `in` a multiple of 4; `zero` is what stands for 0 in it, and lies around it.
struct ByteConvShape {
    int64_t height, width, in, out, kernel, stride, padding, zero;
};

// What becomes of a column's sum: scale times it, relu, plus what another map of bytes stands for, relu; all in steps of the
// result, in which `zero` stands for 0 if it is one of bytes.
struct ByteEpilogue {
    const float* scale;  // of each column, zeros behind the last
    bool relu_first, relu_last;
    const uint8_t* other;  // laid out like the result, or null
    float ratio;           // its step over the result's
    int64_t other_zero, zero;
};

}  // namespace nd
