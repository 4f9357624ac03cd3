#include "conv.h"
#include "view.h"

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

void check_axes(const char* where, const View& x, const View& w) {
    if (x.dims != 4 || w.dims != 4) misfit(where, "two operands of four axes", {&x, &w});
}

void check_shape(const char* where, const char* name, const View& got, const Sizes& needed) {
    if (got.sizes() != needed) refuse_shape(where, std::string(name) + " must be " + text(needed) + ", got " + text(got.sizes()));
}

Map map_of(const View& x) { return {x.p, {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}}; }

// y (N, Ho, Wo, Co) = x (N, H, W, Ci) * w (K, K, Ci, Co).
py::object conv_forward(const View& x, const Dense& w, int64_t stride, int64_t padding) {
    constexpr const char* where = "conv";
    check_axes(where, x, w);
    const ConvSizes s{x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[3], w.shape[0], stride, padding};
    check_shape(where, "the weight", w, {s.kernel, s.kernel, s.in, s.out});
    check_sizes(where, s);
    Result y(x, output_shape(s));
    unlocked(kAlways, [&] {
        const Executor on = threads();
        Scratch scratch(conv().scratch(s, on.threads));
        conv().run(on, s, map_of(x), w.p, y.p, scratch.floats());
    });
    return y.array();
}

// dx (N, H, W, Ci) from g (N, Ho, Wo, Co) and w (K, K, Ci, Co).
py::object input_gradient(const View& g, const Dense& w, int64_t stride, int64_t padding, int64_t height, int64_t width) {
    constexpr const char* where = "conv_input_gradient";
    check_axes(where, g, w);
    const ConvSizes s{g.shape[0], height, width, w.shape[2], w.shape[3], w.shape[0], stride, padding};
    check_shape(where, "the weight", w, {s.kernel, s.kernel, s.in, s.out});
    check_sizes(where, s);
    check_shape(where, "the gradient", g, output_shape(s));
    Result dx(g, {s.images, height, width, s.in});
    unlocked(kAlways, [&] {
        const Executor on = threads();
        Scratch scratch(conv().input_gradient_scratch(s, on.threads));
        conv().input_gradient(on, s, map_of(g), w.p, dx.p, scratch.floats());
    });
    return dx.array();
}

// dw (K, K, Ci, Co) from x (N, H, W, Ci) and g (N, Ho, Wo, Co).
py::object weight_gradient(const View& x, const View& g, int64_t stride, int64_t padding, int64_t kernel) {
    constexpr const char* where = "conv_weight_gradient";
    check_axes(where, x, g);
    const ConvSizes s{x.shape[0], x.shape[1], x.shape[2], x.shape[3], g.shape[3], kernel, stride, padding};
    check_sizes(where, s);
    check_shape(where, "the gradient", g, output_shape(s));
    Result dw(x, {kernel, kernel, s.in, s.out});
    unlocked(kAlways, [&] {
        const Executor on = threads();
        Scratch scratch(conv().weight_gradient_scratch(s, on.threads));
        conv().weight_gradient(on, s, map_of(x), map_of(g), dw.p, scratch.floats());
    });
    return dw.array();
}

void check_groups(const char* where, const ConvSizes& s, int64_t groups) {
    check_sizes(where, s);
    if (groups < 1 || s.in % groups || s.out % groups)
        refuse_shape(where, "groups must divide " + std::to_string(s.in) + " and " + std::to_string(s.out) + " channels, got " +
                                std::to_string(groups));
}

// The three above in groups of channels; w is (K, K, Ci / groups, Co).
py::object grouped_forward(const View& x, const Dense& w, int64_t stride, int64_t padding, int64_t groups) {
    constexpr const char* where = "grouped_conv";
    check_axes(where, x, w);
    const ConvSizes s{x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[3], w.shape[0], stride, padding};
    check_groups(where, s, groups);
    check_shape(where, "the weight", w, {s.kernel, s.kernel, s.in / groups, s.out});
    Result y(x, output_shape(s));
    unlocked(kAlways, [&] {
        const Executor on = threads();
        Scratch scratch(grouped_conv().scratch(s, groups, on.threads));
        grouped_conv().run(on, s, groups, map_of(x), w.p, y.p, scratch.floats());
    });
    return y.array();
}

py::object grouped_input_gradient(const View& g, const Dense& w, int64_t stride, int64_t padding, int64_t height, int64_t width,
                                  int64_t groups) {
    constexpr const char* where = "grouped_conv_input_gradient";
    check_axes(where, g, w);
    check_size(where, "the number of groups", groups, 1);
    check_size(where, "the number of input channels", w.shape[2], 0);
    const ConvSizes s{g.shape[0], height, width, w.shape[2] * groups, w.shape[3], w.shape[0], stride, padding};
    check_groups(where, s, groups);
    check_shape(where, "the weight", w, {s.kernel, s.kernel, w.shape[2], s.out});
    check_shape(where, "the gradient", g, output_shape(s));
    Result dx(g, {s.images, height, width, s.in});
    unlocked(kAlways, [&] {
        const Executor on = threads();
        Scratch scratch(grouped_conv().input_gradient_scratch(s, groups, on.threads));
        grouped_conv().input_gradient(on, s, groups, map_of(g), w.p, dx.p, scratch.floats());
    });
    return dx.array();
}

py::object grouped_weight_gradient(const View& x, const View& g, int64_t stride, int64_t padding, int64_t kernel, int64_t groups) {
    constexpr const char* where = "grouped_conv_weight_gradient";
    check_axes(where, x, g);
    const ConvSizes s{x.shape[0], x.shape[1], x.shape[2], x.shape[3], g.shape[3], kernel, stride, padding};
    check_groups(where, s, groups);
    check_shape(where, "the gradient", g, output_shape(s));
    Result dw(x, {kernel, kernel, s.in / groups, s.out});
    unlocked(kAlways, [&] {
        const Executor on = threads();
        Scratch scratch(grouped_conv().weight_gradient_scratch(s, groups, on.threads));
        grouped_conv().weight_gradient(on, s, groups, map_of(x), map_of(g), dw.p, scratch.floats());
    });
    return dw.array();
}

}  // namespace

void bind_conv(py::module_& m) {
    m.def("conv", conv_forward, py::arg("x"), py::arg("w"), py::arg("stride") = 1, py::arg("padding") = 1);
    m.def("conv_input_gradient", input_gradient);
    m.def("conv_weight_gradient", weight_gradient);
    m.def("grouped_conv", grouped_forward);
    m.def("grouped_conv_input_gradient", grouped_input_gradient);
    m.def("grouped_conv_weight_gradient", grouped_weight_gradient);
}

}  // namespace nd
