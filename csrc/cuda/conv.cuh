// Convolution of NHWC maps with square kernels (K, K, Ci / groups, Co) and its two gradients, as products whose readers find the
// windows of the maps (product.cuh): nothing is copied. The batch of a product counts the groups of channels. The segments of
// the depth are the taps of the kernel, for the gradient of the weight the rows of the outputs.
#pragma once
#include "../nd/arguments.h"
#include "product.cuh"

namespace nd { namespace ND_ISA {

// A convolution with the sizes of its outputs; `in` and `out` are those of one group.
struct ConvPlan {
    struct Axis {  // the taps of the kernel that are used, of which the first lies at `begin` of the input for output 0
        int64_t begin, taps;
    };
    int64_t images, height, width, in, out, kernel, stride, padding, groups, rows, columns;
    Axis v, h;

    ConvPlan(const ConvSizes& s, int64_t groups)
        : images(s.images), height(s.height), width(s.width), in(s.in / groups), out(s.out / groups), kernel(s.kernel), stride(s.stride),
          padding(s.padding), groups(groups), rows(conv_outputs(s.height, s.kernel, s.stride, s.padding)),
          columns(conv_outputs(s.width, s.kernel, s.stride, s.padding)), v{-s.padding, s.kernel}, h{-s.padding, s.kernel} {}

    // Weights that are packed leave out the taps that meet nothing but padding.
    void keep_used_taps() { v = used(height, rows), h = used(width, columns); }
    Axis used(int64_t size, int64_t outputs) const {
        const int64_t first = max(int64_t(0), padding - (outputs - 1) * stride);
        return {first - padding, min(kernel, size + padding) - first};
    }
    ND_FN int64_t outputs() const { return images * rows * columns; }
    ND_FN int64_t inputs() const { return images * height * width; }
    ND_FN int64_t taps() const { return kernel * kernel; }
};

// A tap of the kernel.
struct Tap {
    int64_t u, v;
};

// Pixels that a tap of an output reads: row (n, i, j) of A, its elements the input channels.
struct WindowReader {
    struct Line {
        const float* image;
        int64_t top, left;
    };
    using Segment = Tap;
    Map x;
    ConvPlan plan;
    bool deep;

    __device__ Line line(int64_t group, int64_t index) const {
        if (index >= plan.outputs()) return {nullptr, 0, 0};
        const int64_t j = index % plan.columns, i = index / plan.columns % plan.rows, n = index / plan.columns / plan.rows;
        return {x.p + n * x.strides.n + group * plan.in * x.strides.c, i * plan.stride + plan.v.begin, j * plan.stride + plan.h.begin};
    }
    __device__ Segment segment(int64_t tap) const { return {tap / plan.h.taps, tap % plan.h.taps}; }
    __device__ float at(const Line& line, Segment tap, int64_t channel) const {
        const int64_t h = line.top + tap.u, w = line.left + tap.v;
        const bool inside = line.image != nullptr && h >= 0 && h < plan.height && w >= 0 && w < plan.width;
        return inside ? line.image[h * x.strides.h + w * x.strides.w + channel * x.strides.c] : 0.0f;
    }
};

// The weights by tap: column o of B, its elements the input channels; or column c, its elements the output channels.
struct WeightReader {
    struct Line {
        const float* p;
    };
    using Segment = Tap;
    const float* w;
    ConvPlan plan;
    bool back;  // whether columns are input channels
    bool deep;

    __device__ Line line(int64_t group, int64_t index) const {
        if (index >= (back ? plan.in : plan.out)) return {nullptr};
        return {w + group * plan.out + (back ? index * plan.out * plan.groups : index)};
    }
    __device__ Segment segment(int64_t tap) const { return {tap / plan.kernel, tap % plan.kernel}; }
    __device__ float at(const Line& line, Segment tap, int64_t k) const {
        const int64_t wide = plan.out * plan.groups;
        return line.p != nullptr ? line.p[(tap.u * plan.kernel + tap.v) * plan.in * wide + (back ? k : k * wide)] : 0.0f;
    }
};

// The outputs that an input pixel reaches by a tap: row (n, h, w) of A, its elements the output channels.
struct ReachedReader {
    struct Line {
        const float* image;
        int64_t h, w;
    };
    using Segment = Tap;
    Map g;
    ConvPlan plan;
    bool deep;

