#include "pointwise.h"
#include <algorithm>
#include <array>
#include <string>
#include "view.h"

namespace nd {
namespace {

// y = op(x...), all of one shape, laid out in memory as the first operand that is dense.
template <std::size_t N>
py::object map(const char* name, Op op, const std::array<const View*, N>& x, const float* numbers) {
    const View& first = *x[0];
    const View* like = &first;
    bool flat = first.whole;
    for (const View* each : x) {
        if (!each->same_shape(first)) refuse_shape(name, "shapes must be equal");
        flat = flat && each->whole && each->same_layout(first);
    }
    for (std::size_t i = 0; i < N && !like->dense; ++i) like = x[i];
    Result y(like->dense ? *like : first);
    const PointwiseKernel& kernel = pointwise().maps[static_cast<int>(op)];
    const float* from[N];
    Loops loops{first.dims, first.shape, {y.stride}};
    for (std::size_t i = 0; i < N; ++i) {
        from[i] = x[i]->p;
        loops.stride[i + 1] = x[i]->stride;
    }
    unlocked(first.size, [&] {
        if (flat) kernel.flat(threads(), first.size, numbers, y.p, from);
        else kernel.strided(threads(), loops, numbers, y.p, from);
    });
    return y.array();
}

template <std::size_t, class T> using Each = T;

// `name(x..., numbers...)`: as many operands and numbers as the op has.
template <std::size_t... Operands, std::size_t... Numbers>
void def_map(py::module_& m, const char* name, Op op, std::index_sequence<Operands...>, std::index_sequence<Numbers...>) {
    m.def(name, [name, op](const Each<Operands, View>&... x, Each<Numbers, float>... s) {
        const float numbers[] = {s..., 0};
        return map<sizeof...(Operands)>(name, op, {&x...}, numbers);
    });
}

void check_equal(const std::string& where, int64_t a, int64_t b) {
    if (a != b) refuse(where.c_str(), "sizes must agree, got " + std::to_string(a) + " and " + std::to_string(b));
}

// The functions of the course's library on flat arrays: `ewise_<name>(a[, b], out)` and `scalar_<name>(a, s, out)`.
template <class... Operands>
void def_course(py::module_& m, const char* kind, const char* name, Op op) {
    const std::string where = std::string(kind) + name;
    m.def(where.c_str(), [where, op](const Array& a, const Operands&... second, Array& out) {
        check_equal(where, a.size, out.size);
        const float* x[] = {a.ptr, nullptr};
        float number = 0;
        [[maybe_unused]] const auto take = [&](const auto& given) {
            if constexpr (std::is_same_v<std::decay_t<decltype(given)>, Array>) {
                check_equal(where, given.size, out.size);
                x[1] = given.ptr;
            } else {
                number = given;
            }
        };
        (take(second), ...);
        py::gil_scoped_release released;
        pointwise().maps[static_cast<int>(op)].flat(threads(), out.size, &number, out.ptr, x);
    });
}

// The course's: out[i] = the reduction of the k elements of a from i*k.
void def_course_reduction(py::module_& m, const std::string& name, Reduction PointwiseTable::* chosen) {
    const std::string where = "reduce_" + name;
    m.def(where.c_str(), [where, chosen](const Array& a, Array& out, int64_t k) {
        check_equal(where, a.size, count_of(where.c_str(), {out.size, k}));
        if (&out == &a) refuse(where.c_str(), "the output must not be an input");
        if (out.size == 0) return;
        py::gil_scoped_release released;
        const Reduction& kernel = pointwise().*chosen;
        Scratch scratch(kernel.scratch(out.size, k, 1));
        kernel.run(threads(), out.size, k, 1, a.ptr, out.ptr, scratch.floats());
    });
}

// A dense array in the order of its memory, neighbouring axes of one kind merged: sizes, and whether they are reduced.
using Runs = std::vector<std::pair<int64_t, bool>>;

// Reduces one run after the other, the innermost first; the last pass writes y.
void reduce_runs(const Reduction& kernel, Runs runs, const float* x, float* y) {
    std::size_t last = runs.size(), reduced = 0;
    for (std::size_t i = 0; i < runs.size(); ++i)
        if (runs[i].second) last = i, ++reduced;
    int64_t outer = 1, inner = 1;
    for (std::size_t i = 0; i < runs.size(); ++i)
        if (i != last) (i < last ? outer : inner) *= runs[i].first;
    const int64_t k = reduced == 0 ? 1 : runs[last].first;  // nothing to reduce: y = x
    const Array between(reduced > 1 ? outer * inner : 0);
    float* to = reduced > 1 ? between.ptr : y;
    if (outer * inner > 0) {
        Scratch scratch(kernel.scratch(outer, k, inner));
        kernel.run(threads(), outer, k, inner, x, to, scratch.floats());
    }
    if (reduced < 2) return;
    runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(last));
    reduce_runs(kernel, runs, to, y);
}

// The reduction of x over the axes; what remains keeps its order in memory. Of all of them the shape is (1,), or all ones.
py::object reduce(const char* name, const Reduction& kernel, bool of_nothing, const View& given, const py::object& named,
                  bool keepdims) {
    const Axes gone = axes_of("reduce", given, named);
    if (gone.none() && !named.is_none()) refuse_shape("reduce", "needs at least one axis, got an empty tuple");
    const Dense x(given, given.dense);
    const auto reduced = [&](int axis) { return gone[static_cast<std::size_t>(axis)]; };
    int order[kMaxAxes], count = 0;
    for (int axis = 0; axis < x.dims; ++axis)
        if (x.shape[axis] != 1) order[count++] = axis;
    std::stable_sort(order, order + count, [&](int a, int b) { return x.stride[a] > x.stride[b]; });
    Runs runs;
    int64_t kept[kMaxAxes], step = 1;  // the strides of what remains
    for (const int* axis = order; axis != order + count; ++axis) {
        if (!runs.empty() && runs.back().second == reduced(*axis)) runs.back().first *= x.shape[*axis];
        else runs.emplace_back(x.shape[*axis], reduced(*axis));
    }
    std::fill(kept, kept + kMaxAxes, 1);
    for (int i = count; i-- > 0;)
        if (!reduced(order[i])) kept[order[i]] = step, step *= x.shape[order[i]];
    if (!of_nothing && x.size == 0 && step > 0)
        refuse_shape(name, "needs at least one element to reduce, got " + text(x.sizes()) + " over axes " + std::string(py::str(named)));
    Sizes shape, strides;
    for (int axis = 0; axis < x.dims; ++axis)
        if (keepdims || !reduced(axis)) {
            shape.push_back(reduced(axis) ? 1 : x.shape[axis]);
            strides.push_back(kept[axis]);
        }
    if (named.is_none() && !keepdims) shape = strides = {1};
    Result y(x, shape, strides);
    unlocked(x.size, [&] { reduce_runs(kernel, runs, x.p, y.p); });
    return y.array();
}

void def_reduction(py::module_& m, const char* name, Reduction PointwiseTable::* kernel, bool of_nothing) {
    def_course_reduction(m, name, kernel);
    m.def(name, [=](const View& x, const py::object& axes, bool keepdims) {
        return reduce(name, pointwise().*kernel, of_nothing, x, axes, keepdims);
    }, py::arg("x"), py::arg("axes") = py::none(), py::arg("keepdims") = false);
}

}  // namespace

