// 3x3 convolutions with stride 1 by Winograd's minimal filtering: 36 multiplications make 16 outputs instead of 144. Tiles of
// 6x6 inputs and the weights are taken to 36 points, multiplied there (one matrix product over the channels for each point),
// and taken back to 4x4 outputs. Sums have one order, whatever the threads, the register width and the number of tiles.
#pragma once
#include "conv.h"
#include "product.h"
#include "winograd_points.h"

namespace nd { namespace ND_ISA {

// Whether this is a convolution for the functions below, and one that they speed up: maps that fill the tiles, channels that
// fill vectors, and enough tiles for each weight that is taken to the points.
constexpr bool winograd_pays(const ConvShape<>& s, int64_t images) {
    if (s.kernel != 3 || s.stride != 1 || s.padding > 2 || s.in % kBlock != 0 || s.out % kBlock != 0) return false;
    const int64_t rows = conv_outputs(s.height, 3, 1, s.padding), columns = conv_outputs(s.width, 3, 1, s.padding);
    const int64_t tiles = ceil_div(rows, kTileOutputs) * ceil_div(columns, kTileOutputs), border = s.padding * (s.padding + 1);
    return images * tiles >= 8 && (3 * rows - border) * (3 * columns - border) >= 2 * kPoints * tiles;
}

constexpr int64_t kPanelBlocks = 2, kPanel = kPanelBlocks * kBlock;  // columns that one task takes to the points and back
constexpr int64_t kRoundTiles = 120;                                 // tiles that lie at their points at one time
constexpr int64_t kApart = 16;  // floats between points and rows, so that they do not share the low bits of their addresses

struct Winograd {
    ConvShape<> s;
    int64_t images, rows, columns;  // of the outputs
    TileGrid grid;

    Winograd(const ConvShape<>& shape, int64_t images)
        : s(shape),
          images(images),
          rows(conv_outputs(s.height, 3, 1, s.padding)),
          columns(conv_outputs(s.width, 3, 1, s.padding)),
          grid{ceil_div(rows, kTileOutputs), ceil_div(columns, kTileOutputs), s.padding} {}

    int64_t tiles() const { return images * grid.per_image(); }
    int64_t round() const { return min(tiles(), kRoundTiles); }
    PointLayout inputs() const { return {round() * (s.in + kApart) + kApart, s.in + kApart, kBlock}; }
    int64_t weight_point() const { return s.in * kPanel + kApart; }
    int64_t sum_point() const { return round() * kPanel + kApart; }
    int64_t scratch(int threads) const {
        return kPoints * (inputs().point + threads * (weight_point() + sum_point()));
    }
};

// Tiles first .. end - 1, of which the sums at the points are [point][tile][kPanel], as outputs of `blocks` blocks of columns.
inline void points_to_outputs(const Winograd& plan, const float* sums, int64_t first, int64_t end, int64_t column, int64_t blocks,
                              float* y) {
    for (int64_t t = first; t < end; ++t, sums += kPanel) {
        const int64_t place = t % plan.grid.per_image();
        const int64_t row = place / plan.grid.across * kTileOutputs, col = place % plan.grid.across * kTileOutputs;
        float* corner = y + ((t / plan.grid.per_image() * plan.rows + row) * plan.columns + col) * plan.s.out + column;
        const int64_t high = min<int64_t>(kTileOutputs, plan.rows - row), wide = min<int64_t>(kTileOutputs, plan.columns - col);
        for (int64_t j = 0; j < blocks * kBlock; j += kLanes) {
            Vec value[kTileInputs][kTileInputs], out[kTileOutputs][kTileOutputs];
            for (int p = 0; p < kPoints; ++p)
                value[p / kTileInputs][p % kTileInputs] = load(sums + p * plan.sum_point() + j);
            both_axes(value, out, OutputSums{});
            for (int r = 0; r < high; ++r)
                for (int c = 0; c < wide; ++c) store(corner + (r * plan.columns + c) * plan.s.out + j, out[r][c]);
        }
    }
}

// Round after round of tiles: to the points, and then panel by panel of columns through the products back to outputs.
inline void winograd_tiles(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x, const Strides4& strides,
                     const TapWeights& w, float* y, float* scratch) {
    const Winograd plan(s, images);
    const int64_t panels = ceil_div(s.out, kPanel), parts = ceil_div(executor.threads, panels);
    const PointLayout inputs = plan.inputs();
    float* own = scratch + kPoints * inputs.point;
    const int64_t owned = kPoints * (plan.weight_point() + plan.sum_point());
    for (int64_t first = 0; first < plan.tiles(); first += plan.round()) {
        const int64_t count = min(plan.round(), plan.tiles() - first);
        parallel(executor, ceil_div(count, int64_t(8)), [&](int64_t task) {
            const int64_t t = 8 * task;
            tiles_to_points<kTileInputs>(x, strides, s.height, s.width, s.in, plan.grid, first + t, first + min(t + 8, count),
                                         scratch + t * inputs.tile, inputs, InputPoints{});
        });
        const int64_t part = round_up(ceil_div(count, parts), kTileRows);
        balance(executor, panels * parts, [&](int64_t worker, int64_t task) {
            const int64_t t = task % parts * part, tiles = min(part, count - t), column = task / parts * kPanel;
            if (tiles <= 0) return;
            const int64_t blocks = min(kPanelBlocks, (s.out - column) / kBlock);
            float *weights = own + worker * owned, *sums = weights + kPoints * plan.weight_point();
            weights_to_points(w, s.in, column, blocks, weights, plan.weight_point());
            for (int p = 0; p < kPoints; ++p) {
                const Right right{{weights + p * plan.weight_point(), kBlock, s.in * kBlock}, nullptr, blocks};
                small_product(tiles, blocks * kBlock, s.in, {scratch + p * inputs.point + t * inputs.tile, inputs.tile, 1}, right,
                              sums + p * plan.sum_point(), kPanel, false);
            }
            points_to_outputs(plan, sums, first + t, first + t + tiles, column, blocks, y);
        });
    }
}

// y (N, Ho, Wo, Co) compact = x * w, x (N, H, W, Ci) with any strides, w (3, 3, Ci, Co) compact; Ci and Co are multiples of
// 16. `scratch` holds Winograd(s, images).scratch(executor.threads) floats.
inline void winograd(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x, const Strides4& strides,
                     const float* w, float* y, float* scratch) {
    winograd_tiles(executor, s, images, x, strides, {w, s.in * s.out, s.out, 1}, y, scratch);
}

// The input gradient of a convolution is one of the gradient, with the taps in reverse and inputs and outputs exchanged.
constexpr ConvShape<> turned(const ConvShape<>& s) {
    const int64_t rows = conv_outputs(s.height, 3, 1, s.padding), columns = conv_outputs(s.width, 3, 1, s.padding);
    return {rows, columns, s.out, s.in, 3, 1, 2 - s.padding};
}

// dx (N, H, W, Ci) compact, from g (N, Ho, Wo, Co) with any strides. `scratch` holds
// Winograd(turned(s), images).scratch(executor.threads) floats.
inline void winograd_input_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* g,
                                    const Strides4& strides, const float* w, float* dx, float* scratch) {
    const int64_t tap = s.in * s.out;
    winograd_tiles(executor, turned(s), images, g, strides, {w + 8 * tap, -tap, 1, s.out}, dx, scratch);
}

}}  // namespace nd::ND_ISA
