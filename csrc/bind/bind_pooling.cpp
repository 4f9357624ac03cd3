#include "pooling.h"
#include "view.h"

namespace nd {
namespace {

using Ints = py::array_t<int64_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;

// What the outputs of an axis read: `arrays` of needle's Bands, checked; with `full`, every output reads something.
struct Axis {
    Axis(const char* where, const py::object& bands, bool full) : kept(py::getattr(bands, "arrays", py::none())) {
        if (!py::isinstance<py::tuple>(kept) || py::len(kept) != 4) refuse(where, "needs Bands");
        const py::tuple parts = kept;
        py::detail::make_caster<int64_t> length;
        if (!length.load(parts[0], false) || !py::isinstance<Ints>(parts[1]) || !py::isinstance<Ints>(parts[2]) ||
            !py::isinstance<Floats>(parts[3]))
            refuse(where, "needs Bands of an integer, two int64 arrays and a float32 one");
        const auto size = static_cast<int64_t>(length);
        const auto first = parts[1].cast<Ints>(), start = parts[2].cast<Ints>();
        const auto weight = parts[3].cast<Floats>();
        const int64_t outputs = first.size();
        if (size < 0 || size > kLongestAxis || outputs > kLongestAxis) refuse(where, "an axis is too long");
        if (first.ndim() != 1 || start.ndim() != 1 || weight.ndim() != 1 || start.size() != outputs + 1)
            refuse(where, "needs a first position and a start of the weights for every output");
        reads = {outputs, size, first.data(), start.data(), weight.data()};
        const std::string fault = fault_of(reads, weight.size(), full);
        if (!fault.empty()) refuse(where, fault);
    }
    py::object kept;
    Bands reads;
};

Pixels pixels(const char* where, const Columns& x, int64_t height, int64_t width) {
    if (x.dims != 4 || x.shape[1] != height || x.shape[2] != width)
        misfit(where, "a map (N, " + std::to_string(height) + ", " + std::to_string(width) + ", C)", {&x});
    return x.as<Pixels>();
}

py::object resample_of(const Columns& x, const py::object& rows, const py::object& columns) {
    const Axis v("resample", rows, false), h("resample", columns, false);
    const Pixels from = pixels("resample", x, v.reads.size, h.reads.size);
    Result y(x, {x.shape[0], v.reads.outputs, h.reads.outputs, x.last()});
    unlocked(kAlways, [&] { pooling().resample(threads(), x.shape[0], x.last(), v.reads, h.reads, from, y.p); });
    return y.array();
}

py::object max_pool_of(const Columns& x, const Columns& u, const py::object& rows, const py::object& columns) {
    const Axis v("max_pool", rows, true), h("max_pool", columns, true);
    const Pixels from = pixels("max_pool", x, v.reads.size, h.reads.size);
    const Pixels other = pixels("max_pool", u, v.reads.size, h.reads.size);
    if (!x.same_shape(u)) misfit("max_pool", "maps of one shape", {&x, &u});
    Result y(x, {x.shape[0], v.reads.outputs, h.reads.outputs, x.last()});
    unlocked(kAlways, [&] {
        pooling().max_pool(threads(), x.shape[0], x.last(), v.reads, h.reads, from, other, y.p);
    });
    return y.array();
}

py::object max_pool_gradient_of(const Columns& g, const Columns& x, const py::object& rows, const py::object& columns) {
    const char* where = "max_pool_gradient";
    const Axis v(where, rows, true), h(where, columns, true);
    const Pixels gradient = pixels(where, g, v.reads.outputs, h.reads.outputs);
    const Pixels from = pixels(where, x, v.reads.size, h.reads.size);
    if (g.shape[0] != x.shape[0] || g.last() != x.last()) misfit(where, "g and x that agree in images and channels", {&g, &x});
    Result dx(x, x.sizes());
    unlocked(kAlways, [&] {
        pooling().max_pool_gradient(threads(), x.shape[0], x.last(), v.reads, h.reads, gradient, from, dx.p);
    });
    return dx.array();
}

}  // namespace

std::string fault_of(const Bands& bands, int64_t weights, bool full) {
    if (bands.start[0] != 0 || bands.start[bands.outputs] != weights) return "the starts must cover the weights";
    for (int64_t i = 0; i < bands.outputs; ++i) {
        const int64_t count = bands.count(i), first = bands.first[i];
        if (count < (full ? 1 : 0) || count > bands.size || first < 0 || first > bands.size - count)
            return "output " + std::to_string(i) + " reads outside the axis of " + std::to_string(bands.size);
    }
    return "";
}

void bind_pooling(py::module_& m) {
    m.def("resample", &resample_of);
    m.def("max_pool", &max_pool_of);
    m.def("max_pool_gradient", &max_pool_gradient_of);
}

}  // namespace nd
