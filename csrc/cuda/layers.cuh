// Convolutions and pooling as programs call them, by the names and with the arguments of csrc/nd: weights packed beforehand of the
// taps that meet the map, sizes that may be constants, steps behind each value.
#pragma once
#include "conv.cuh"
#include "linear.cuh"
#include "windows.cuh"

namespace nd { namespace ND_ISA {

template <class H = int64_t, class W = int64_t, class I = int64_t, class O = int64_t, class K = int64_t, class S = int64_t, class P = int64_t>
struct ConvShape {
    H height;
    W width;
    I in;
    O out;
    K kernel;
    S stride;
    P padding;

    ConvSizes sizes(int64_t images) const { return {images, height, width, in, out, kernel, stride, padding}; }
};

template <class Shape>
constexpr int64_t conv_scratch(const Shape&, int64_t, int) { return 0; }

template <class Shape, class Epilogue>
void conv(const Executor& on, const Shape& shape, int64_t images, const float* x, const Strides4& strides, const float* packed, float* y, float*,
          const Epilogue& epilogue) {
    ConvPlan p(shape.sizes(images), 1);
    p.keep_used_taps();
    product(on, "conv", {1, p.outputs(), p.out, {p.v.taps * p.h.taps, p.in}}, WindowReader{{x, strides}, p, channels_are_next({x, strides})},
            PackedReader{packed, p.out, p.in, p.v.taps * p.h.taps * p.in, false}, StoreFinished{y, p.out, 1, steps_of(epilogue)});
}
template <class Epilogue>
void direct_conv(const Executor& on, int64_t images, int64_t height, int64_t width, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                 int64_t padding, const float* x, const float* packed, float* y, float* scratch, const Epilogue& epilogue) {
    conv(on, ConvShape<>{height, width, in, out, kernel, stride, padding}, images, x, {height * width * in, width * in, in, 1}, packed, y,
         scratch, epilogue);
}

// Weights of a transposed convolution, (K, K, channels of its input, of its output): a column for each of the latter.
struct TransposedReader {
    struct Line {
        const float* p;
    };
    struct Segment {
        int64_t first;
    };
    const float* w;
    int64_t columns, length;
    bool deep;

    __device__ Line line(int64_t, int64_t index) const { return {index < columns ? w + index : nullptr}; }
    __device__ Segment segment(int64_t tap) const { return {tap * length}; }
    __device__ float at(const Line& line, Segment s, int64_t k) const { return line.p != nullptr ? line.p[(s.first + k) * columns] : 0.0f; }
};

// The convolution of this shape backwards.
template <class Weights, class Epilogue>
void backwards_conv(const Executor& on, const char* name, const ConvPlan& p, const float* g, const Strides4& strides, const Weights& w, float* dx,
                    const Epilogue& epilogue) {
    product(on, name, {1, p.inputs(), p.in, {p.taps(), p.out}}, ReachedReader{{g, strides}, p, channels_are_next({g, strides})}, w,
            StoreFinished{dx, p.in, 1, steps_of(epilogue)});
}
template <class Epilogue>
void transposed_conv(const Executor& on, const ConvShape<>& shape, int64_t images, const float* g, const Strides4& strides, const float* w,
                     float* dx, float*, const Epilogue& epilogue) {
    const ConvPlan p(shape.sizes(images), 1);
    backwards_conv(on, "transposed_conv", p, g, strides, TransposedReader{w, p.in, p.out, false}, dx, epilogue);
}
inline void conv_input_gradient(const Executor& on, const ConvShape<>& shape, int64_t images, const float* g, const Strides4& strides,
                                const float* w, float* dx, float*) {
    const ConvPlan p(shape.sizes(images), 1);
    backwards_conv(on, "conv_input_gradient", p, g, strides, WeightReader{w, p, true, true}, dx, Keep{});
}

struct GroupedConv {
    ConvShape<> shape;
    int64_t images, groups;
    bool back;
};
template <class Epilogue>
void grouped_conv(const Executor& on, const GroupedConv& plan, const float* x, const Strides4& strides, const float* w, float* y, float*,
                  const Epilogue& epilogue) {
    const ConvPlan p(plan.shape.sizes(plan.images), plan.groups);
    conv_forward(on, "grouped_conv", p, {x, strides}, w, StoreFinished{y, p.out, p.groups, steps_of(epilogue)});
}

struct FinishedDepthwise {
    Depthwise conv;
    Steps steps;
    __device__ void operator()(int64_t at) const {
        conv(at);
        conv.y[at] = finished(steps, conv.y[at], at, at % conv.s.channels);
    }
};
template <class Epilogue>
void depthwise(const Executor& on, const DepthwiseShape& s, const Planes& x, const float* w, float* y, float*, const Epilogue& epilogue) {
    each(on, "depthwise", s.images * s.rows() * s.columns() * s.channels, FinishedDepthwise{{s, x, w, y}, steps_of(epilogue)});
}

template <class V, class H>
void max_pool(const Executor& on, int64_t images, int64_t channels, const V& v, const H& h, const Pixels& x, const Pixels& u, float* y) {
    each(on, "max_pool", images * v.outputs * h.outputs * channels, MaxPool<V, H>{channels, v, h, x, u, y});
}
template <class V, class H>
void resample(const Executor& on, int64_t images, int64_t channels, const V& v, const H& h, const Pixels& x, float* y) {
    each(on, "resample", images * v.outputs * h.outputs * channels, Resample<V, H>{channels, v, h, x, y});
}

}}  // namespace nd::ND_ISA
