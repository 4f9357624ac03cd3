#include <algorithm>
#include <cmath>
#include "fused.h"
#include "view.h"

namespace nd {
namespace {

void need_columns(const char* where, const View& x) {
    if (x.dims == 0 || x.last() == 0) misfit(where, "a last axis of at least one element", {&x});
}

void def_map(py::module_& m, const char* name, SoftmaxTable::Map SoftmaxTable::* kernel) {
    m.def(name, [name, kernel](const Dense& x) {
        need_columns(name, x);
        Result y(x);
        unlocked(x.size, [&] { (softmax_kernels().*kernel)(threads(), x.size / x.last(), x.last(), x.p, y.p); });
        return y.array();
    });
}

void def_gradient(py::module_& m, const char* name, SoftmaxTable::Gradient SoftmaxTable::* kernel) {
    m.def(name, [name, kernel](const Dense& g, const Dense& y) {
        need_columns(name, y);
        if (!g.same_shape(y)) misfit(name, "g and y of one shape", {&g, &y});
        Result dx(y);
        unlocked(y.size, [&] { (softmax_kernels().*kernel)(threads(), y.size / y.last(), y.last(), g.p, y.p, dx.p); });
        return dx.array();
    });
}

py::object logsumexp(const View& x, const py::object& named) {
    const Axes axes = axes_of("logsumexp", x, named);
    View turned = x;  // what is summed over goes last
    Sizes shape;
    int64_t columns = 1;
    int at = 0;
    for (const bool summed : {false, true})
        for (int axis = 0; axis < x.dims; ++axis)
            if (axes[static_cast<std::size_t>(axis)] == summed) {
                turned.shape[at] = x.shape[axis];
                turned.stride[at++] = x.stride[axis];
                if (summed) columns *= x.shape[axis];
                else shape.push_back(x.shape[axis]);
            }
    if (columns == 0)
        refuse_shape("logsumexp", "needs at least one element along " + std::string(py::str(named)) + ", got " + text(x.sizes()));
    const Dense from(turned);
    Result y(x, shape.empty() ? Sizes{1} : shape);
    unlocked(x.size, [&] { softmax_kernels().logsumexp(threads(), x.size / columns, columns, from.p, y.p); });
    return y.array();
}

// The arguments that cross entropy and its gradient share.
struct Rows {
    Rows(const Dense& logits, const Ids& given, float smoothing, std::optional<float> ignored, const std::string& reduction) {
        if (logits.dims != 2 || logits.size == 0 || !given.is({logits.shape[0]}))
            misfit("cross_entropy", "logits (N, C) and labels (N,)", {&logits, &given});
        rows = logits.shape[0], cols = logits.shape[1];
        labels = {given.p, smoothing, ignored.value_or(std::nanf(""))};
        check_whole("cross_entropy", "labels", "row ", 0, cols, given, softmax_kernels().first_bad_label(rows, cols, labels));
        divisor = reduction == "mean" ? std::max<float>(1, float(softmax_kernels().counted(rows, labels))) : 1;
        each = reduction == "none";
    }
    int64_t rows, cols;
    Labels labels;
    float divisor;  // of the sum of the losses: how many rows count, for their mean
    bool each;      // row has a loss of its own
};

py::object cross_entropy(const Dense& logits, const Ids& labels, float smoothing, std::optional<float> ignored,
                         const std::string& reduction) {
    const Rows in(logits, labels, smoothing, ignored, reduction);
    Result loss(logits, {in.each ? in.rows : 1});
    unlocked(logits.size, in.each ? 0 : in.rows, [&](float* scratch) {
        float* losses = in.each ? loss.p : scratch;
        softmax_kernels().cross_entropy(threads(), in.rows, in.cols, logits.p, in.labels, losses);
        if (!in.each) softmax_kernels().total_loss(threads(), in.rows, losses, in.divisor, loss.p);
    });
    return loss.array();
}

py::object cross_entropy_gradient(const Dense& g, const Dense& logits, const Ids& labels, float smoothing,
                                  std::optional<float> ignored, const std::string& reduction) {
    const Rows in(logits, labels, smoothing, ignored, reduction);
    if (g.size != (in.each ? in.rows : 1)) misfit("cross_entropy_gradient", "g of the shape of the loss", {&g, &logits});
    Result dx(logits);
    unlocked(logits.size, [&] {
        softmax_kernels().cross_entropy_gradient(threads(), in.rows, in.cols, g.p, in.each, in.divisor, logits.p, in.labels, dx.p);
    });
    return dx.array();
}

}  // namespace

void bind_softmax(py::module_& m) {
    def_map(m, "softmax", &SoftmaxTable::softmax);
    def_map(m, "logsoftmax", &SoftmaxTable::logsoftmax);
    def_gradient(m, "softmax_gradient", &SoftmaxTable::softmax_gradient);
    def_gradient(m, "logsoftmax_gradient", &SoftmaxTable::logsoftmax_gradient);
    m.def("logsumexp", &logsumexp, py::arg("x"), py::arg("axes") = py::none());
    const auto smoothing = py::arg("smoothing") = 0.0f;
    const auto ignored = py::arg("ignored") = py::none();
    const auto reduction = py::arg("reduction") = "mean";
    m.def("cross_entropy", &cross_entropy, py::arg("logits"), py::arg("labels"), smoothing, ignored, reduction);
    m.def("cross_entropy_gradient", &cross_entropy_gradient, py::arg("g"), py::arg("logits"), py::arg("labels"), smoothing,
          ignored, reduction);
}

}  // namespace nd
