#include "fused.h"
#include "view.h"

namespace nd {
namespace {

// Checks x and what has a number for each of its channels, which come in groups of neighbours.
void check_channels(const char* where, Views given, int axes = 1, int64_t groups = 1) {
    const View& x = **given.begin();
    bool fits = x.dims >= axes && x.size > 0 && groups > 0 && x.last() % groups == 0;
    for (const View* each : given) fits = fits && (each == &x || each->is({x.last()}));
    if (fits) return;
    if (axes == 1) misfit(where, "x (..., C) and C numbers of each parameter", given);
    misfit(where, "x (N, ..., C), C numbers of each parameter and a C that " + std::to_string(groups) + " divides", given);
}

// Whether memory is rows of C channels, in whatever order the rows come: nothing needs to be copied then.
bool channels_last(const View& x) { return x.dense && x.stride[x.dims - 1] == 1; }

py::object batch_norm(const View& given, const Dense& weight, const Dense& bias, float eps) {
    check_channels("batch_norm", {&given, &weight, &bias});
    const Dense x(given, channels_last(given));
    const int64_t cols = x.last(), rows = x.size / cols;
    Result y(x), mean(x, {cols}), var(x, {cols});
    unlocked(x.size, norm_kernels().scratch(rows, cols), [&](float* scratch) {
        norm_kernels().batch_norm(threads(), rows, cols, x.p, weight.p, bias.p, eps, y.p, mean.p, var.p, scratch);
    });
    return py::make_tuple(y.array(), mean.array(), var.array());
}

py::object batch_norm_inference(const View& given, const Dense& weight, const Dense& bias, const Dense& mean, const Dense& var,
                                float eps) {
    check_channels("batch_norm_inference", {&given, &weight, &bias, &mean, &var});
    const Dense x(given, channels_last(given));
    const int64_t cols = x.last(), rows = x.size / cols;
    Result y(x);
    unlocked(x.size, norm_kernels().scratch(rows, cols), [&](float* scratch) {
        norm_kernels().batch_norm_inference(threads(), rows, cols, x.p, weight.p, bias.p, mean.p, var.p, eps, y.p, scratch);
    });
    return y.array();
}

void check_gradient(const char* where, const View& g, const View& x) {
    if (!g.same_shape(x)) misfit(where, "g of the shape of x", {&g, &x});
}

py::object batch_norm_gradient(const View& gradient, const View& given, const Dense& weight, const Dense& mean, const Dense& var,
                               float eps) {
    check_channels("batch_norm_gradient", {&given, &weight, &mean, &var});
    check_gradient("batch_norm_gradient", gradient, given);
    const bool keep = gradient.same_layout(given) && channels_last(given);
    const Dense g(gradient, keep), x(given, keep);
    const int64_t cols = x.last(), rows = x.size / cols;
    Result dx(x), dweight(x, {cols}), dbias(x, {cols});
    unlocked(x.size, norm_kernels().scratch(rows, cols), [&](float* scratch) {
        norm_kernels().batch_norm_gradient(threads(), rows, cols, g.p, x.p, weight.p, mean.p, var.p, eps, dx.p, dweight.p,
                                           dbias.p, scratch);
    });
    return py::make_tuple(dx.array(), dweight.array(), dbias.array());
}

// A number for each row: the shape of x with 1 for its last axis.
Sizes per_row(const View& x) {
    Sizes shape = x.sizes();
    shape.back() = 1;
    return shape;
}

py::object layer_norm(const Dense& x, const Dense& weight, const Dense& bias, float eps) {
    check_channels("layer_norm", {&x, &weight, &bias});
    Result y(x), mean(x, per_row(x)), rstd(x, per_row(x));
    unlocked(x.size, [&] {
        norm_kernels().layer_norm(threads(), x.size / x.last(), x.last(), x.p, weight.p, bias.p, eps, y.p, mean.p, rstd.p);
    });
    return py::make_tuple(y.array(), mean.array(), rstd.array());
}

py::object layer_norm_gradient(const Dense& g, const Dense& x, const Dense& weight, const Dense& mean, const Dense& rstd) {
    check_channels("layer_norm_gradient", {&x, &weight});
    check_gradient("layer_norm_gradient", g, x);
    const int64_t cols = x.last(), rows = x.size / cols;
    if (mean.size != rows || rstd.size != rows) misfit("layer_norm_gradient", "a mean and a rstd of each row", {&x, &mean, &rstd});
    Result dx(x), dweight(x, {cols}), dbias(x, {cols});
    unlocked(x.size, norm_kernels().scratch(rows, cols), [&](float* scratch) {
        norm_kernels().layer_norm_gradient(threads(), rows, cols, g.p, x.p, weight.p, mean.p, rstd.p, dx.p, dweight.p, dbias.p,
                                           scratch);
    });
    return py::make_tuple(dx.array(), dweight.array(), dbias.array());
}

py::object group_norm(const Dense& x, const Dense& weight, const Dense& bias, int64_t groups, float eps) {
    check_channels("group_norm", {&x, &weight, &bias}, 2, groups);
    const GroupShape s{x.shape[0], x.size / x.shape[0] / x.last(), x.last(), groups};
    Result y(x), mean(x, {s.images, groups}), rstd(x, {s.images, groups});
    unlocked(x.size, group_norm_kernels().scratch(s), [&](float* scratch) {
        group_norm_kernels().group_norm(threads(), s, x.p, weight.p, bias.p, eps, y.p, mean.p, rstd.p, scratch);
    });
    return py::make_tuple(y.array(), mean.array(), rstd.array());
}

py::object group_norm_gradient(const Dense& g, const Dense& x, const Dense& weight, const Dense& mean, const Dense& rstd,
                               int64_t groups) {
    const char* where = "group_norm_gradient";
    check_channels(where, {&x, &weight}, 2, groups);
    check_gradient(where, g, x);
    const GroupShape s{x.shape[0], x.size / x.shape[0] / x.last(), x.last(), groups};
    if (!mean.is({s.images, groups}) || !rstd.is({s.images, groups})) misfit(where, "mean and rstd (N, groups)", {&x, &mean, &rstd});
    Result dx(x), dweight(weight), dbias(weight);
    unlocked(x.size, group_norm_kernels().scratch(s), [&](float* scratch) {
        group_norm_kernels().group_norm_gradient(threads(), s, g.p, x.p, weight.p, mean.p, rstd.p, dx.p, dweight.p, dbias.p,
                                                 scratch);
    });
    return py::make_tuple(dx.array(), dweight.array(), dbias.array());
}

py::object rms_norm(const Dense& x, const Dense& weight, float eps) {
    check_channels("rms_norm", {&x, &weight});
    Result y(x), rstd(x, per_row(x));
    unlocked(x.size, [&] {
        group_norm_kernels().rms_norm(threads(), x.size / x.last(), x.last(), x.p, weight.p, eps, y.p, rstd.p);
    });
    return py::make_tuple(y.array(), rstd.array());
}

py::object rms_norm_gradient(const Dense& g, const Dense& x, const Dense& weight, const Dense& rstd) {
    check_channels("rms_norm_gradient", {&x, &weight});
    check_gradient("rms_norm_gradient", g, x);
    const int64_t cols = x.last(), rows = x.size / cols;
    if (rstd.size != rows) misfit("rms_norm_gradient", "a rstd of each row", {&x, &rstd});
    Result dx(x), dweight(x, {cols});
    unlocked(x.size, group_norm_kernels().rms_scratch(rows, cols), [&](float* scratch) {
        group_norm_kernels().rms_norm_gradient(threads(), rows, cols, g.p, x.p, weight.p, rstd.p, dx.p, dweight.p, scratch);
    });
    return py::make_tuple(dx.array(), dweight.array());
}

}  // namespace

void bind_norm(py::module_& m) {
    const py::arg x("x"), weight("weight"), bias("bias"), mean("mean"), var("var");
    const auto eps = py::arg("eps") = 1e-5f;
    m.def("batch_norm", &batch_norm, x, weight, bias, eps);
    m.def("batch_norm_inference", &batch_norm_inference, x, weight, bias, mean, var, eps);
    m.def("batch_norm_gradient", &batch_norm_gradient, py::arg("g"), x, weight, mean, var, eps);
    m.def("layer_norm", &layer_norm, x, weight, bias, eps);
    m.def("layer_norm_gradient", &layer_norm_gradient);
    m.def("group_norm", &group_norm, x, weight, bias, py::arg("groups"), eps);
    m.def("group_norm_gradient", &group_norm_gradient);
    m.def("rms_norm", &rms_norm, x, weight, eps);
    m.def("rms_norm_gradient", &rms_norm_gradient);
}

}  // namespace nd
