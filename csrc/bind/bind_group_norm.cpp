#include "bindings.h"
#include "fused.h"
#include "group_norm.h"

namespace nd {
namespace {

// x is (images, pixels, channels) floats.
GroupShape shape_of(const Arguments& check, int64_t images, int64_t pixels, int64_t channels, int64_t groups) {
    if (images < 1 || pixels < 1 || channels < 1 || groups < 1 || channels % groups)
        refuse(check.where(), "needs at least one image, pixel and channel, and groups that divide the channels, got " +
                                  std::to_string(images) + ", " + std::to_string(pixels) + ", " + std::to_string(channels) +
                                  ", " + std::to_string(groups));
    check.count({6, images, pixels, channels});  // nothing that is counted below overflows
    return {images, pixels, channels, groups};
}

void group_norm(Array& x, Array& weight, Array& bias, Array& y, Array& mean, Array& rstd, int64_t images, int64_t pixels,
                int64_t channels, int64_t groups, float eps) {
    Arguments check("group_norm");
    const GroupShape s = shape_of(check, images, pixels, channels, groups);
    const int64_t count = check.count({images, pixels, channels}), parts = check.count({images, groups});
    const float *from = check.in(x, count), *w = check.in(weight, channels), *b = check.in(bias, channels);
    float *to = check.out(y, count), *means = check.out(mean, parts), *rstds = check.out(rstd, parts);
    py::gil_scoped_release unlocked;
    Scratch scratch(group_norm_kernels().scratch(s));
    group_norm_kernels().group_norm(threads(), s, from, w, b, eps, to, means, rstds, scratch.floats());
}

void group_norm_gradient(Array& g, Array& x, Array& weight, Array& mean, Array& rstd, Array& dx, Array& dweight, Array& dbias,
                         int64_t images, int64_t pixels, int64_t channels, int64_t groups) {
    Arguments check("group_norm_gradient");
    const GroupShape s = shape_of(check, images, pixels, channels, groups);
    const int64_t count = check.count({images, pixels, channels}), parts = check.count({images, groups});
    const float *gradient = check.in(g, count), *from = check.in(x, count), *w = check.in(weight, channels);
    const float *means = check.in(mean, parts), *rstds = check.in(rstd, parts);
    float *to = check.out(dx, count), *dw = check.out(dweight, channels), *db = check.out(dbias, channels);
    py::gil_scoped_release unlocked;
    Scratch scratch(group_norm_kernels().scratch(s));
    group_norm_kernels().group_norm_gradient(threads(), s, gradient, from, w, means, rstds, to, dw, db, scratch.floats());
}

int64_t matrix(const Arguments& check, int64_t rows, int64_t cols) {
    if (rows < 1 || cols < 1)
        refuse(check.where(), "needs at least one row and one column, got " + std::to_string(rows) + " x " + std::to_string(cols));
    return check.count({rows, cols});
}

void rms_norm(Array& x, Array& weight, Array& y, Array& rstd, int64_t rows, int64_t cols, float eps) {
    Arguments check("rms_norm");
    const int64_t count = matrix(check, rows, cols);
    const float *from = check.in(x, count), *w = check.in(weight, cols);
    float *to = check.out(y, count), *rstds = check.out(rstd, rows);
    py::gil_scoped_release unlocked;
    group_norm_kernels().rms_norm(threads(), rows, cols, from, w, eps, to, rstds);
}

void rms_norm_gradient(Array& g, Array& x, Array& weight, Array& rstd, Array& dx, Array& dweight, int64_t rows, int64_t cols) {
    Arguments check("rms_norm_gradient");
    const int64_t count = matrix(check, rows, cols);
    const float *gradient = check.in(g, count), *from = check.in(x, count), *w = check.in(weight, cols);
    const float* rstds = check.in(rstd, rows);
    float *to = check.out(dx, count), *dw = check.out(dweight, cols);
    py::gil_scoped_release unlocked;
    Scratch scratch(group_norm_kernels().rms_scratch(rows, cols));
    group_norm_kernels().rms_norm_gradient(threads(), rows, cols, gradient, from, w, rstds, to, dw, scratch.floats());
}

}  // namespace

void bind_group_norm(py::module_& m) {
    m.def("group_norm", &group_norm);
    m.def("group_norm_gradient", &group_norm_gradient);
    m.def("rms_norm", &rms_norm);
    m.def("rms_norm_gradient", &rms_norm_gradient);
}

}  // namespace nd
