#include "bindings.h"
#include "fused.h"
#include <algorithm>

namespace nd {
namespace {

void need_columns(const char* where, int64_t cols) {
    if (cols < 1) refuse(where, "needs at least one column, got " + std::to_string(cols));
}

void def_map(py::module_& m, const char* name, SoftmaxTable::Map SoftmaxTable::* kernel, bool one_per_row) {
    m.def(name, [name, kernel, one_per_row](Array& x, Array& y, int64_t rows, int64_t cols) {
        Arguments check(name);
        need_columns(name, cols);
        const float* from = check.in(x, check.count({rows, cols}));
        float* to = check.out(y, check.count({rows, one_per_row ? 1 : cols}));
        py::gil_scoped_release unlocked;
        (softmax_kernels().*kernel)(threads(), rows, cols, from, to);
    });
}

void def_gradient(py::module_& m, const char* name, SoftmaxTable::Gradient SoftmaxTable::* kernel) {
    m.def(name, [name, kernel](Array& g, Array& y, Array& dx, int64_t rows, int64_t cols) {
        Arguments check(name);
        need_columns(name, cols);
        const int64_t count = check.count({rows, cols});
        const float *gradient = check.in(g, count), *value = check.in(y, count);
        float* to = check.out(dx, count);
        py::gil_scoped_release unlocked;
        (softmax_kernels().*kernel)(threads(), rows, cols, gradient, value, to);
    });
}

// The arguments that cross entropy and its gradient share.
struct Rows {
    Rows(Arguments& check, Array& logits, Array& given, int64_t rows, int64_t cols, float smoothing, float ignored, bool mean) {
        need_columns(check.where(), cols);
        x = check.in(logits, check.count({rows, cols}));
        labels = {check.in(given, rows), smoothing, ignored};
        bad = softmax_kernels().first_bad_label(rows, cols, labels);
        divisor = mean ? std::max<float>(1, float(softmax_kernels().counted(rows, labels))) : 1;
    }
    const float* x;
    Labels labels;
    int64_t bad;
    float divisor;  // of the sum of the losses: how many rows count, for their mean
};

int64_t cross_entropy(Array& logits, Array& labels, Array& loss, int64_t rows, int64_t cols, float smoothing, float ignored,
                      bool mean) {
    Arguments check("cross_entropy");
    const Rows in(check, logits, labels, rows, cols, smoothing, ignored, mean);
    const bool each = !mean && loss.size == rows;
    float* to = check.out(loss, each ? rows : 1);
    if (in.bad >= 0) return in.bad;
    py::gil_scoped_release unlocked;
    Scratch scratch(each ? 0 : rows);
    float* losses = each ? to : scratch.floats();
    softmax_kernels().cross_entropy(threads(), rows, cols, in.x, in.labels, losses);
    if (!each) *to = softmax_kernels().total_loss(rows, losses, in.divisor);
    return -1;
}

int64_t cross_entropy_gradient(Array& g, Array& logits, Array& labels, Array& dx, int64_t rows, int64_t cols, float smoothing,
                               float ignored, bool mean) {
    Arguments check("cross_entropy_gradient");
    const bool each = !mean && g.size == rows;
    const float* gradient = check.in(g, each ? rows : 1);
    const Rows in(check, logits, labels, rows, cols, smoothing, ignored, mean);
    float* to = check.out(dx, check.count({rows, cols}));
    if (in.bad >= 0) return in.bad;
    py::gil_scoped_release unlocked;
    softmax_kernels().cross_entropy_gradient(threads(), rows, cols, gradient, each, in.divisor, in.x, in.labels, to);
    return -1;
}

}  // namespace

void bind_softmax(py::module_& m) {
    def_map(m, "softmax", &SoftmaxTable::softmax, false);
    def_map(m, "logsoftmax", &SoftmaxTable::logsoftmax, false);
    def_map(m, "logsumexp", &SoftmaxTable::logsumexp, true);
    def_gradient(m, "softmax_gradient", &SoftmaxTable::softmax_gradient);
    def_gradient(m, "logsoftmax_gradient", &SoftmaxTable::logsoftmax_gradient);
    m.def("cross_entropy", &cross_entropy,
          "The mean or sum of the rows' losses into one float, or every row's. -1, or the first row whose label is neither "
          "`ignored` nor a whole number in 0..cols-1: then nothing was done.");
    m.def("cross_entropy_gradient", &cross_entropy_gradient, "As cross_entropy; g has the size that its result has.");
}

}  // namespace nd
