// The two gradients of a convolution, on the tiles of conv.h: no multiplications by inserted zeros, no patch matrix.
#pragma once
#include "conv.h"

namespace nd { namespace ND_ISA {

// One axis of the input gradient for the input positions first, first + stride, ...: position h sums over the taps t with
// (h + padding - t) % stride == 0 whose output (h + padding - t) / stride exists: a convolution of g with stride 1.
struct Phase {
    int64_t first, count;       // count input positions
    int64_t tap_last, taps;     // taps in the order in which outputs ascend: tap_last, tap_last - stride, ...
    int64_t begin, extent;      // the outputs that are read, padding among them
};

constexpr Phase conv_phase(int64_t size, int64_t outputs, int64_t kernel, int64_t stride, int64_t padding, int64_t first) {
    const int64_t tap = (first + padding) % stride, count = ceil_div(size - first, stride);
    const int64_t q = (first + padding) / stride, q_last = q + count - 1;  // position i of them reads outputs q + i - t
    const int64_t low = max<int64_t>(0, q - outputs + 1);
    const int64_t high = min(q_last + 1, tap < kernel ? ceil_div(kernel - tap, stride) : 0);
    const int64_t taps = outputs > 0 ? max<int64_t>(0, high - low) : 0;
    return {first, count, tap + stride * (low + taps - 1), taps, q - (low + taps - 1), taps ? count + taps - 1 : 0};
}

// The region of g that all phases of one axis read together.
constexpr Axis conv_gradient_axis(int64_t size, int64_t outputs, int64_t kernel, int64_t stride, int64_t padding) {
    int64_t begin = outputs, end = 0;
    for (int64_t first = 0; first < min(stride, size); ++first) {
        const Phase p = conv_phase(size, outputs, kernel, stride, padding, first);
        if (p.taps == 0) continue;
        begin = min(begin, p.begin);
        end = max(end, p.begin + p.extent);
    }
    return {outputs, 0, 0, min(begin, end), max<int64_t>(0, end - begin)};
}

struct InputGradient {
    ConvShape<> s;
    int64_t rows, columns;  // outputs of the convolution
    Axis v, h;

    explicit InputGradient(const ConvShape<>& shape)
        : s(shape),
          rows(conv_outputs(s.height, s.kernel, s.stride, s.padding)),
          columns(conv_outputs(s.width, s.kernel, s.stride, s.padding)),
          v(conv_gradient_axis(s.height, rows, s.kernel, s.stride, s.padding)),
          h(conv_gradient_axis(s.width, columns, s.kernel, s.stride, s.padding)) {}

    int64_t region() const { return v.extent * h.extent * s.out; }
    int64_t packed() const { return s.kernel * s.kernel * packed_size(s.out, s.in); }
    int64_t scratch(int64_t images, int threads) const {
        return packed() + threads * images_per_task(images, region(), threads) * region();
    }

    // Calls f(vertical phase, horizontal phase, its packed weights) for every pair of phases.
    template <class F>
    void each_phase(float* weights, const F& f) const {
        for (int64_t y = 0; y < min(s.stride, s.height); ++y)
            for (int64_t x = 0; x < min(s.stride, s.width); ++x) {
                const Phase p = conv_phase(s.height, rows, s.kernel, s.stride, s.padding, y);
                const Phase q = conv_phase(s.width, columns, s.kernel, s.stride, s.padding, x);
                f(p, q, weights);
                weights += packed_size(p.taps * q.taps * s.out, s.in);
            }
    }

    // [ceil(Ci / 16)][tap rows][tap columns][Co][16], taps in the order in which g is read.
    void pack(const Executor& executor, const float* w, float* packed) const {
        parallel(executor, ceil_div(s.in, kBlock), [&](int64_t j) {
            each_phase(packed, [&](const Phase& p, const Phase& q, float* weights) {
                float* to = weights + j * p.taps * q.taps * s.out * kBlock;
                for (int64_t a = 0; a < p.taps; ++a)
                    for (int64_t b = 0; b < q.taps; ++b, to += s.out * kBlock) {
                        const int64_t tap = (p.tap_last - a * s.stride) * s.kernel + q.tap_last - b * s.stride;
                        const float* from = w + (tap * s.in + j * kBlock) * s.out;
                        pack_block({from, 1, s.out}, s.out, min<int64_t>(kBlock, s.in - j * kBlock), to);
                    }
            });
        });
    }
};

// dx (N, H, W, Ci) compact, from g (N, Ho, Wo, Co) with any strides and w (K, K, Ci, Co) compact.
// `scratch` holds InputGradient(s).scratch(images, executor.threads) floats.
inline void conv_input_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* g, const Strides4& strides,
                                const float* w, float* dx, float* scratch) {
    const InputGradient plan(s);
    plan.pack(executor, w, scratch);
    const Reader reader{g, strides, plan.rows, plan.columns, s.out, plan.v, plan.h};
    float* copies = scratch + plan.packed();
    const int64_t step = images_per_task(images, plan.region(), executor.threads), size = s.height * s.width * s.in;
    balance(executor, ceil_div(images, step), [&](int64_t worker, int64_t task) {
        const int64_t first = task * step, count = min(step, images - first);
        const Source all = reader.read(first, count, copies + worker * step * plan.region());
        plan.each_phase(scratch, [&](const Phase& p, const Phase& q, const float* weights) {
            const Source source{all.p + (p.begin - plan.v.begin) * all.row + (q.begin - plan.h.begin) * s.out, all.image, all.row};
            const Grid grid{p.count, q.count, all.row, s.out, first * size + (p.first * s.width + q.first) * s.in, size,
                            s.stride * s.width * s.in, s.stride * s.in, p.taps, q.taps * s.out};
            conv_grid(grid, source, count, s.in, weights, dx, Keep{});
        });
    });
}

constexpr int64_t kPixelChunk = 256;  // depth of one pass of the weight gradient

struct WeightGradient {
    ConvShape<> s;
    Axis v, h;
    int64_t images;

