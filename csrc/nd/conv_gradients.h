// The two gradients of a convolution, on the tiles of conv.h: no multiplications by inserted zeros, no patch matrix.
#pragma once
#include "direct_conv.h"

namespace nd { namespace ND_ISA {

// One axis of the input gradient for the input positions first, first + stride, ...: position h sums over the taps t with
// (h + padding - t) % stride == 0 whose output (h + padding - t) / stride exists, which is a convolution of g with stride 1.
struct Phase {
    int64_t first;
    ConvAxis line;
    int64_t tap;  // the tap that goes with the first output read; those of the following outputs are `stride` lower each
};

constexpr Phase conv_phase(int64_t size, int64_t outputs, int64_t kernel, int64_t stride, int64_t padding, int64_t first) {
    const int64_t tap = (first + padding) % stride, count = ceil_div(size - first, stride);
    const int64_t q = (first + padding) / stride;  // position i of them reads the outputs q + i - t with tap + t * stride
    const int64_t low = max<int64_t>(0, q - outputs + 1);
    const int64_t high = min(q + count, tap < kernel ? ceil_div(kernel - tap, stride) : 0);
    const int64_t taps = max<int64_t>(0, high - low), last = low + taps - 1;
    return {first, {count, 1, q - last, taps, outputs}, tap + stride * last};
}

struct InputGradient {
    ConvShape<> s;
    int64_t images, rows, columns;  // outputs of the convolution
    Border border{0, 0, 0, 0};      // of g: enough for every phase

    InputGradient(const ConvShape<>& shape, int64_t images)
        : s(shape),
          images(images),
          rows(conv_outputs(s.height, s.kernel, s.stride, s.padding)),
          columns(conv_outputs(s.width, s.kernel, s.stride, s.padding)) {
        each_phase(static_cast<float*>(nullptr), [&](const Phase& v, const Phase& h, float*) {
            const Border b = border_of(images, v.line, h.line);
            border = {max(border.top, b.top), max(border.bottom, b.bottom),
                      max(border.left, b.left), max(border.right, b.right)};
        });
    }

    int64_t image() const { return (border.top + rows + border.bottom) * (border.left + columns + border.right) * s.out; }
    int64_t packed() const { return s.kernel * s.kernel * packed_size(s.out, s.in); }
    int64_t copies(int threads) const { return threads * images_per_task(images, image(), threads) * image(); }
    int64_t scratch(int threads) const { return packed() + copies(threads); }

    // Calls f(vertical phase, horizontal phase, its packed weights) for every pair of phases.
    template <class Weight, class F>
    void each_phase(Weight* weights, const F& f) const {
        for (int64_t y = 0; y < min(s.stride, s.height); ++y)
            for (int64_t x = 0; x < min(s.stride, s.width); ++x) {
                const Phase v = conv_phase(s.height, rows, s.kernel, s.stride, s.padding, y);
                const Phase h = conv_phase(s.width, columns, s.kernel, s.stride, s.padding, x);
                f(v, h, weights);
                weights += packed_size(v.line.taps * h.line.taps * s.out, s.in);
            }
    }

