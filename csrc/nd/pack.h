// Rearranging operands for the tiles: right operands into blocks of 16 columns, left operands into short columns.
#pragma once
#include "arguments.h"
#include "shuffle.h"
#include "tile.h"

namespace nd { namespace ND_ISA {

// out[k * step + i] = in[i * row + k] for i < count, k < depth, and zero for count <= i < kLanes.
inline void transpose_strip(const float* in, int64_t row, int64_t count, int64_t depth, float* out, int64_t step) {
    for (int64_t k = 0; k < depth; k += kLanes) {
        const int64_t left = min<int64_t>(depth - k, kLanes);
        Vec v[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i)
            v[i] = i >= count ? Vec{} : left == kLanes ? load(in + i * row + k) : load_first(in + i * row + k, left);
        transpose(v);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i)
            if (i < left) store(out + (k + i) * step, v[i]);
    }
}

// out[k][16] = the first `columns` <= 16 columns of b, `depth` deep, and zeros behind them.
inline void pack_block(const Matrix& b, int64_t depth, int64_t columns, float* out) {
    if (b.row == 1 && b.column != 1) {
        for (int64_t part = 0; part < kBlock; part += kLanes)
            transpose_strip(b.data + part * b.column, b.column, columns - part, depth, out + part, kBlock);
        return;
    }
    for (int64_t k = 0; k < depth; ++k) {
        const float* from = b.data + k * b.row;
        float* to = out + k * kBlock;
        if (b.column == 1 && columns == kBlock)
            for (int64_t j = 0; j < kBlock; j += kLanes) store(to + j, load(from + j));
        else
            for (int64_t j = 0; j < kBlock; ++j) to[j] = j < columns ? from[j * b.column] : 0.0f;
    }
}

// out[k][R] = R rows of a, for left operands whose depth is not contiguous.
template <int R>
inline void pack_columns(const Matrix& a, int64_t depth, float* out) {
    for (int64_t k = 0; k < depth; ++k) {
        const float* from = a.data + k * a.column;
        if (a.row == 1)
            std::memcpy(out + k * R, from, sizeof(float) * R);
        else
            for (int64_t i = 0; i < R; ++i) out[k * R + i] = from[i * a.row];
    }
}

// Vector `part` of the three that r0 g0 b0 r1 g1 b1 ... makes.
template <int part, int... L>
ND_INLINE Vec merge(Vec r, Vec g, Vec b, std::integer_sequence<int, L...>) {
    constexpr int first = part * kLanes;
    const Vec rg = shuffle<((first + L) / 3 + ((first + L) % 3 == 1 ? kLanes : 0))...>(r, g);
    return shuffle<((first + L) % 3 == 2 ? kLanes + (first + L) / 3 : L)...>(rg, b);
}

// out[i][c] = in[i * pixel + c * channel] for `width` pixels of `channels` channels.
inline void copy_pixels(const float* in, int64_t pixel, int64_t channel, int64_t width, int64_t channels, float* out) {
    int64_t i = 0;
    if (channel == 1 && pixel == channels) {
        for (; i < width * channels; ++i) out[i] = in[i];
        return;
    }
    if (channels == 3 && pixel == 1)  // a colour image in planes
        for (; i + kLanes <= width; i += kLanes) {
            const Vec r = load(in + i), g = load(in + channel + i), b = load(in + 2 * channel + i);
            store(out + 3 * i, merge<0>(r, g, b, Lanes{}));
            store(out + 3 * i + kLanes, merge<1>(r, g, b, Lanes{}));
            store(out + 3 * i + 2 * kLanes, merge<2>(r, g, b, Lanes{}));
        }
    for (int64_t c = 0; c < channels; ++c)
        for (int64_t k = i; k < width; ++k) out[k * channels + c] = in[k * pixel + c * channel];
}

}}  // namespace nd::ND_ISA