    WeightGradient(const ConvShape<>& shape, int64_t images)
        : s(shape),
          v(conv_axis(s.height, s.kernel, s.stride, s.padding)),
          h(conv_axis(s.width, s.kernel, s.stride, s.padding)),
          images(images) {}

    int64_t pixels() const { return v.outputs * h.outputs; }
    int64_t region() const { return v.extent * h.extent * s.in; }
    int64_t chunk() const { return max<int64_t>(1, min(images, kPixelChunk / max<int64_t>(1, pixels()))); }
    int64_t tail() const { return s.out % kBlock ? images * pixels() * kBlock : 0; }
    // Copies of x, of g, the part of g that fills no block, positions of the pixels of a chunk.
    int64_t scratch() const { return images * region() + images * pixels() * s.out + tail() + 2 * chunk() * pixels() + 2; }
};

// The rows [i0, i1) of one kernel row (each a kernel column and channel) times all blocks of g.
inline void weight_gradient_rows(const WeightGradient& plan, const Source& x, const int64_t* offset, const Right& g, int64_t t,
                                 int64_t i0, int64_t i1, float* dw) {
    const ConvShape<>& s = plan.s;
    const int64_t at = (((plan.v.first + t) * s.kernel + plan.h.first) * s.in) * s.out;
    for (int64_t n = 0; n < plan.images; n += plan.chunk()) {
        const int64_t depth = min(plan.chunk(), plan.images - n) * plan.pixels();
        for (int64_t i = i0; i < i1; i += kTileRows)
            with_height(min<int64_t>(kTileRows, i1 - i), [&](auto height) {
                constexpr int R = decltype(height)::value;
                const PixelsLeft left{x.p + n * x.image + t * x.row + i, offset};
                sweep<R>(depth, left, g, n * plan.pixels(), 0, ceil_div(s.out, kBlock), dw, at + i * s.out, s.out,
                         {0, 0, n > 0, true}, s.out, Keep{});
            });
    }
}

// dw (K, K, Ci, Co) compact, from x (N, H, W, Ci) and g (N, Ho, Wo, Co) with any strides: one chain over all pixels of all images
// per weight; taps that only ever meet padding get zeros. `scratch` holds WeightGradient(s, images).scratch() floats.
inline void conv_weight_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x, const Strides4& xs,
                                 const float* g, const Strides4& gs, float* dw, float* scratch) {
    const WeightGradient plan(s, images);
    const int64_t pixels = plan.pixels(), run = plan.h.taps * s.in;
    if (images * pixels == 0 || plan.v.taps * plan.h.taps < s.kernel * s.kernel)
        std::memset(dw, 0, sizeof(float) * s.kernel * s.kernel * s.in * s.out);
    if (images * pixels == 0) return;

    const Axis rows{0, 0, 0, 0, plan.v.outputs}, columns{0, 0, 0, 0, plan.h.outputs};
    const Reader reader{x, xs, s.height, s.width, s.in, plan.v, plan.h};
    const Reader gradients{g, gs, plan.v.outputs, plan.h.outputs, s.out, rows, columns};
    const bool compact = gradients.in_place() && gs.h == gs.w * plan.h.outputs && (images == 1 || gs.n == gs.h * plan.v.outputs);
    float* g_copy = scratch + images * plan.region();
    float* tail = g_copy + images * pixels * s.out;
    int64_t* offset = reinterpret_cast<int64_t*>(scratch + round_up(tail + plan.tail() - scratch, 2));

    const Source source = reader.in_place() ? reader.read(0, 0, nullptr)
                                            : Source{scratch, plan.region(), plan.h.extent * s.in};
    parallel(executor, images, [&](int64_t n) {
        reader.read(n, 1, scratch + n * plan.region());
        if (!compact)
            copy_region(g + n * gs.n, gs, plan.v.outputs, plan.h.outputs, s.out, rows, columns, g_copy + n * pixels * s.out);
    });
    for (int64_t p = 0; p < plan.chunk() * pixels; ++p)
        offset[p] = p / pixels * source.image + p % pixels / plan.h.outputs * s.stride * source.row + p % plan.h.outputs * s.stride * s.in;
    const Right right = prepare_right(executor, 0, s.out, images * pixels, {compact ? g : g_copy, s.out, 1}, tail);

    const int64_t step = max<int64_t>(kTileRows, round_up(ceil_div(plan.v.taps * run, 4 * executor.threads), kTileRows));
    const int64_t across = ceil_div(run, step);
    parallel(executor, plan.v.taps * across, [&](int64_t task) {
        const int64_t i = task % across * step;
        weight_gradient_rows(plan, source, offset, right, task / across, i, min(run, i + step), dw);
    });
}

}}  // namespace nd::ND_ISA
