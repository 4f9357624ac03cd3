// A training batch out of a data set of small images: chosen, moved, mirrored and normalised in one pass.
#pragma once
#include "base.h"

namespace nd { namespace ND_ISA {

// Images (channels, height, width) of bytes, one after another.
struct Images {
    const uint8_t* pixels;
    int64_t channels, height, width;
};

// What is done to each image of a batch: image `index` moved by `top` and `left` less `padding`, mirrored left to right.
struct Moves {
    const int64_t *index, *top, *left;
    const uint8_t* mirror;
    int64_t padding;
    bool reflect;  // what moves in is the image reflected at its border; otherwise zero
};

// Where coordinate i of an axis of `size` comes from; -1 is a zero from outside. Needs -size < i < 2 size - 1.
ND_INLINE int64_t source_of(int64_t i, int64_t size, bool reflect) {
    if (i >= 0 && i < size) return i;
    if (!reflect) return -1;
    return i < 0 ? -i : 2 * (size - 1) - i;
}

// y[i, c, r, s] = x[index[i], c, r + top[i] - padding, s + left[i] - padding] scale[c] + shift[c]
inline void image_batch(const Executor& executor, int64_t count, const Images& x, const Moves& moves, const float* scale,
                        const float* shift, float* y) {
    const int64_t area = x.height * x.width;
    parallel(executor, count, [&](int64_t i) {
        const uint8_t* image = x.pixels + moves.index[i] * x.channels * area;
        float* out = y + i * x.channels * area;
        constexpr int64_t kColumns = 256;  // at a time: their sources are worked out once for all rows
        int64_t source[kColumns];
        for (int64_t first = 0; first < x.width; first += kColumns) {
            const int64_t columns = min(kColumns, x.width - first);
            for (int64_t s = 0; s < columns; ++s) {
                const int64_t column = moves.mirror[i] ? x.width - 1 - (first + s) : first + s;
                source[s] = source_of(column + moves.left[i] - moves.padding, x.width, moves.reflect);
            }
            for (int64_t c = 0; c < x.channels; ++c)
                for (int64_t r = 0; r < x.height; ++r) {
                    const int64_t row = source_of(r + moves.top[i] - moves.padding, x.height, moves.reflect);
                    const uint8_t* from = image + c * area + row * x.width;
                    float* to = out + c * area + r * x.width + first;
                    for (int64_t s = 0; s < columns; ++s) {
                        const float pixel = row < 0 || source[s] < 0 ? 0.0f : float(from[source[s]]);
                        to[s] = pixel * scale[c] + shift[c];
                    }
                }
        }
    });
}

}}  // namespace nd::ND_ISA
