// Convolution in groups of channels, and its two gradients, on the tiles of conv.h. Groups that are narrower than a tile's 16
// columns are taken together: their weights lie on the diagonal of one, with zeros beside them.
#pragma once
#include "conv_gradients.h"
#include "epilogue.h"

namespace nd { namespace ND_ISA {

// `whole` has the channels of all groups together; `block` those of the groups that make up one dense convolution. Groups are
// joined while their columns, those of the outputs or (`back`) of the inputs, fit into one vector block.
struct GroupedConv {
    ConvShape<> whole, block;
    int64_t images, groups, together = 1, blocks;

    GroupedConv(const ConvShape<>& s, int64_t images, int64_t groups, bool back)
        : whole(s), block(s), images(images), groups(groups) {
        const int64_t width = max<int64_t>(1, back ? inputs() : outputs());
        for (int64_t count = 1; count <= groups && count * width <= kBlock; ++count)
            if (groups % count == 0) together = count;
        blocks = groups / together;
        block.in = together * inputs();
        block.out = together * outputs();
    }

    int64_t inputs() const { return whole.in / groups; }
    int64_t outputs() const { return whole.out / groups; }
    int64_t weights() const { return block.kernel * block.kernel * block.in * block.out; }

    // Calls f(position in the block's weight, position in the whole one) for every run of outputs() weights.
    template <class F>
    void each_run(int64_t b, const F& f) const {
        for (int64_t tap = 0; tap < block.kernel * block.kernel; ++tap)
            for (int64_t q = 0; q < together; ++q)
                for (int64_t c = 0; c < inputs(); ++c)
                    f((tap * block.in + q * inputs() + c) * block.out + q * outputs(),
                      (tap * inputs() + c) * whole.out + (b * together + q) * outputs());
    }

