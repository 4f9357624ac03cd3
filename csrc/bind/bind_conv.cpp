#include "bindings.h"
#include "conv.h"

namespace nd {
namespace {

void check_sizes(const char* where, const ConvSizes& s) {
    check_size(where, "the batch", s.images, 0);
    check_size(where, "the height", s.height, 0);
    check_size(where, "the width", s.width, 0);
    check_size(where, "the number of input channels", s.in, 0);
    check_size(where, "the number of output channels", s.out, 0);
    check_size(where, "the kernel size", s.kernel, 1);
    check_size(where, "the stride", s.stride, 1);
    check_size(where, "the padding", s.padding, 0);
    const int64_t plane = (s.height + 2 * s.padding + s.kernel) * (s.width + 2 * s.padding + s.kernel);
    const int64_t most = kMostFloats / plane, channels = s.in > s.out ? s.in : s.out;
    if (s.kernel > s.height + 2 * s.padding || s.kernel > s.width + 2 * s.padding)
        refuse(where, "a kernel of " + std::to_string(s.kernel) + " does not fit into " + text({s.height, s.width}) +
                          " padded by " + std::to_string(s.padding));
    if ((s.images + 16) > most / (channels + 16) || s.in + 16 > most / (s.out + 16))
        refuse(where, "the operands are too large");
}

Sizes output_shape(const ConvSizes& s) {
    const int64_t rows = conv_outputs(s.height, s.kernel, s.stride, s.padding);
    return {s.images, rows, conv_outputs(s.width, s.kernel, s.stride, s.padding), s.out};
}

void check_axes(const char* where, const char* name, const Sizes& shape) {
    if (shape.size() != 4) refuse(where, std::string(name) + " needs 4 axes, got " + text(shape));
}

void check_shape(const char* where, const char* name, const Sizes& got, const Sizes& needed) {
    if (got != needed) refuse(where, std::string(name) + " must be " + text(needed) + ", got " + text(got));
}

void check_output(const char* where, const Array& out, const Sizes& shape) {
    if (out.size != count_of(where, shape))
        refuse(where, "the result is " + text(shape) + ", the output has " + std::to_string(out.size) + " elements");
}

void refuse_same(const char* where, const Array& out, const Array& a, const Array& b) {
    if (&out == &a || &out == &b) refuse(where, "the output must not be an operand");
}

Map map_of(const char* where, Array& x, const Sizes& shape, const Sizes& strides, int64_t offset) {
    const float* p = checked(where, x, shape, strides, offset);
    return {p, {strides[0], strides[1], strides[2], strides[3]}};
}

// y (N, Ho, Wo, Co) = x (N, H, W, Ci) * w (K, K, Ci, Co); x with any strides, w and y compact.
void conv_forward(Array& x, const Sizes& shape, const Sizes& strides, int64_t offset, Array& w, const Sizes& w_shape,
                  int64_t stride, int64_t padding, Array& out) {
    check_axes("conv", "the input", shape);
    check_axes("conv", "the weight", w_shape);
    check_shape("conv", "the weight", w_shape, {w_shape[0], w_shape[0], shape[3], w_shape[3]});
    const ConvSizes s{shape[0], shape[1], shape[2], shape[3], w_shape[3], w_shape[0], stride, padding};
    check_sizes("conv", s);
    const Map map = map_of("conv", x, shape, strides, offset);
    const float* weight = checked("conv", w, count_of("conv", w_shape));
    check_output("conv", out, output_shape(s));
    refuse_same("conv", out, x, w);
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(conv().scratch(s, executor.threads));
    conv().run(executor, s, map, weight, out.ptr, scratch.floats());
}

// dx (N, H, W, Ci) from g (N, Ho, Wo, Co) with any strides and w (K, K, Ci, Co) compact.
void input_gradient(Array& g, const Sizes& shape, const Sizes& strides, int64_t offset, Array& w, const Sizes& w_shape,
                    int64_t stride, int64_t padding, int64_t height, int64_t width, Array& out) {
    constexpr const char* where = "conv_input_gradient";
    check_axes(where, "the gradient", shape);
    check_axes(where, "the weight", w_shape);
    const ConvSizes s{shape[0], height, width, w_shape[2], w_shape[3], w_shape[0], stride, padding};
    check_shape(where, "the weight", w_shape, {s.kernel, s.kernel, s.in, s.out});
    check_sizes(where, s);
    check_shape(where, "the gradient", shape, output_shape(s));
    const Map map = map_of(where, g, shape, strides, offset);
    const float* weight = checked(where, w, count_of(where, w_shape));
    check_output(where, out, {s.images, height, width, s.in});
    refuse_same(where, out, g, w);
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(conv().input_gradient_scratch(s, executor.threads));
    conv().input_gradient(executor, s, map, weight, out.ptr, scratch.floats());
}

// dw (K, K, Ci, Co) from x (N, H, W, Ci) and g (N, Ho, Wo, Co), both with any strides.
void weight_gradient(Array& x, const Sizes& x_shape, const Sizes& x_strides, int64_t x_offset, Array& g, const Sizes& g_shape,
                     const Sizes& g_strides, int64_t g_offset, int64_t stride, int64_t padding, int64_t kernel, Array& out) {
    constexpr const char* where = "conv_weight_gradient";
    check_axes(where, "the input", x_shape);
    check_axes(where, "the gradient", g_shape);
    const ConvSizes s{x_shape[0], x_shape[1], x_shape[2], x_shape[3], g_shape[3], kernel, stride, padding};
    check_sizes(where, s);
    check_shape(where, "the gradient", g_shape, output_shape(s));
    const Map map = map_of(where, x, x_shape, x_strides, x_offset), gradient = map_of(where, g, g_shape, g_strides, g_offset);
    check_output(where, out, {kernel, kernel, s.in, s.out});
    refuse_same(where, out, x, g);
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(conv().weight_gradient_scratch(s, executor.threads));
    conv().weight_gradient(executor, s, map, gradient, out.ptr, scratch.floats());
}

void check_groups(const char* where, const ConvSizes& s, int64_t groups) {
    check_sizes(where, s);
    if (groups < 1 || s.in % groups || s.out % groups)
        refuse(where, "groups must divide " + std::to_string(s.in) + " and " + std::to_string(s.out) + " channels, got " +
                          std::to_string(groups));
}

// The three above in groups of channels; w is (K, K, Ci / groups, Co).
void grouped_forward(Array& x, const Sizes& shape, const Sizes& strides, int64_t offset, Array& w, const Sizes& w_shape,
                     int64_t stride, int64_t padding, int64_t groups, Array& out) {
    constexpr const char* where = "grouped_conv";
    check_axes(where, "the input", shape);
    check_axes(where, "the weight", w_shape);
    const ConvSizes s{shape[0], shape[1], shape[2], shape[3], w_shape[3], w_shape[0], stride, padding};
    check_groups(where, s, groups);
    check_shape(where, "the weight", w_shape, {s.kernel, s.kernel, s.in / groups, s.out});
    const Map map = map_of(where, x, shape, strides, offset);
    const float* weight = checked(where, w, count_of(where, w_shape));
    check_output(where, out, output_shape(s));
    refuse_same(where, out, x, w);
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(grouped_conv().scratch(s, groups, executor.threads));
    grouped_conv().run(executor, s, groups, map, weight, out.ptr, scratch.floats());
}

void grouped_input_gradient(Array& g, const Sizes& shape, const Sizes& strides, int64_t offset, Array& w, const Sizes& w_shape,
                            int64_t stride, int64_t padding, int64_t height, int64_t width, int64_t groups, Array& out) {
    constexpr const char* where = "grouped_conv_input_gradient";
    check_axes(where, "the gradient", shape);
    check_axes(where, "the weight", w_shape);
    check_size(where, "the number of groups", groups, 1);
    check_size(where, "the number of input channels", w_shape[2], 0);
    const ConvSizes s{shape[0], height, width, w_shape[2] * groups, w_shape[3], w_shape[0], stride, padding};
    check_groups(where, s, groups);
    check_shape(where, "the weight", w_shape, {s.kernel, s.kernel, w_shape[2], s.out});
    check_shape(where, "the gradient", shape, output_shape(s));
    const Map map = map_of(where, g, shape, strides, offset);
    const float* weight = checked(where, w, count_of(where, w_shape));
    check_output(where, out, {s.images, height, width, s.in});
    refuse_same(where, out, g, w);
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(grouped_conv().input_gradient_scratch(s, groups, executor.threads));
    grouped_conv().input_gradient(executor, s, groups, map, weight, out.ptr, scratch.floats());
}

void grouped_weight_gradient(Array& x, const Sizes& x_shape, const Sizes& x_strides, int64_t x_offset, Array& g,
                             const Sizes& g_shape, const Sizes& g_strides, int64_t g_offset, int64_t stride, int64_t padding,
                             int64_t kernel, int64_t groups, Array& out) {
    constexpr const char* where = "grouped_conv_weight_gradient";
    check_axes(where, "the input", x_shape);
    check_axes(where, "the gradient", g_shape);
    const ConvSizes s{x_shape[0], x_shape[1], x_shape[2], x_shape[3], g_shape[3], kernel, stride, padding};
    check_groups(where, s, groups);
    check_shape(where, "the gradient", g_shape, output_shape(s));
    const Map map = map_of(where, x, x_shape, x_strides, x_offset), gradient = map_of(where, g, g_shape, g_strides, g_offset);
    check_output(where, out, {kernel, kernel, s.in / groups, s.out});
    refuse_same(where, out, x, g);
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(grouped_conv().weight_gradient_scratch(s, groups, executor.threads));
    grouped_conv().weight_gradient(executor, s, groups, map, gradient, out.ptr, scratch.floats());
}

}  // namespace

void bind_conv(py::module_& m) {
    m.def("conv", conv_forward);
    m.def("conv_input_gradient", input_gradient);
    m.def("conv_weight_gradient", weight_gradient);
    m.def("grouped_conv", grouped_forward);
    m.def("grouped_conv_input_gradient", grouped_input_gradient);
    m.def("grouped_conv_weight_gradient", grouped_weight_gradient);
}

}  // namespace nd
