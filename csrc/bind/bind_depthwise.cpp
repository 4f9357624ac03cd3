#include "bindings.h"
#include "depthwise.h"

namespace nd {
namespace {

// The shape of a call, checked: `image` is (N, H, W, C) of the convolution's input.
DepthwiseShape shape_of(const char* where, const Sizes& image, int64_t kernel, int64_t stride, int64_t top, int64_t left,
                        int64_t dilation) {
    if (image.size() != 4) refuse(where, "images need 4 axes, got " + std::to_string(image.size()));
    const char* names[] = {"the batch", "the height", "the width", "the number of channels"};
    for (int axis = 0; axis < 4; ++axis) check_size(where, names[axis], image[axis], 0);
    check_size(where, "the kernel size", kernel, 1);
    check_size(where, "the stride", stride, 1);
    check_size(where, "the padding", top, 0);
    check_size(where, "the padding", left, 0);
    check_size(where, "the dilation", dilation, 1);
    const DepthwiseShape s{image[0], image[1], image[2], image[3], kernel, stride, top, left, dilation};
    if (s.rows() < 1 || s.columns() < 1) refuse(where, "the kernel does not fit into the padded image");
    const int64_t size = (s.height + 2 * top + s.width + 2 * left + 16), taps = kernel * kernel;
    if (taps > kMostFloats / (s.channels + 16) / 64 || size > kMostFloats / kernel) refuse(where, "the operands are too large");
    return s;
}

Planes planes_of(const char* where, Array& x, const Sizes& shape, const Sizes& strides, int64_t offset) {
    if (strides.size() != 4 || (strides[3] != 1 && shape[3] > 1)) refuse(where, "channels must lie side by side");
    return {checked(where, x, shape, strides, offset), strides[0], strides[1], strides[2]};
}

float* output_of(const char* where, Array& out, const Sizes& shape, const Array& a, const Array& b) {
    if (&out == &a || &out == &b) refuse(where, "the output must not be an operand");
    if (out.size != count_of(where, shape)) refuse(where, "the output has another size");
    return out.ptr;
}

const float* weight_of(const char* where, Array& w, const DepthwiseShape& s) {
    const int64_t count = s.kernel * s.kernel * s.channels;
    if (w.size != count) refuse(where, "the weight needs " + std::to_string(count) + " floats");
    return w.ptr;
}

void checked_depthwise(Array& x, const Sizes& image, const Sizes& strides, int64_t offset, Array& w, int64_t kernel, int64_t stride,
             int64_t top, int64_t left, int64_t dilation, Array& out) {
    const char* where = "depthwise";
    const DepthwiseShape s = shape_of(where, image, kernel, stride, top, left, dilation);
    const Planes map = planes_of(where, x, image, strides, offset);
    const float* weight = weight_of(where, w, s);
    float* to = output_of(where, out, {s.images, s.rows(), s.columns(), s.channels}, x, w);
    py::gil_scoped_release unlocked;
    Scratch scratch(depthwise().scratch(s));
    depthwise().run(threads(), s, map, weight, to, scratch.floats());
}

void checked_depthwise_input_gradient(Array& g, const Sizes& strides, int64_t offset, Array& w, const Sizes& image, int64_t kernel,
                    int64_t stride, int64_t top, int64_t left, int64_t dilation, Array& out) {
    const char* where = "depthwise_input_gradient";
    const DepthwiseShape s = shape_of(where, image, kernel, stride, top, left, dilation);
    const Planes map = planes_of(where, g, {s.images, s.rows(), s.columns(), s.channels}, strides, offset);
    const float* weight = weight_of(where, w, s);
    float* to = output_of(where, out, image, g, w);
    py::gil_scoped_release unlocked;
    Scratch scratch(depthwise().scratch(s));
    depthwise().input_gradient(threads(), s, map, weight, to, scratch.floats());
}

void checked_depthwise_weight_gradient(Array& x, const Sizes& image, const Sizes& strides, int64_t offset, Array& g, const Sizes& g_strides,
                     int64_t g_offset, int64_t kernel, int64_t stride, int64_t top, int64_t left, int64_t dilation, Array& out) {
    const char* where = "depthwise_weight_gradient";
    const DepthwiseShape s = shape_of(where, image, kernel, stride, top, left, dilation);
    const Planes map = planes_of(where, x, image, strides, offset);
    const Planes gradient = planes_of(where, g, {s.images, s.rows(), s.columns(), s.channels}, g_strides, g_offset);
    float* to = output_of(where, out, {kernel, kernel, s.channels}, x, g);
    py::gil_scoped_release unlocked;
    Scratch scratch(depthwise().weight_gradient_scratch(s));
    depthwise().weight_gradient(threads(), s, map, gradient, to, scratch.floats());
}

}  // namespace

void bind_depthwise(py::module_& m) {
    m.def("depthwise", checked_depthwise);
    m.def("depthwise_input_gradient", checked_depthwise_input_gradient);
    m.def("depthwise_weight_gradient", checked_depthwise_weight_gradient);
}

}  // namespace nd