void bind_pointwise(py::module_& m) {
    m.def("register_ndarray", &register_ndarray, "Tell the class of the arrays that kernels return.");
#define ND_DEF(name, functor, operands, numbers) \
    def_map(m, #name, Op::name, std::make_index_sequence<operands>{}, std::make_index_sequence<numbers>{});
    ND_POINTWISE(ND_DEF)
    for (auto [name, op] : {std::pair{"log", Op::log}, {"exp", Op::exp}, {"tanh", Op::tanh}}) def_course<>(m, "ewise_", name, op);
    for (auto [name, op] : {std::pair{"add", Op::add}, {"mul", Op::multiply}, {"div", Op::divide}, {"maximum", Op::maximum},
                            {"eq", Op::equal}, {"ge", Op::greater_equal}})
        def_course<Array>(m, "ewise_", name, op);
    for (auto [name, op] : {std::pair{"add", Op::add_scalar}, {"mul", Op::mul_scalar}, {"div", Op::divide_scalar},
                            {"power", Op::power_scalar}, {"maximum", Op::maximum_scalar}, {"eq", Op::equal_scalar},
                            {"ge", Op::greater_equal_scalar}})
        def_course<float>(m, "scalar_", name, op);
    def_reduction(m, "sum", &PointwiseTable::sum, true);
    def_reduction(m, "max", &PointwiseTable::max, false);
    def_reduction(m, "min", &PointwiseTable::min, false);
}

}  // namespace nd
