#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

int64_t norm_count(const Arguments& check, int64_t rows, int64_t cols) {
    if (rows < 1 || cols < 1)
        refuse(check.where(), "needs at least one row and one column, got " + std::to_string(rows) + " x " + std::to_string(cols));
    return check.count({rows, cols});
}

void batch_norm(Array& x, Array& weight, Array& bias, Array& y, Array& mean, Array& var, int64_t rows, int64_t cols, float eps) {
    Arguments check("batch_norm");
    const int64_t count = norm_count(check, rows, cols);
    const float *from = check.in(x, count), *w = check.in(weight, cols), *b = check.in(bias, cols);
    float *to = check.out(y, count), *means = check.out(mean, cols), *vars = check.out(var, cols);
    py::gil_scoped_release unlocked;
    Scratch scratch(norm_kernels().scratch(rows, cols));
    norm_kernels().batch_norm(threads(), rows, cols, from, w, b, eps, to, means, vars, scratch.floats());
}

void batch_norm_inference(Array& x, Array& weight, Array& bias, Array& mean, Array& var, Array& y, int64_t rows, int64_t cols,
                          float eps) {
    Arguments check("batch_norm_inference");
    const int64_t count = norm_count(check, rows, cols);
    const float *from = check.in(x, count), *w = check.in(weight, cols), *b = check.in(bias, cols);
    const float *means = check.in(mean, cols), *vars = check.in(var, cols);
    float* to = check.out(y, count);
    py::gil_scoped_release unlocked;
    Scratch scratch(norm_kernels().scratch(rows, cols));
    norm_kernels().batch_norm_inference(threads(), rows, cols, from, w, b, means, vars, eps, to, scratch.floats());
}

void batch_norm_gradient(Array& g, Array& x, Array& weight, Array& mean, Array& var, Array& dx, Array& dweight, Array& dbias,
                         int64_t rows, int64_t cols, float eps) {
    Arguments check("batch_norm_gradient");
    const int64_t count = norm_count(check, rows, cols);
    const float *gradient = check.in(g, count), *from = check.in(x, count), *w = check.in(weight, cols);
    const float *means = check.in(mean, cols), *vars = check.in(var, cols);
    float *to = check.out(dx, count), *dw = check.out(dweight, cols), *db = check.out(dbias, cols);
    py::gil_scoped_release unlocked;
    Scratch scratch(norm_kernels().scratch(rows, cols));
    norm_kernels().batch_norm_gradient(threads(), rows, cols, gradient, from, w, means, vars, eps, to, dw, db, scratch.floats());
}

void layer_norm(Array& x, Array& weight, Array& bias, Array& y, Array& mean, Array& rstd, int64_t rows, int64_t cols, float eps) {
    Arguments check("layer_norm");
    const int64_t count = norm_count(check, rows, cols);
    const float *from = check.in(x, count), *w = check.in(weight, cols), *b = check.in(bias, cols);
    float *to = check.out(y, count), *means = check.out(mean, rows), *rstds = check.out(rstd, rows);
    py::gil_scoped_release unlocked;
    norm_kernels().layer_norm(threads(), rows, cols, from, w, b, eps, to, means, rstds);
}

void layer_norm_gradient(Array& g, Array& x, Array& weight, Array& mean, Array& rstd, Array& dx, Array& dweight, Array& dbias,
                         int64_t rows, int64_t cols) {
    Arguments check("layer_norm_gradient");
    const int64_t count = norm_count(check, rows, cols);
    const float *gradient = check.in(g, count), *from = check.in(x, count), *w = check.in(weight, cols);
    const float *means = check.in(mean, rows), *rstds = check.in(rstd, rows);
    float *to = check.out(dx, count), *dw = check.out(dweight, cols), *db = check.out(dbias, cols);
    py::gil_scoped_release unlocked;
    Scratch scratch(norm_kernels().scratch(rows, cols));
    norm_kernels().layer_norm_gradient(threads(), rows, cols, gradient, from, w, means, rstds, to, dw, db, scratch.floats());
}

}  // namespace

void bind_norm(py::module_& m) {
    m.def("batch_norm", &batch_norm);
    m.def("batch_norm_inference", &batch_norm_inference);
    m.def("batch_norm_gradient", &batch_norm_gradient);
    m.def("layer_norm", &layer_norm);
    m.def("layer_norm_gradient", &layer_norm_gradient);
}

}  // namespace nd
