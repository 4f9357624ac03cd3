// The weight gradient of a 3x3 convolution by the transposed minimal filtering of winograd.h: tiles of the input and of the
// gradient are taken to 36 points, their products summed there over all tiles, and the sums taken back to 3x3 weights.
#pragma once
#include "winograd.h"

namespace nd { namespace ND_ISA {

struct WinogradWeightGradient {
    Winograd forward;

    WinogradWeightGradient(const ConvShape<>& s, int64_t images) : forward(s, images) {}

    int64_t round() const { return forward.round(); }
    bool once() const { return forward.tiles() <= round(); }
    // Both operands as [point][block of 16 channels][tile][16].
    PointLayout points(int64_t channels) const {
        const int64_t block = round() * kBlock;
        return {channels / kBlock * block + kApart, kBlock, block};
    }
    int64_t sum_point() const { return kBlock * kPanel + kApart; }
    int64_t panels() const { return ceil_div(forward.s.out, kPanel); }
    int64_t tasks() const { return panels() * (forward.s.in / kBlock); }  // 16 channels times a panel each
    int64_t scratch(int threads) const {
        const int64_t operands = points(forward.s.in).point + points(forward.s.out).point;
        return kPoints * (operands + (once() ? threads : tasks()) * sum_point());
    }
};

// The sums [point][16][kPanel] as weights of 16 channels and `columns` columns; those of one tap are `tap` floats apart.
inline void points_to_weights(const float* sums, int64_t point, int64_t columns, float* dw, int64_t tap, int64_t row) {
    for (int64_t i = 0; i < kBlock; ++i)
        for (int64_t j = 0; j < columns; j += kLanes) {
            Vec value[kTileInputs][kTileInputs], w[3][3];
            for (int p = 0; p < kPoints; ++p)
                value[p / kTileInputs][p % kTileInputs] = load(sums + p * point + i * kPanel + j);
            both_axes(value, w, WeightSums{});
            for (int t = 0; t < 9; ++t) store(dw + t * tap + i * row + j, w[t / 3][t % 3]);
        }
}

// dw (3, 3, Ci, Co) compact, from x (N, H, W, Ci) and g (N, Ho, Wo, Co) with any strides; Ci and Co are multiples of 16.
// `scratch` holds WinogradWeightGradient(s, images).scratch(executor.threads) floats.
inline void winograd_weight_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x,
                                     const Strides4& xs, const float* g, const Strides4& gs, float* dw, float* scratch) {
    const WinogradWeightGradient plan(s, images);
    const Winograd& forward = plan.forward;
    const PointLayout left = plan.points(s.in), right = plan.points(s.out);
    const TileGrid outputs{forward.grid.down, forward.grid.across, 0};
    float *inputs = scratch, *gradients = inputs + kPoints * left.point, *kept = gradients + kPoints * right.point;
    for (int64_t first = 0; first < forward.tiles(); first += plan.round()) {
        const int64_t count = min(plan.round(), forward.tiles() - first);
        parallel(executor, ceil_div(count, int64_t(8)), [&](int64_t task) {
            const int64_t t = 8 * task, from = first + t, end = first + min(t + 8, count);
            tiles_to_points<kTileInputs>(x, xs, s.height, s.width, s.in, forward.grid, from, end, inputs + t * kBlock, left,
                                         InputPoints{});
            tiles_to_points<kTileOutputs>(g, gs, forward.rows, forward.columns, s.out, outputs, from, end,
                                          gradients + t * kBlock, right, GradientPoints{});
        });
        balance(executor, plan.tasks(), [&](int64_t worker, int64_t task) {
            const int64_t block = task % (s.in / kBlock), column = task / (s.in / kBlock) * kPanel;
            const int64_t columns = min(kPanel, s.out - column);
            float* sums = kept + (plan.once() ? worker : task) * kPoints * plan.sum_point();
            for (int p = 0; p < kPoints; ++p) {
                const float* b = gradients + p * right.point + column / kBlock * right.block;
                small_product(kBlock, columns, count, {inputs + p * left.point + block * left.block, 1, kBlock},
                              {{b, kBlock, right.block}, nullptr, columns / kBlock}, sums + p * plan.sum_point(), kPanel, first > 0);
            }
            if (first + count == forward.tiles())
                points_to_weights(sums, plan.sum_point(), columns, dw + block * kBlock * s.out + column, s.in * s.out, s.out);
        });
    }
}

}}  // namespace nd::ND_ISA
