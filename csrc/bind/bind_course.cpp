// The course's first exercise in C++: one epoch of softmax regression, written as plain loops.
#include <algorithm>
#include <cmath>
#include <vector>
#include "bindings.h"

namespace nd {
namespace {

// out = softmax(x theta) - onehot(label) for one row x of `features` numbers.
void row_error(const float* x, const float* theta, int64_t features, int64_t classes, int64_t label, float* out) {
    std::fill(out, out + classes, 0.0f);
    for (int64_t i = 0; i < features; ++i)
        for (int64_t j = 0; j < classes; ++j) out[j] += x[i] * theta[i * classes + j];
    const float top = *std::max_element(out, out + classes);
    float total = 0.0f;
    for (int64_t j = 0; j < classes; ++j) total += out[j] = std::exp(out[j] - top);
    for (int64_t j = 0; j < classes; ++j) out[j] /= total;
    out[label] -= 1.0f;
}

// theta -= lr / rows * x^T softmax_error for one batch.
void batch_step(const float* x, const int64_t* labels, float* theta, int64_t rows, int64_t features, int64_t classes,
                float lr, std::vector<float>& error, std::vector<float>& gradient) {
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
        row_error(x + r * features, theta, features, classes, labels[r], error.data());
        for (int64_t i = 0; i < features; ++i)
            for (int64_t j = 0; j < classes; ++j) gradient[i * classes + j] += x[r * features + i] * error[j];
    }
    for (int64_t i = 0; i < features * classes; ++i) theta[i] -= lr / static_cast<float>(rows) * gradient[i];
}

using Floats = py::array_t<float, py::array::c_style>;
using Classes = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;

void softmax_regression_epoch(const Floats& X, const Classes& y, Floats theta, float lr, int64_t batch) {
    const char* where = "softmax_regression_epoch";
    if (X.ndim() != 2 || theta.ndim() != 2 || y.ndim() != 1) refuse(where, "needs X (n, d), y (n,), theta (d, k)");
    const int64_t n = X.shape(0), features = X.shape(1), classes = theta.shape(1);
    if (y.shape(0) != n || theta.shape(0) != features)
        refuse(where, "sizes must agree: X (n, d), y (n,), theta (d, k)");
    if (batch < 1) refuse(where, "batch must be at least 1, got " + std::to_string(batch));
    const int64_t* labels = y.data();
    for (int64_t i = 0; i < n; ++i)
        if (labels[i] < 0 || labels[i] >= classes) refuse(where, "label " + std::to_string(labels[i]) + " of row " + std::to_string(i) +
                                                    " must lie in 0.." + std::to_string(classes - 1));
    const float* x = X.data();
    float* weights = theta.mutable_data();  // throws for an array that must not be written
    std::vector<float> error(classes), gradient(features * classes);
    py::gil_scoped_release unlocked;
    for (int64_t start = 0; start < n; start += batch)
        batch_step(x + start * features, labels + start, weights, std::min(batch, n - start), features, classes, lr,
                   error, gradient);
}

}  // namespace

void bind_course(py::module_& m) {
    m.def("softmax_regression_epoch", &softmax_regression_epoch, py::arg("X").noconvert(), py::arg("y"),
          py::arg("theta").noconvert(), py::arg("lr"), py::arg("batch"),
          "theta -= lr X_b^T (softmax(X_b theta) - onehot(y_b)) / b for each batch in order, in place; X and theta "
          "float32, y integers, rows contiguous.");
}

}  // namespace nd
