// The gradients of a convolution by the minimal filtering of winograd.h. That for the input is a convolution of the gradient
// for each phase of the stride. That for the weights is the transposed filtering: tiles of the input and of the gradient are
// taken to the points, their products summed there over all tiles, and the sums taken back to taps.
#pragma once
#include "winograd.h"

namespace nd { namespace ND_ISA {

// One phase of the input gradient, the positions (first_y + S i, first_x + S j) of the input.
struct WinogradPhase {
    Phase v, h;
    TiledMap g;

    WinogradPhase(const ConvShape<>& s, int64_t first_y, int64_t first_x, const float* p, const Strides4& strides)
        : v(conv_phase(s.height, conv_rows(s).outputs, s.kernel, s.stride, s.padding, first_y)),
          h(conv_phase(s.width, conv_columns(s).outputs, s.kernel, s.stride, s.padding, first_x)) {
        const int64_t last = s.kernel / s.stride - 1;  // before the output (first + padding) / stride that is read last
        g = {p, strides, conv_rows(s).outputs, conv_columns(s).outputs, s.out, 1, last - (first_y + s.padding) / s.stride,
             last - (first_x + s.padding) / s.stride, ceil_div(v.line.outputs, kTileOutputs), ceil_div(h.line.outputs, kTileOutputs)};
    }

    template <class Filter>
    Winograd<Filter> plan(const ConvShape<>& s, int64_t images) const {
        return {images * g.tiles(), s.out, s.in};
    }
};

inline int64_t winograd_input_gradient_scratch(const ConvShape<>& s, int64_t images, int threads) {
    return with_filter(s, [&](auto filter) {  // the phase that begins first is the largest
        return WinogradPhase(s, 0, 0, nullptr, {}).plan<decltype(filter)>(s, images).scratch(threads);
    });
}

// dx (N, H, W, Ci) compact, from g (N, Ho, Wo, Co) with any strides and w (K, K, Ci, Co) compact. `scratch` holds
// winograd_input_gradient_scratch(s, images, executor.threads) floats.
inline void winograd_input_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* g,
                                    const Strides4& strides, const float* w, float* dx, float* scratch) {
    const int64_t tap = s.in * s.out, across = s.stride * tap, down = s.kernel * across, taps = s.kernel / s.stride;
    for (int64_t y = 0; y < min(s.stride, s.height); ++y)
        for (int64_t x = 0; x < min(s.stride, s.width); ++x) {
            const WinogradPhase phase(s, y, x, g, strides);
            const int64_t a = (y + s.padding) % s.stride, b = (x + s.padding) % s.stride;  // the first taps
            const float* last = w + (a * s.kernel + b) * tap + (taps - 1) * (down + across);
            const TapWeights weights{last, -down, -across, 1, s.out, 0, 0, 1, s.out};
            const Placed out{dx + (y * s.width + x) * s.in, phase.v.line.outputs, phase.h.line.outputs, s.height * s.width * s.in,
                             s.stride * s.width * s.in, s.stride * s.in};
            with_filter(s, [&](auto filter) {
                winograd_tiles(executor, phase.plan<decltype(filter)>(s, images), phase.g, weights, out, scratch);
            });
        }
}

template <class Filter>
struct WinogradWeightGradient {
    Winograd<Filter> forward;

