#include "depthwise.h"
#include "view.h"

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

Planes planes(const char* where, const Columns& x, const Sizes& needed) {
    if (x.sizes() != needed) refuse_shape(where, "the map must be " + text(needed) + ", got " + text(x.sizes()));
    return x.as<Planes>();
}

Sizes outputs_of(const DepthwiseShape& s) { return {s.images, s.rows(), s.columns(), s.channels}; }

void check_weight(const char* where, const View& w, const DepthwiseShape& s) {
    if (!w.is({s.kernel, s.kernel, 1, s.channels})) misfit(where, "a weight (K, K, 1, " + std::to_string(s.channels) + ")", {&w});
}

py::object depthwise_of(const Columns& x, const Dense& w, int64_t stride, int64_t top, int64_t left, int64_t dilation) {
    const char* where = "depthwise";
    const DepthwiseShape s = shape_of(where, x.sizes(), w.dims == 4 ? w.shape[0] : 0, stride, top, left, dilation);
    check_weight(where, w, s);
    Result y(x, outputs_of(s));
    unlocked(kAlways, depthwise().scratch(s), [&](float* scratch) {
        depthwise().run(threads(), s, x.as<Planes>(), w.p, y.p, scratch, Steps{});
    });
    return y.array();
}

py::object depthwise_input_gradient_of(const Columns& g, const Dense& w, int64_t height, int64_t width, int64_t stride,
                                       int64_t top, int64_t left, int64_t dilation) {
    const char* where = "depthwise_input_gradient";
    if (g.dims != 4 || w.dims != 4) misfit(where, "two operands of four axes", {&g, &w});
    const Sizes image{g.shape[0], height, width, w.shape[3]};
    const DepthwiseShape s = shape_of(where, image, w.shape[0], stride, top, left, dilation);
    check_weight(where, w, s);
    const Planes from = planes(where, g, outputs_of(s));
    Result dx(g, image);
    unlocked(kAlways, depthwise().scratch(s), [&](float* scratch) {
        depthwise().input_gradient(threads(), s, from, w.p, dx.p, scratch);
    });
    return dx.array();
}

py::object depthwise_weight_gradient_of(const Columns& x, const Columns& g, int64_t kernel, int64_t stride, int64_t top,
                                        int64_t left, int64_t dilation) {
    const char* where = "depthwise_weight_gradient";
    const DepthwiseShape s = shape_of(where, x.sizes(), kernel, stride, top, left, dilation);
    const Planes gradient = planes(where, g, outputs_of(s));
    Result dw(x, {kernel, kernel, 1, s.channels});
    unlocked(kAlways, depthwise().weight_gradient_scratch(s), [&](float* scratch) {
        depthwise().weight_gradient(threads(), s, x.as<Planes>(), gradient, dw.p, scratch);
    });
    return dw.array();
}

}  // namespace

void bind_depthwise(py::module_& m) {
    m.def("depthwise", depthwise_of);
    m.def("depthwise_input_gradient", depthwise_input_gradient_of);
    m.def("depthwise_weight_gradient", depthwise_weight_gradient_of);
}

}  // namespace nd