    __device__ Line line(int64_t group, int64_t index) const {
        if (index >= plan.inputs()) return {nullptr, 0, 0};
        const int64_t w = index % plan.width, h = index / plan.width % plan.height, n = index / plan.width / plan.height;
        return {g.p + n * g.strides.n + group * plan.out * g.strides.c, h + plan.padding, w + plan.padding};
    }
    __device__ Segment segment(int64_t tap) const { return {tap / plan.kernel, tap % plan.kernel}; }
    __device__ float at(const Line& line, Segment tap, int64_t channel) const {
        const int64_t h = line.h - tap.u, w = line.w - tap.v, i = h / plan.stride, j = w / plan.stride;
        const bool reached = line.image != nullptr && h >= 0 && w >= 0 && i * plan.stride == h && j * plan.stride == w && i < plan.rows &&
                             j < plan.columns;
        return reached ? line.image[i * g.strides.h + j * g.strides.w + channel * g.strides.c] : 0.0f;
    }
};

// Into maps and weights, whose last axis holds the channels of all groups.
struct StoreGroup {
    float* y;
    int64_t n, groups;
    __device__ void operator()(int64_t group, int64_t row, int64_t column, float value) const {
        y[row * n * groups + group * n + column] = value;
    }
};

// For the weight: of a row of outputs (n, i), the pixels along the depth.
struct OutputRow {
    int64_t image, row;
};
// Row (u, v, c) of A: what tap (u, v) of the outputs of a row reads of channel c.
struct TapReader {
    struct Line {
        const float* channel;
        int64_t u, v;
    };
    using Segment = OutputRow;
    Map x;
    ConvPlan plan;
    bool deep;

    __device__ Line line(int64_t group, int64_t index) const {
        if (index >= plan.taps() * plan.in) return {nullptr, 0, 0};
        const int64_t c = index % plan.in, tap = index / plan.in;
        return {x.p + (group * plan.in + c) * x.strides.c, tap / plan.kernel - plan.padding, tap % plan.kernel - plan.padding};
    }
    __device__ Segment segment(int64_t number) const { return {number / plan.rows, number % plan.rows}; }
    __device__ float at(const Line& line, const Segment& s, int64_t j) const {
        const int64_t h = s.row * plan.stride + line.u, w = j * plan.stride + line.v;
        const bool inside = line.channel != nullptr && h >= 0 && h < plan.height && w >= 0 && w < plan.width;
        return inside ? line.channel[s.image * x.strides.n + h * x.strides.h + w * x.strides.w] : 0.0f;
    }
};
// Column o of B: the gradients of a row of outputs.
struct GradientReader {
    struct Line {
        const float* channel;
    };
    using Segment = OutputRow;
    Map g;
    ConvPlan plan;
    bool deep;

    __device__ Line line(int64_t group, int64_t index) const {
        return {index < plan.out ? g.p + (group * plan.out + index) * g.strides.c : nullptr};
    }
    __device__ Segment segment(int64_t number) const { return {number / plan.rows, number % plan.rows}; }
    __device__ float at(const Line& line, const Segment& s, int64_t j) const {
        return line.channel != nullptr ? line.channel[s.image * g.strides.n + s.row * g.strides.h + j * g.strides.w] : 0.0f;
    }
};

inline bool channels_are_next(const Map& x) { return magnitude(x.strides.c) <= magnitude(x.strides.w); }

// y (N, rows, columns, Co) compact; `write` takes (group, pixel, channel of the group, value).
template <class Write>
void conv_forward(const Executor& on, const char* name, const ConvPlan& p, const Map& x, const float* w, const Write& write) {
    product(on, name, {p.groups, p.outputs(), p.out, {p.taps(), p.in}}, WindowReader{x, p, channels_are_next(x)},
            WeightReader{w, p, false, false}, write);
}
inline void conv_forward(const Executor& on, const ConvPlan& p, const Map& x, const float* w, float* y) {
    conv_forward(on, "conv", p, x, w, StoreGroup{y, p.out, p.groups});
}
inline void conv_input_gradient(const Executor& on, const ConvPlan& p, const Map& g, const float* w, float* dx) {
    product(on, "conv_input_gradient", {p.groups, p.inputs(), p.in, {p.taps(), p.out}}, ReachedReader{g, p, channels_are_next(g)},
            WeightReader{w, p, true, true}, StoreGroup{dx, p.in, p.groups});
}

inline ProductSize weight_gradient_size(const ConvPlan& p) {
    return {p.groups, p.taps() * p.in, p.out, {p.images * p.rows, p.columns}};
}
inline int64_t weight_gradient_scratch(const ConvPlan& p) {
    const ProductSize size = weight_gradient_size(p);
    return product_scratch(size, product_parts(size));
}
inline void conv_weight_gradient(const Executor& on, const ConvPlan& p, const Map& x, const Map& g, float* dw, float* scratch) {
    const ProductSize size = weight_gradient_size(p);
    product_in_parts(on, "conv_weight_gradient", size, product_parts(size), TapReader{x, p, !channels_are_next(x)},
                     GradientReader{g, p, !channels_are_next(g)}, StoreGroup{dw, p.out, p.groups}, scratch);
}

}}  // namespace nd::ND_ISA
