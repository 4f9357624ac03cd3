// Groups of arguments of the fused kernels: plain data, the same for every instruction set.
#pragma once
#include "base.h"

namespace nd {

// A tensor (batch, head, row, column) with contiguous columns and any other strides.
template <class T>
struct Heads {
    T* data;
    int64_t batch, head, row;
    ND_FN T* at(int64_t b, int64_t h) const { return data + b * batch + h * head; }
};

// Causal: the last query sees all keys, each query before it one fewer. Needs keys >= queries.
template <class Batch = int64_t, class Head = int64_t, class Queries = int64_t, class Keys = int64_t, class Depth = int64_t>
struct AttentionShape {
    Batch batch;
    Head heads;
    Queries queries;
    Keys keys;
    Depth depth;
    float scale;
    bool causal;
};

// Queries (batch, heads, steps, depth) of sequences whose keys and values are kept as (slots, context, heads, depth).
struct CacheShape {
    int64_t batch, heads, steps, depth, slots, context;
    float scale;
};

// What the rows of a cross entropy are compared with: whole numbers in 0..cols-1, of which `smoothing` is spread over all
// columns. Rows with the label `ignored` do not count; NaN ignores none.
struct Labels {
    const float* at;
    float smoothing, ignored;
};

struct AttentionGradientInputs {
    Heads<const float> g, q, k, v, out;
    const float* lse;
};
struct AttentionGradientOutputs {
    Heads<float> dq, dk, dv;
};

// Everything that the forward pass took and gave, and the gradients of out and of the last cell.
struct LstmGradientInputs {
    const float *d_out, *d_c_last, *out, *cells, *act, *h0, *c0, *w_hh;
};

struct GruGradientInputs {
    const float *d_out, *out, *act, *h0, *w_hh;
};

// x (images, pixels, channels), each `width()` neighbouring channels a group.
struct GroupShape {
    int64_t images, pixels, channels, groups;
    ND_FN int64_t width() const { return channels / groups; }
};

// An array of floats.
struct Flat {
    const float* data;
    int64_t count;
};

// One parameter's part of an optimizer's step: flat arrays of one length. `first` and `second` are what the optimizer keeps of
// it, a velocity or the two moments; null where it keeps nothing.
struct Update {
    int64_t count;
    const float *param, *grad;
    float *out, *first, *second;
};

struct SgdStep {
    float lr, keep, take, decay;
};
struct MomentumStep {
    float lr, momentum, decay;
    bool nesterov;
};
struct AdamStep {
    float beta1, beta2, eps;
    float take1, take2;  // 1 - beta1 and 1 - beta2, rounded once
    float decay;         // decay p is added to the gradient
    float shrink;        // p is multiplied by this first: 1 - lr weight_decay for AdamW, else 1
    float rate;          // lr / (1 - beta1^t)
    float correction;    // 1 / (1 - beta2^t)
};

// Element (i, j) is data[i * row + j * column]; any strides, so that transposed views cost nothing.
struct Matrix {
    const float* data;
    int64_t row, column;
};
// The first of a batch, and the step to the next.
struct Matrices {
    Matrix first;
    int64_t step;
    ND_FN Matrix at(int64_t i) const { return {first.data + i * step, first.row, first.column}; }
};

// The steps of a map (N, H, W, C).
struct Strides4 {
    int64_t n, h, w, c;
};

// Of a convolution with a square kernel.
struct ConvSizes {
    int64_t images, height, width, in, out, kernel, stride, padding;
};

// An NHWC operand with any strides.
struct Map {
    const float* p;
    Strides4 strides;
};

// How many outputs a convolution has along an axis.
ND_FN constexpr int64_t conv_outputs(int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
    return size + 2 * padding < kernel ? 0 : (size + 2 * padding - kernel) / stride + 1;
}

// An epilogue: its steps, in order. Plain data, the same for every instruction set and every layer, so that layers share the
// code of the tiles, which compilers spend their time on.
struct Step {
    enum Kind : int64_t { relu, bias, add, relu6, silu, hard_sigmoid, hard_swish, kinds };
    Kind kind;
    const float* with;  // the bias, zero-padded to whole blocks of 16, or what is added, laid out like the output

    static ND_FN constexpr bool reads(Kind kind) { return kind == bias || kind == add; }
};
struct Steps {
    static constexpr int64_t most = 16;
    Step step[most];
    int64_t count = 0;
};

// A banded matrix (outputs, size), which says what the outputs of one axis read: row i is zero but for weights(i)[0], ... in
// the columns first[i] .. first[i] + count(i) - 1.
struct Bands {
    int64_t outputs, size;
    const int64_t *first, *start;
    const float* weight;

    ND_FN int64_t count(int64_t i) const { return start[i + 1] - start[i]; }
    ND_FN int64_t end(int64_t i) const { return first[i] + count(i); }
    ND_FN const float* weights(int64_t i) const { return weight + start[i]; }
};

// A map whose channels lie side by side, and the distances between its images, rows and pixels.
struct Pixels {
    const float* p;
    int64_t image, row, pixel;

    ND_FN const float* at(int64_t n, int64_t y, int64_t x) const { return p + n * image + y * row + x * pixel; }
};

using Planes = Pixels;

// Output (i, j) of (N, rows, columns, C) reads the input (i stride + u dilation - top, j stride + v dilation - left) for
// the taps u, v < kernel.
struct DepthwiseShape {
    int64_t images, height, width, channels, kernel, stride, top, left, dilation;

    ND_FN int64_t outputs(int64_t size, int64_t padding) const {
        const int64_t reach = size + 2 * padding - (kernel - 1) * dilation - 1;
        return reach < 0 ? 0 : reach / stride + 1;
    }
    ND_FN int64_t rows() const { return outputs(height, top); }
    ND_FN int64_t columns() const { return outputs(width, left); }
};

}  // namespace nd
