// Taking tiles of maps, and weights, to the points of winograd_points.h. A convolution with stride S and a kernel of S times
// as many taps is one with stride 1 over S x S maps side by side: phase (a, b) holds the pixels (S i + a, S j + b).
#pragma once
#include "pack.h"
#include "winograd_points.h"

namespace nd { namespace ND_ISA {

// A map (N, H, W, C) with any strides, and its tiles: the first pixel of tile (i, j) in phase (a, b) is at the row
// outputs i step + a - above and the column outputs j step + b - left.
struct TiledMap {
    const float* p;
    Strides4 strides;
    int64_t height, width, channels;
    int64_t step, above, left;
    int64_t down, across;  // tiles of an image
    int64_t outputs = kTileOutputs;  // of a tile, along each axis
    int64_t depth() const { return step * step * channels; }
    int64_t tiles() const { return down * across; }
};

// Where the values at the points go: point p, tile t, the 16 of block b at p * point + t * tile + b * block.
struct PointLayout {
    int64_t point, tile, block;
};

// The first `count` of a vector of channels, `c` apart, and zeros.
ND_INLINE Vec load_channels(const float* p, int64_t c, int64_t count) {
    if (c == 1) return count >= kLanes ? load(p) : count > 0 ? load_first(p, count) : Vec{};
    float lane[kLanes] = {};
    for (int64_t j = 0; j < min<int64_t>(count, kLanes); ++j) lane[j] = p[j * c];
    return load(lane);
}

// The tiles first .. end - 1 of all images, Side x Side pixels of every phase and zeros outside the map, at the points; zeros
// too for the channels that a block of 16 has beyond those of the map.
template <int Side, int Points, class Axis>
inline void tiles_to_points(const TiledMap& map, int64_t first, int64_t end, float* out, const PointLayout& to,
                            const Axis& axis) {
    const Strides4& strides = map.strides;
    for (int64_t t = first; t < end; ++t, out += to.tile) {
        const int64_t place = t % map.tiles();
        for (int64_t phase = 0; phase < map.step * map.step; ++phase) {
            const int64_t y = place / map.across * map.outputs * map.step + phase / map.step - map.above;
            const int64_t x = place % map.across * map.outputs * map.step + phase % map.step - map.left;
            const float* corner = map.p + t / map.tiles() * strides.n + y * strides.h + x * strides.w;
            const auto in_rows = [&](int i) { return y + i * map.step >= 0 && y + i * map.step < map.height; };
            const auto in_columns = [&](int i) { return x + i * map.step >= 0 && x + i * map.step < map.width; };
            const bool whole = in_rows(0) && in_rows(Side - 1) && in_columns(0) && in_columns(Side - 1) && strides.c == 1;
            float* block = out + phase * ceil_div(map.channels, kBlock) * to.block;
            for (int64_t channel = 0; channel < map.channels; channel += kBlock, block += to.block)
                for (int i = 0; i < kBlockVecs; ++i) {
                    const float* from = corner + (channel + i * kLanes) * strides.c;
                    int64_t down = strides.h * map.step, right = strides.w * map.step;
                    const int64_t count = map.channels - channel - i * kLanes;
                    alignas(64) float pixels[Side * Side * kLanes];  // of a tile that is not whole
                    if (!whole || count < kLanes) {
                        for (int r = 0; r < Side; ++r)
                            for (int c = 0; c < Side; ++c) {
                                const bool exists = in_rows(r) && in_columns(c);
                                const float* at = from + r * down + c * right;
                                store(pixels + (r * Side + c) * kLanes, exists ? load_channels(at, strides.c, count) : Vec{});
                            }
                        from = pixels;
                        down = Side * kLanes;
                        right = kLanes;
                    }
                    float* point = block + i * kLanes;
                    transform_axes<Side, Points>(axis, [&](int r, int c) { return load(from + r * down + c * right); },
                                                 [&](int, const Vec (&values)[Points]) {
#pragma GCC unroll 6
                        for (int c = 0; c < Points; ++c, point += to.point) store(point, values[c]);
                    });
                }
        }
    }
}

// Weights as taps (u, v) of matrices (depth, columns); the depth runs over phases (a, b) of `channels` each. All are distances
// in memory: between taps below and beside each other, phases below and beside each other, channels, columns.
struct TapWeights {
    const float* p;
    int64_t down, across;
    int64_t step, channels, phase_down, phase_across;
    int64_t channel, column;
    ND_INLINE int64_t offset(int64_t k) const {
        const int64_t phase = k / channels;
        return phase / step * phase_down + phase % step * phase_across + k % channels * channel;
    }
};

// The weights of `blocks` blocks of 16 columns from `column` on: point p at p * point, there [blocks][depth][16].
template <class Filter>
inline void weights_to_points(const TapWeights& w, int64_t depth, int64_t column, int64_t blocks, float* out, int64_t point) {
    constexpr int T = Filter::taps, P = Filter::points;
    float tap[T * T][kBlock][kBlock];
    for (int64_t j = 0; j < blocks; ++j)
        for (int64_t k = 0; k < depth; k += kBlock) {
            const float* from = w.p + w.offset(k) + (column + j * kBlock) * w.column;
            for (int t = 0; t < T * T; ++t)
                pack_block({from + t / T * w.down + t % T * w.across, w.channel, w.column}, kBlock, kBlock, tap[t][0]);
            for (int64_t i = 0; i < kBlock * kBlockVecs; ++i) {
                const int64_t row = i / kBlockVecs, part = i % kBlockVecs * kLanes;
                Vec kernel[T][T], value[P][P];
                for (int t = 0; t < T * T; ++t) kernel[t / T][t % T] = load(&tap[t][row][part]);
                both_axes(kernel, value, typename Filter::Weights{});
                for (int p = 0; p < P * P; ++p)
                    store(out + p * point + (j * depth + k + row) * kBlock + part, value[p / P][p % P]);
            }
        }
}

}}  // namespace nd::ND_ISA