    // The weight of block b (K, K, block.in, block.out) out of that of all groups (K, K, inputs(), whole.out).
    void gather(int64_t b, const float* w, float* weight) const {
        std::memset(weight, 0, sizeof(float) * weights());
        each_run(b, [&](int64_t to, int64_t from) { std::memcpy(weight + to, w + from, sizeof(float) * outputs()); });
    }
    void scatter(int64_t b, const float* weight, float* w) const {
        each_run(b, [&](int64_t from, int64_t to) { std::memcpy(w + to, weight + from, sizeof(float) * outputs()); });
    }
};

inline int64_t grouped_conv_scratch(const GroupedConv& plan, int threads) {
    return plan.blocks * (plan.weights() + conv_packed_size(plan.block)) + conv_scratch(plan.block, plan.images, threads);
}

// y (N, Ho, Wo, Co) compact, from x (N, H, W, Ci) with any strides and w (K, K, Ci / groups, Co) compact.
inline void grouped_conv(const Executor& executor, const GroupedConv& plan, const float* x, const Strides4& strides,
                         const float* w, float* y, float* scratch, const Steps& steps) {
    const ConvShape<>& s = plan.block;
    const int64_t packed = conv_packed_size(s), images = plan.images;
    float *weights = scratch + plan.blocks * packed, *copies = weights + plan.blocks * plan.weights();
    const ConvAxis v = conv_rows(s), h = conv_columns(s);
    const Executor on = alone_if_small(executor, images * v.outputs * h.outputs * plan.whole.out, s.kernel * s.kernel * s.in);
    parallel(on, plan.blocks, [&](int64_t b) {
        plan.gather(b, w, weights + b * plan.weights());
        conv_pack(Executor{}, s, weights + b * plan.weights(), scratch + b * packed);
    });
    const Border border = border_of(images, v, h);
    const ConvAxis rows = widened(v, border.top, border.bottom), columns = widened(h, border.left, border.right);
    const int64_t step = images_per_task(images, conv_image(s, images), executor.threads), shares = ceil_div(images, step);
    const int64_t line = h.outputs * plan.whole.out, size = v.outputs * line;
    balance(on, plan.blocks * shares, [&](int64_t worker, int64_t task) {
        const int64_t b = task / shares, first = task % shares * step;
        const Reader reader{x + b * s.in * strides.c, strides, s.height, s.width, s.in, border};
        const Source source = reader.read(first, min(step, images - first), copies + worker * step * reader.image());
        const Grid grid{rows, columns, s.in, s.out, first * size + b * s.out, size, line, plan.whole.out};
        conv_grid(grid, source, min(step, images - first), scratch + b * packed, y, Keep{});
    });
    if (steps.count == 0) return;
    parallel_rows(on, images * v.outputs, line, [&](int64_t row) { finish_pixels(steps, h.outputs, plan.whole.out, y, row * line); });
}

inline int64_t grouped_input_gradient_scratch(const GroupedConv& plan, int threads) {
    const InputGradient dense(plan.block, plan.images);
    return plan.blocks * (plan.weights() + dense.packed()) + dense.scratch(threads) - dense.packed();
}

// dx (N, H, W, Ci) compact, from g (N, Ho, Wo, Co) with any strides and w (K, K, Ci / groups, Co) compact.
inline void grouped_input_gradient(const Executor& executor, const GroupedConv& plan, const float* g, const Strides4& strides,
                                   const float* w, float* dx, float* scratch) {
    const ConvShape<>& s = plan.block;
    const int64_t images = plan.images, channels = plan.whole.in, size = s.height * s.width * channels;
    const InputGradient dense(s, images);
    float *weights = scratch + plan.blocks * dense.packed(), *copies = weights + plan.blocks * plan.weights();
    const Executor on = alone_if_small(executor, images * size, s.kernel * s.kernel * s.out);
    parallel(on, plan.blocks, [&](int64_t b) {
        plan.gather(b, w, weights + b * plan.weights());
        dense.pack(Executor{}, weights + b * plan.weights(), scratch + b * dense.packed());
    });
    const Border& border = dense.border;
    const int64_t step = images_per_task(images, dense.image(), executor.threads), shares = ceil_div(images, step);
    balance(on, plan.blocks * shares, [&](int64_t worker, int64_t task) {
        const int64_t b = task / shares, first = task % shares * step, count = min(step, images - first);
        const Reader reader{g + b * s.out * strides.c, strides, dense.rows, dense.columns, s.out, border};
        const Source source = reader.read(first, count, copies + worker * step * dense.image());
        dense.each_phase(scratch + b * dense.packed(), [&](const Phase& v, const Phase& h, const float* packed) {
            const ConvAxis rows = widened(v.line, border.top, border.bottom), columns = widened(h.line, border.left, border.right);
            const Grid grid{rows, columns, s.out, s.in, first * size + (v.first * s.width + h.first) * channels + b * s.in, size,
                            s.stride * s.width * channels, s.stride * channels};
            conv_grid(grid, source, count, packed, dx, Keep{});
        });
    });
}

// Each thread works on blocks of its own, unless they are few.
inline bool blocks_apart(const GroupedConv& plan, int threads) { return threads > 1 && plan.blocks >= 2 * threads; }

inline int64_t grouped_weight_gradient_scratch(const GroupedConv& plan, int threads) {
    const int64_t each = round_up(WeightGradient(plan.block, plan.images).scratch(), 2) + round_up(plan.weights(), 2);
    return each * (blocks_apart(plan, threads) ? threads : 1);
}

// dw (K, K, Ci / groups, Co) compact, from x (N, H, W, Ci) and g (N, Ho, Wo, Co) with any strides.
inline void grouped_weight_gradient(const Executor& executor, const GroupedConv& plan, const float* x, const Strides4& xs,
                                    const float* g, const Strides4& gs, float* dw, float* scratch) {
    const ConvShape<>& s = plan.block;
    const int64_t each = grouped_weight_gradient_scratch(plan, 1), weights = round_up(plan.weights(), 2);
    const auto one = [&](const Executor& on, int64_t b, float* memory) {
        conv_weight_gradient(on, s, plan.images, x + b * s.in * xs.c, xs, g + b * s.out * gs.c, gs, memory, memory + weights);
        plan.scatter(b, memory, dw);
    };
    if (blocks_apart(plan, executor.threads)) {
        balance(executor, plan.blocks, [&](int64_t worker, int64_t b) { one(Executor{}, b, scratch + worker * each); });
        return;
    }
    for (int64_t b = 0; b < plan.blocks; ++b) one(executor, b, scratch);
}

}}  // namespace nd::ND_ISA