    // [ceil(Ci / 16)][tap rows][tap columns][Co][16], taps in the order in which g is read.
    void pack(const Executor& executor, const float* w, float* packed) const {
        parallel(executor, ceil_div(s.in, kBlock), [&](int64_t j) {
            each_phase(packed, [&](const Phase& v, const Phase& h, float* weights) {
                float* to = weights + j * v.line.taps * h.line.taps * s.out * kBlock;
                for (int64_t a = 0; a < v.line.taps; ++a)
                    for (int64_t b = 0; b < h.line.taps; ++b, to += s.out * kBlock) {
                        const int64_t tap = (v.tap - a * s.stride) * s.kernel + h.tap - b * s.stride;
                        const float* from = w + (tap * s.in + j * kBlock) * s.out;
                        pack_block({from, 1, s.out}, s.out, min<int64_t>(kBlock, s.in - j * kBlock), to);
                    }
            });
        });
    }
};

// dx (N, H, W, Ci) compact, each value finished by `epilogue`, from g (N, Ho, Wo, Co) with any strides and weights that
// InputGradient::pack packed: a transposed convolution. `copies` holds InputGradient(s, images).copies(executor.threads) floats.
template <class Epilogue = Keep>
inline void transposed_conv(const Executor& executor, const ConvShape<>& s, int64_t images, const float* g, const Strides4& strides,
                            const float* packed, float* dx, float* copies, const Epilogue& epilogue = {}) {
    const InputGradient plan(s, images);
    const Executor on = alone_if_small(executor, images * s.height * s.width * s.in, s.kernel * s.kernel * s.out);
    const Reader reader{g, strides, plan.rows, plan.columns, s.out, plan.border};
    const Border& border = plan.border;
    const int64_t step = images_per_task(images, plan.image(), executor.threads), size = s.height * s.width * s.in;
    balance(on, ceil_div(images, step), [&](int64_t worker, int64_t task) {
        const int64_t first = task * step, count = min(step, images - first);
        const Source source = reader.read(first, count, copies + worker * step * plan.image());
        plan.each_phase(packed, [&](const Phase& v, const Phase& h, const float* weights) {
            const ConvAxis rows = widened(v.line, border.top, border.bottom), columns = widened(h.line, border.left, border.right);
            const Grid grid{rows, columns, s.out, s.in, first * size + (v.first * s.width + h.first) * s.in, size,
                            s.stride * s.width * s.in, s.stride * s.in};
            conv_grid(grid, source, count, weights, dx, epilogue);
        });
    });
}

// dx (N, H, W, Ci) compact, from g (N, Ho, Wo, Co) with any strides and w (K, K, Ci, Co) compact.
// `scratch` holds InputGradient(s, images).scratch(executor.threads) floats.
inline void conv_input_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* g,
                                const Strides4& strides, const float* w, float* dx, float* scratch) {
    const InputGradient plan(s, images);
    plan.pack(alone_if_small(executor, images * s.height * s.width * s.in, s.kernel * s.kernel * s.out), w, scratch);
    transposed_conv(executor, s, images, g, strides, scratch, dx, scratch + plan.packed());
}

constexpr int64_t kPixelChunk = 256;  // depth of one pass of the weight gradient

struct WeightGradient {
    ConvShape<> s;
    int64_t images;
    ConvAxis v, h;
    int64_t left, right;  // zeros beside the rows of x

    WeightGradient(const ConvShape<>& shape, int64_t images)
        : s(shape), images(images), v(conv_rows(s)), h(conv_columns(s)), left(zeros_before(h)), right(zeros_behind(h)) {}

