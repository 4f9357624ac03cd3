// Winograd's minimal filtering F(4x4, 3x3): tiles of maps and weights at 36 points, where convolutions are products, and back.
//
// The points 0, +-3/4, +-3/2 and infinity, per axis, keep errors small: about twice those of the direct chain of
// multiply-adds, where the usual 0, +-1, +-2 make five times as large ones. All constants but those of G are exact.
// Sources: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016; Barabasz et al., "Error analysis and
// improving the accuracy of Winograd convolution for deep neural networks", 2020.
#pragma once
#include "conv_tiles.h"

namespace nd { namespace ND_ISA {

constexpr int kTileOutputs = 4, kTileInputs = 6, kPoints = kTileInputs * kTileInputs;

// The transforms of one axis, as functions from[] -> to[].
struct InputPoints {  // B^T d
    ND_INLINE void operator()(const Vec (&d)[6], Vec (&t)[6]) const {
        t[0] = fma(splat(-45.0f / 16), d[2], fma(splat(81.0f / 64), d[0], d[4]));
        const Vec e = fma(splat(-9.0f / 4), d[2], d[4]), o = splat(3.0f / 4) * fma(splat(-9.0f / 4), d[1], d[3]);
        t[1] = e + o;
        t[2] = e - o;
        const Vec f = fma(splat(-9.0f / 16), d[2], d[4]), p = splat(3.0f / 2) * fma(splat(-9.0f / 16), d[1], d[3]);
        t[3] = f + p;
        t[4] = f - p;
        t[5] = fma(splat(-45.0f / 16), d[3], fma(splat(81.0f / 64), d[1], d[5]));
    }
};

struct WeightPoints {  // G w
    ND_INLINE void operator()(const Vec (&w)[3], Vec (&t)[6]) const {
        t[0] = splat(64.0f / 81) * w[0];
        const Vec e = fma(splat(9.0f / 16), w[2], w[0]), o = splat(3.0f / 4) * w[1];
        t[1] = splat(-128.0f / 243) * (e + o);
        t[2] = splat(-128.0f / 243) * (e - o);
        const Vec f = fma(splat(9.0f / 4), w[2], w[0]), p = splat(3.0f / 2) * w[1];
        t[3] = splat(32.0f / 243) * (f + p);
        t[4] = splat(32.0f / 243) * (f - p);
        t[5] = w[2];
    }
};

struct OutputSums {  // A^T m
    ND_INLINE void operator()(const Vec (&m)[6], Vec (&y)[4]) const {
        const Vec e = m[1] + m[2], o = m[1] - m[2], f = m[3] + m[4], p = m[3] - m[4];
        y[0] = m[0] + (e + f);
        y[1] = fma(splat(3.0f / 2), p, splat(3.0f / 4) * o);
        y[2] = fma(splat(9.0f / 4), f, splat(9.0f / 16) * e);
        y[3] = fma(splat(27.0f / 8), p, fma(splat(27.0f / 64), o, m[5]));
    }
};

struct GradientPoints {  // A g
    ND_INLINE void operator()(const Vec (&g)[4], Vec (&t)[6]) const {
        t[0] = g[0];
        const Vec e = fma(splat(9.0f / 16), g[2], g[0]), o = splat(3.0f / 4) * fma(splat(9.0f / 16), g[3], g[1]);
        t[1] = e + o;
        t[2] = e - o;
        const Vec f = fma(splat(9.0f / 4), g[2], g[0]), p = splat(3.0f / 2) * fma(splat(9.0f / 4), g[3], g[1]);
        t[3] = f + p;
        t[4] = f - p;
        t[5] = g[3];
    }
};

struct WeightSums {  // G^T m
    ND_INLINE void operator()(const Vec (&m)[6], Vec (&w)[3]) const {
        const Vec e = m[1] + m[2], o = m[1] - m[2], f = m[3] + m[4], p = m[3] - m[4];
        w[0] = fma(splat(64.0f / 81), m[0], fma(splat(-128.0f / 243), e, splat(32.0f / 243) * f));
        w[1] = fma(splat(-32.0f / 81), o, splat(16.0f / 81) * p);
        w[2] = fma(splat(8.0f / 27), f - e, m[5]);
    }
};

// The transform of both axes, columns first.
template <int From, int To, class Axis>
ND_INLINE void both_axes(const Vec (&in)[From][From], Vec (&out)[To][To], const Axis& axis) {
    Vec half[From][To];  // the columns of in, transformed
#pragma GCC unroll 6
    for (int c = 0; c < From; ++c) {
        Vec column[From];
        for (int r = 0; r < From; ++r) column[r] = in[r][c];
        axis(column, half[c]);
    }
#pragma GCC unroll 6
    for (int r = 0; r < To; ++r) {
        Vec row[From];
        for (int c = 0; c < From; ++c) row[c] = half[c][r];
        axis(row, out[r]);
    }
}

// Where tiles of a map begin: tile (i, j) of an image at row 4 i - before, column 4 j - before.
struct TileGrid {
    int64_t down, across, before;
    constexpr int64_t per_image() const { return down * across; }
};

// Where the values of the points go: point p, tile t, channels 16 b .. 16 b + 15 at p * point + t * tile + b * block.
struct PointLayout {
    int64_t point, tile, block;
};

// 16 channels of a pixel, in registers; `c` is the distance between channels.
ND_INLINE void load_channels(const float* p, int64_t c, Vec (&v)[kBlockVecs]) {
    for (int i = 0; i < kBlockVecs; ++i) {
        if (c == 1) {
            v[i] = load(p + i * kLanes);
        } else {
            float lane[kLanes];
            for (int j = 0; j < kLanes; ++j) lane[j] = p[(i * kLanes + j) * c];
            v[i] = load(lane);
        }
    }
}

// Tiles first .. end - 1 of a map (N, H, W, C), Side x Side pixels each and zeros outside the map, at the 36 points.
template <int Side, class Axis>
inline void tiles_to_points(const float* map, const Strides4& strides, int64_t height, int64_t width, int64_t channels,
                            const TileGrid& grid, int64_t first, int64_t end, float* out, const PointLayout& to,
                            const Axis& axis) {
    for (int64_t t = first; t < end; ++t, out += to.tile) {
        const int64_t image = t / grid.per_image(), place = t % grid.per_image();
        const int64_t y = place / grid.across * kTileOutputs - grid.before, x = place % grid.across * kTileOutputs - grid.before;
        const float* corner = map + image * strides.n + y * strides.h + x * strides.w;
        const auto inside = [&](int r, int c) { return y + r >= 0 && y + r < height && x + c >= 0 && x + c < width; };
        const bool whole = inside(0, 0) && inside(Side - 1, Side - 1);
        for (int64_t b = 0; b < channels / kBlock; ++b) {
            Vec pixel[kBlockVecs][Side][Side] = {};
            for (int r = 0; r < Side; ++r)
                for (int c = 0; c < Side; ++c) {
                    if (!whole && !inside(r, c)) continue;
                    Vec v[kBlockVecs];
                    load_channels(corner + r * strides.h + c * strides.w + b * kBlock * strides.c, strides.c, v);
                    for (int i = 0; i < kBlockVecs; ++i) pixel[i][r][c] = v[i];
                }
            for (int i = 0; i < kBlockVecs; ++i) {
                Vec value[kTileInputs][kTileInputs];
                both_axes(pixel[i], value, axis);
                for (int p = 0; p < kPoints; ++p)
                    store(out + p * to.point + b * to.block + i * kLanes, value[p / kTileInputs][p % kTileInputs]);
            }
        }
    }
}

// The weights of one tap are matrix(tap) (depth, columns), whatever their order in memory.
struct TapWeights {
    const float* p;
    int64_t tap, row, column;
    ND_INLINE Matrix matrix(int t) const { return {p + t * tap, row, column}; }
};

// The weights of `blocks` blocks of 16 columns at the 36 points: point p at p * point, there [blocks][depth][16].
inline void weights_to_points(const TapWeights& w, int64_t depth, int64_t column, int64_t blocks, float* out, int64_t point) {
    float tap[9][kBlock][kBlock];
    for (int64_t j = 0; j < blocks; ++j)
        for (int64_t k = 0; k < depth; k += kBlock) {
            for (int t = 0; t < 9; ++t) {
                const Matrix m = w.matrix(t);
                pack_block({m.data + k * m.row + (column + j * kBlock) * m.column, m.row, m.column}, kBlock, kBlock, tap[t][0]);
            }
            for (int64_t i = 0; i < kBlock * kBlockVecs; ++i) {
                const int64_t row = i / kBlockVecs, part = i % kBlockVecs * kLanes;
                Vec kernel[3][3], value[kTileInputs][kTileInputs];
                for (int t = 0; t < 9; ++t) kernel[t / 3][t % 3] = load(&tap[t][row][part]);
                both_axes(kernel, value, WeightPoints{});
                for (int p = 0; p < kPoints; ++p)
                    store(out + p * point + (j * depth + k + row) * kBlock + part, value[p / kTileInputs][p % kTileInputs]);
            }
        }
}

}}  // namespace nd::ND_ISA
