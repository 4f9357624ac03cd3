// Convolution of NHWC maps (N, H, W, Ci) with square kernels (K, K, Ci, Co) as an implicit matrix product: pixels times
// weights, one chain of fused multiply-adds per output over (kernel row, kernel column, channel). No patch matrix is built.
// Taps that meet nothing but padding (at the borders of small maps) are left out.
#pragma once
#include "conv_tiles.h"

namespace nd { namespace ND_ISA {

// Sizes are int64_t, or Const<> where a compiler should unroll them. The maps may be rectangular, the kernel is square.
template <class H = int64_t, class W = int64_t, class I = int64_t, class O = int64_t, class K = int64_t, class S = int64_t,
          class P = int64_t>
struct ConvShape {
    H height;
    W width;
    I in;
    O out;
    K kernel;
    S stride;
    P padding;
};

// One axis of a convolution, without the taps that never meet the input; the first one kept is tap begin + padding.
constexpr ConvAxis conv_line(int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
    const int64_t outputs = conv_outputs(size, kernel, stride, padding);
    const int64_t first = min(kernel, max<int64_t>(0, padding - (outputs - 1) * stride));
    return {outputs, stride, first - padding, max<int64_t>(0, min(kernel, size + padding) - first), size};
}

template <class Shape>
constexpr ConvAxis conv_rows(const Shape& s) { return conv_line(s.height, s.kernel, s.stride, s.padding); }
template <class Shape>
constexpr ConvAxis conv_columns(const Shape& s) { return conv_line(s.width, s.kernel, s.stride, s.padding); }

// Floats of one image as the tiles read it.
template <class Shape>
constexpr int64_t conv_image(const Shape& s, int64_t images) {
    const Border b = border_of(images, conv_rows(s), conv_columns(s));
    return (b.top + s.height + b.bottom) * (b.left + s.width + b.right) * s.in;
}

template <class Shape>
constexpr int64_t conv_packed_size(const Shape& s) {
    return packed_size(conv_rows(s).taps * conv_columns(s).taps * s.in, s.out);
}

template <class Shape>
constexpr int64_t conv_scratch(const Shape& s, int64_t images, int threads) {
    const int64_t image = conv_image(s, images);
    return threads * images_per_task(images, image, threads) * image;
}

// Weights (K, K, Ci, Co) packed as [ceil(Co / 16)][kept kernel rows][kept kernel columns][Ci][16], zeros behind column Co.
template <class Shape>
inline void conv_pack(const Executor& executor, const Shape& s, const float* w, float* packed) {
    const ConvAxis v = conv_rows(s), h = conv_columns(s);
    const int64_t run = h.taps * s.in, depth = v.taps * run;
    parallel(executor, ceil_div(s.out, kBlock), [&](int64_t j) {
        for (int64_t t = 0; t < v.taps; ++t) {
            const int64_t tap = (v.begin + s.padding + t) * s.kernel + h.begin + s.padding;
            pack_block({w + tap * s.in * s.out + j * kBlock, s.out, 1}, run, min<int64_t>(kBlock, s.out - j * kBlock),
                       packed + (j * depth + t * run) * kBlock);
        }
    });
}

// y (N, Ho, Wo, Co) compact = epilogue(x * w), x (N, H, W, Ci) with any strides, w packed by conv_pack; `scratch` holds
// conv_scratch(shape, images, executor.threads) floats.
template <class Shape, class Epilogue = Keep>
ND_INLINE void conv(const Executor& executor, const Shape& shape, int64_t images, const float* x, const Strides4& strides,
                    const float* packed, float* y, float* scratch, const Epilogue& epilogue = {}) {
    const int64_t step = images_per_task(images, conv_image(shape, images), executor.threads);
    const int64_t outputs = images * conv_rows(shape).outputs * conv_columns(shape).outputs * shape.out;
    const Executor on = alone_if_small(executor, outputs, conv_packed_size(shape) / max<int64_t>(shape.out, 1));
    balance(on, ceil_div(images, step), [&, s = shape](int64_t worker, int64_t task) {
        const ConvAxis v = conv_rows(s), h = conv_columns(s);
        const Border border = border_of(images, v, h);
        const Reader reader{x, strides, s.height, s.width, s.in, border};
        const int64_t first = task * step, size = v.outputs * h.outputs * s.out;
        const int64_t count = min(step, images - first);
        const Source source = reader.read(first, count, scratch + worker * step * reader.image());
        const ConvAxis rows = widened(v, border.top, border.bottom), columns = widened(h, border.left, border.right);
        const Grid grid{rows, columns, s.in, s.out, first * size, size, h.outputs * s.out, s.out};
        conv_grid(grid, source, count, packed, y, epilogue);
    });
}

}}  // namespace nd::ND_ISA
