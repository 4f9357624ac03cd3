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

void check_maps(const char* where, const View& x, const View& w) {
    if (x.dims != 4 || w.dims != 4) misfit(where, "two operands of four axes", {&x, &w});
}

void check_shape(const char* where, const char* name, const View& got, const Sizes& needed) {
    if (got.sizes() != needed) refuse_shape(where, std::string(name) + " must be " + text(needed) + ", got " + text(got.sizes()));
}

Map map_of(const View& x) { return {x.p, {x.stride[0], x.stride[1], x.stride[2], x.stride[3]}}; }

const char* name(int64_t groups, const char* plain, const char* grouped) { return groups == 0 ? plain : grouped; }

// A call of the kernels of plain convolution, for which `groups` is 0, or of those in groups of channels.
struct Call : ConvSizes {
    Call(const char* where, const ConvSizes& sizes, int64_t groups) : ConvSizes(sizes), groups(groups) {
        check_sizes(where, sizes);
        if (groups < 0 || (groups > 0 && (in % groups || out % groups)))
            refuse_shape(where, "groups must divide " + std::to_string(in) + " and " + std::to_string(out) + " channels, got " +
                                    std::to_string(groups));
    }
    int64_t group_in() const { return groups == 0 ? in : in / groups; }

    // Runs one of the three kernels with the scratch memory that it needs.
    template <class Scratches, class GroupScratches, class Run, class GroupRun, class... Operands>
    void run(Scratches floats, GroupScratches group_floats, Run plain, GroupRun grouped, const Operands&... operands) const {
        py::gil_scoped_release unlocked;
        const Executor on = threads();
        Scratch scratch(groups == 0 ? floats(*this, on.threads) : group_floats(*this, groups, on.threads));
        if (groups == 0) plain(on, *this, operands..., scratch.floats());
        else grouped(on, *this, groups, operands..., scratch.floats());
    }
    int64_t groups;
};

// y (N, Ho, Wo, Co) = x (N, H, W, Ci) * w (K, K, Ci / groups, Co).
py::object forward(const View& x, const Dense& w, int64_t stride, int64_t padding, int64_t groups) {
    const char* where = name(groups, "conv", "grouped_conv");
    check_maps(where, x, w);
    const Call s(where, {x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[3], w.shape[0], stride, padding}, groups);
    check_shape(where, "the weight", w, {s.kernel, s.kernel, s.group_in(), s.out});
    Result y(x, output_shape(s));
    s.run(conv().scratch, grouped_conv().scratch, conv().run, grouped_conv().run, map_of(x), w.p, y.p);
    return y.array();
}

// dx (N, H, W, Ci) from g (N, Ho, Wo, Co) and w (K, K, Ci / groups, Co).
py::object input_gradient(const View& g, const Dense& w, int64_t stride, int64_t padding, int64_t height, int64_t width,
                          int64_t groups) {
    const char* where = name(groups, "conv_input_gradient", "grouped_conv_input_gradient");
    check_maps(where, g, w);
    check_size(where, "the number of groups", groups, 0);
    check_size(where, "the number of input channels", w.shape[2], 0);
    const int64_t in = w.shape[2] * (groups == 0 ? 1 : groups);
    const Call s(where, {g.shape[0], height, width, in, w.shape[3], w.shape[0], stride, padding}, groups);
    check_shape(where, "the weight", w, {s.kernel, s.kernel, w.shape[2], s.out});
    check_shape(where, "the gradient", g, output_shape(s));
    Result dx(g, {s.images, height, width, s.in});
    s.run(conv().input_gradient_scratch, grouped_conv().input_gradient_scratch, conv().input_gradient,
          grouped_conv().input_gradient, map_of(g), w.p, dx.p);
    return dx.array();
}

// dw (K, K, Ci / groups, Co) from x (N, H, W, Ci) and g (N, Ho, Wo, Co).
py::object weight_gradient(const View& x, const View& g, int64_t stride, int64_t padding, int64_t kernel, int64_t groups) {
    const char* where = name(groups, "conv_weight_gradient", "grouped_conv_weight_gradient");
    check_maps(where, x, g);
    const Call s(where, {x.shape[0], x.shape[1], x.shape[2], x.shape[3], g.shape[3], kernel, stride, padding}, groups);
    check_shape(where, "the gradient", g, output_shape(s));
    Result dw(x, {kernel, kernel, s.group_in(), s.out});
    s.run(conv().weight_gradient_scratch, grouped_conv().weight_gradient_scratch, conv().weight_gradient,
          grouped_conv().weight_gradient, map_of(x), map_of(g), dw.p);
    return dw.array();
}

}  // namespace

void bind_conv(py::module_& m) {
    const py::arg x("x"), w("w"), g("g"), stride("stride"), padding("padding");
    const auto groups = py::arg("groups") = 0;
    m.def("conv", forward, x, w, py::arg("stride") = 1, py::arg("padding") = 1, groups);
    m.def("conv_input_gradient", input_gradient, g, w, stride, padding, py::arg("height"), py::arg("width"), groups);
    m.def("conv_weight_gradient", weight_gradient, x, g, stride, padding, py::arg("kernel"), groups);
}

}  // namespace nd