    int64_t round() const { return forward.round(); }
    bool once() const { return forward.tiles <= round(); }
    // Both operands as [point][block of 16 channels][tile][16].
    PointLayout points(int64_t channels) const {
        const int64_t block = round() * kBlock;
        return {channels / kBlock * block + kSkew, kBlock, block};
    }
    PointLayout left() const { return points(forward.depth); }
    PointLayout right() const { return points(forward.columns); }
    int64_t sum_point() const { return kBlock * kPanel + kSkew; }
    int64_t tasks() const { return ceil_div(forward.columns, kPanel) * (forward.depth / kBlock); }  // 16 channels times a panel
    int64_t scratch(int threads) const {
        return forward.points * (left().point + right().point + (once() ? threads : tasks()) * sum_point());
    }
};

inline int64_t winograd_weight_gradient_scratch(const ConvShape<>& s, int64_t images, int threads) {
    return with_filter(s, [&](auto filter) {
        using Filter = decltype(filter);
        return WinogradWeightGradient<Filter>{winograd_plan<Filter>(s, images)}.scratch(threads);
    });
}

// The sums [point][16][kPanel] as weights of 16 channels, `columns` columns.
template <class Filter>
inline void points_to_weights(const float* sums, int64_t point, int64_t columns, float* dw, const TapWeights& to) {
    constexpr int T = Filter::taps, P = Filter::points;
    for (int64_t i = 0; i < kBlock; ++i)
        for (int64_t j = 0; j < columns; j += kLanes) {
            Vec value[P][P], w[T][T];
            for (int p = 0; p < P * P; ++p) value[p / P][p % P] = load(sums + p * point + i * kPanel + j);
            both_axes(value, w, typename Filter::WeightSums{});
            for (int t = 0; t < T * T; ++t) store(dw + t / T * to.down + t % T * to.across + i * to.channel + j, w[t / T][t % T]);
        }
}

template <class Filter>
inline void winograd_weight_sums(const Executor& executor, const WinogradWeightGradient<Filter>& plan, const TiledMap& x,
                                 const TiledMap& g, float* dw, const TapWeights& to, float* scratch) {
    constexpr int P = Filter::points;
    const PointLayout left = plan.left(), right = plan.right();
    const int64_t tiles = plan.forward.tiles, across = plan.forward.depth / kBlock;
    float *inputs = scratch, *gradients = inputs + P * P * left.point, *partial_sums = gradients + P * P * right.point;
    for (int64_t first = 0; first < tiles; first += plan.round()) {
        const int64_t count = min(plan.round(), tiles - first);
        parallel(executor, ceil_div(count, int64_t(8)), [&](int64_t task) {
            const int64_t t = 8 * task, from = first + t, end = first + min(t + 8, count);
            tiles_to_points<kTileOutputs + Filter::taps - 1, P>(x, from, end, inputs + t * kBlock, left, typename Filter::Inputs{});
            tiles_to_points<kTileOutputs, P>(g, from, end, gradients + t * kBlock, right, typename Filter::Gradients{});
        });
        balance(executor, plan.tasks(), [&](int64_t worker, int64_t task) {
            const int64_t block = task % across, column = task / across * kPanel;
            const int64_t columns = min(kPanel, plan.forward.columns - column);
            float* sums = partial_sums + (plan.once() ? worker : task) * P * P * plan.sum_point();
            for (int p = 0; p < P * P; ++p) {
                const float* b = gradients + p * right.point + column / kBlock * right.block;
                small_product(kBlock, columns, count, {inputs + p * left.point + block * left.block, 1, kBlock},
                              {{b, kBlock, right.block}, nullptr, columns / kBlock}, sums + p * plan.sum_point(), kPanel, first > 0);
            }
            if (first + count == tiles)
                points_to_weights<Filter>(sums, plan.sum_point(), columns, dw + to.offset(block * kBlock) + column, to);
        });
    }
}

// dw (K, K, Ci, Co) compact, from x (N, H, W, Ci) and g (N, Ho, Wo, Co) with any strides; Ci and Co are multiples of 16.
// `scratch` holds winograd_weight_gradient_scratch(s, images, executor.threads) floats.
inline void winograd_weight_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x,
                                     const Strides4& xs, const float* g, const Strides4& gs, float* dw, float* scratch) {
    const TiledMap inputs = tiled(s, x, xs);
    const TiledMap outputs{g, gs, conv_rows(s).outputs, conv_columns(s).outputs, s.out, 1, 0, 0, inputs.down, inputs.across};
    with_filter(s, [&](auto filter) {
        using Filter = decltype(filter);
        const WinogradWeightGradient<Filter> plan{winograd_plan<Filter>(s, images)};
        winograd_weight_sums(executor, plan, inputs, outputs, dw, weights_of(s, nullptr), scratch);
    });
}

}}  // namespace nd::ND_ISA