    int64_t pixels() const { return v.outputs * h.outputs; }
    int64_t image() const { return s.height * (left + s.width + right) * s.in; }
    int64_t chunk() const { return max<int64_t>(1, min(images, kPixelChunk / max<int64_t>(1, pixels()))); }
    int64_t tail() const { return s.out % kBlock ? images * pixels() * kBlock : 0; }
    // Copies of x, of g, the part of g that fills no block, where the pixels of a chunk of images are.
    int64_t scratch() const {
        return images * image() + images * pixels() * s.out + tail() + 2 * chunk() * pixels() + 2;
    }
};

// The rows [i0, i1) of tap row t (each a tap column and channel) times all blocks of g, over the outputs that see this row.
inline void weight_gradient_rows(const WeightGradient& plan, const Source& x, const int64_t* offset, const Right& g, int64_t t,
                                 int64_t i0, int64_t i1, float* dw) {
    const ConvShape<>& s = plan.s;
    const int64_t tap = (plan.v.begin + s.padding + t) * s.kernel + plan.h.begin + s.padding;
    const int64_t blocks = ceil_div(s.out, kBlock), column = (plan.h.begin + plan.left) * s.in;
    int64_t from = 0, end = plan.v.outputs;  // output rows
    while (from < end && plan.v.begin + from * s.stride + t < 0) ++from;
    while (from < end && plan.v.begin + (end - 1) * s.stride + t >= s.height) --end;
    const bool whole = from == 0 && end == plan.v.outputs;  // then images follow each other without a gap
    const int64_t skipped = from * plan.h.outputs;
    for (int64_t n = 0; n < plan.images; n += plan.chunk()) {
        const int64_t count = min(plan.chunk(), plan.images - n), joined = whole ? count : 1;
        const int64_t depth = joined * (end - from) * plan.h.outputs;
        for (int64_t i = i0; i < i1; i += kTileRows)
            with_height(min<int64_t>(kTileRows, i1 - i), [&](auto height) {
                constexpr int R = decltype(height)::value;
                for_blocks<R>(g, 0, blocks, [&](auto width, int64_t j) {
                    constexpr int B = decltype(width)::value;
                    const Extent e{j * kBlock, s.out - j * kBlock, n > 0, true};
                    const auto row = [&](int r) { return (tap * s.in + i + r) * s.out + j * kBlock; };
                    Vec acc[R][B * kBlockVecs];
                    load_tile(acc, dw, row, e);
                    for (int64_t image = n; image < n + count; image += joined) {
                        const float* p = x.p + image * x.image + (plan.v.begin + t) * x.row + column + i;
                        multiply(acc, depth, PixelsLeft{p, offset + skipped}, g.at(j, image * plan.pixels() + skipped));
                    }
                    store_tile(acc, dw, row, e, Keep{});
                });
            });
    }
}

// dw (K, K, Ci, Co) compact, from x (N, H, W, Ci) and g (N, Ho, Wo, Co) with any strides: one chain over all pixels of all
// images per weight; taps that only ever meet padding get zeros. `scratch` holds WeightGradient(s, images).scratch() floats.
inline void conv_weight_gradient(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x,
                                 const Strides4& xs, const float* g, const Strides4& gs, float* dw, float* scratch) {
    const WeightGradient plan(s, images);
    const int64_t pixels = plan.pixels(), run = plan.h.taps * s.in;
    if (images * pixels == 0 || plan.v.taps * plan.h.taps < s.kernel * s.kernel)
        std::memset(dw, 0, sizeof(float) * s.kernel * s.kernel * s.in * s.out);
    if (images * pixels == 0) return;

    const Reader reader{x, xs, s.height, s.width, s.in, {0, 0, plan.left, plan.right}};
    const Reader gradients{g, gs, plan.v.outputs, plan.h.outputs, s.out, {0, 0, 0, 0}};
    const bool compact = gradients.in_place() && (gs.h == plan.h.outputs * s.out || plan.v.outputs == 1) &&
                         (gs.n == pixels * s.out || images == 1);
    float* g_copy = scratch + images * plan.image();
    float* tail = g_copy + images * pixels * s.out;
    int64_t* offset = reinterpret_cast<int64_t*>(scratch + round_up(tail + plan.tail() - scratch, 2));

    const Source source = reader.in_place() ? reader.read(0, 0, nullptr) : Source{scratch, reader.image(), reader.row()};
    const Executor on = alone_if_small(executor, images * pixels * s.out, plan.v.taps * run);
    parallel(on, reader.in_place() && compact ? 0 : images, [&](int64_t n) {
        reader.read(n, 1, scratch + n * reader.image());
        if (!compact) gradients.copy(g + n * gs.n, g_copy + n * gradients.image());
    });
    for (int64_t p = 0; p < plan.chunk() * pixels; ++p)
        offset[p] = p / pixels * source.image + p % pixels / plan.h.outputs * s.stride * source.row +
                    p % plan.h.outputs * s.stride * s.in;
    const Right right = prepare_right(on, 0, s.out, images * pixels, {compact ? g : g_copy, s.out, 1}, tail);

    const int64_t step = max<int64_t>(kTileRows, round_up(ceil_div(plan.v.taps * run, 4 * on.threads), kTileRows));
    const int64_t across = ceil_div(run, step);
    parallel(on, plan.v.taps * across, [&](int64_t task) {
        const int64_t i = task % across * step;
        weight_gradient_rows(plan, source, offset, right, task / across, i, min(run, i + step), dw);
    });
}

}}  // namespace nd::ND_ISA
