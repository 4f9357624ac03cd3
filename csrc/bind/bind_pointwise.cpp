#include "pointwise.h"
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

// `name(x..., numbers...)`: as many operands and numbers as the op has.
template <int Operands, std::size_t... Numbers>
void def_map(py::module_& m, const char* name, Op op, std::index_sequence<Numbers...>) {
    if constexpr (Operands == 1)
        m.def(name, [name, op](const View& a, decltype(Numbers, float())... s) {
            const float numbers[] = {s..., 0};
            return map<1>(name, op, {&a}, numbers);
        });
    else if constexpr (Operands == 2)
        m.def(name, [name, op](const View& a, const View& b, decltype(Numbers, float())... s) {
            const float numbers[] = {s..., 0};
            return map<2>(name, op, {&a, &b}, numbers);
        });
    else
        m.def(name, [name, op](const View& a, const View& b, const View& c) {
            return map<3>(name, op, {&a, &b, &c}, nullptr);
        });
}

void check_equal(const std::string& where, int64_t a, int64_t b) {
    if (a != b) refuse(where.c_str(), "sizes must agree, got " + std::to_string(a) + " and " + std::to_string(b));
}

// The functions of the course's library on flat arrays: `ewise_<name>(a[, b], out)` and `scalar_<name>(a, s, out)`.
void def_course_unary(py::module_& m, const char* name, Op op) {
    const std::string where = std::string("ewise_") + name;
    m.def(where.c_str(), [where, op](const Array& a, Array& out) {
        check_equal(where, a.size, out.size);
        const float* x[] = {a.ptr};
        py::gil_scoped_release unlocked;
        pointwise().maps[static_cast<int>(op)].flat(threads(), out.size, nullptr, out.ptr, x);
    });
}

void def_course_binary(py::module_& m, const char* name, Op op) {
    const std::string where = std::string("ewise_") + name;
    m.def(where.c_str(), [where, op](const Array& a, const Array& b, Array& out) {
        check_equal(where, a.size, out.size);
        check_equal(where, b.size, out.size);
        const float* x[] = {a.ptr, b.ptr};
        py::gil_scoped_release unlocked;
        pointwise().maps[static_cast<int>(op)].flat(threads(), out.size, nullptr, out.ptr, x);
    });
}

void def_course_scalar(py::module_& m, const char* name, Op op) {
    const std::string where = std::string("scalar_") + name;
    m.def(where.c_str(), [where, op](const Array& a, float s, Array& out) {
        check_equal(where, a.size, out.size);
        const float* x[] = {a.ptr};
        py::gil_scoped_release unlocked;
        pointwise().maps[static_cast<int>(op)].flat(threads(), out.size, &s, out.ptr, x);
    });
}

void reduce(const std::string& where, const Reduction& kernel, Array& a, int64_t offset, int64_t outer, int64_t k,
            int64_t inner, Array& out) {
    const float* x = checked(where.c_str(), a, count_of(where.c_str(), {outer, k, inner}), offset);
    if (&out == &a) refuse(where.c_str(), "the output must not be an input");
    check_equal(where, count_of(where.c_str(), {outer, inner}), out.size);
    if (out.size == 0) return;
    py::gil_scoped_release unlocked;
    Scratch scratch(kernel.scratch(outer, k, inner));
    kernel.run(threads(), outer, k, inner, x, out.ptr, scratch.floats());
}

void def_reduction(py::module_& m, const std::string& name, Reduction PointwiseTable::* kernel) {
    const std::string where = "reduce_" + name;
    m.def(where.c_str(), [where, kernel](Array& a, Array& out, int64_t k) {
        check_equal(where, a.size, count_of(where.c_str(), {out.size, k}));
        reduce(where, pointwise().*kernel, a, 0, out.size, k, 1, out);
    }, "out[i] = the reduction of the k elements of a from i*k.");
    const std::string axis = where + "_axis";
    m.def(axis.c_str(), [axis, kernel](Array& a, int64_t offset, int64_t outer, int64_t k, int64_t inner, Array& out) {
        reduce(axis, pointwise().*kernel, a, offset, outer, k, inner, out);
    }, "out (outer, inner) = the reduction of a (outer, k, inner), dense from offset, over its middle axis.");
}

}  // namespace

void bind_pointwise(py::module_& m) {
    m.def("register_ndarray", &register_ndarray, "Tell the class of the arrays that kernels return.");
#define ND_DEF(name, functor, operands, numbers) \
    def_map<operands>(m, #name, Op::name, std::make_index_sequence<numbers>{});
    ND_POINTWISE(ND_DEF)
    for (auto [name, op] : {std::pair{"log", Op::log}, {"exp", Op::exp}, {"tanh", Op::tanh}}) def_course_unary(m, name, op);
    for (auto [name, op] : {std::pair{"add", Op::add}, {"mul", Op::multiply}, {"div", Op::divide}, {"maximum", Op::maximum},
                            {"eq", Op::equal}, {"ge", Op::greater_equal}})
        def_course_binary(m, name, op);
    for (auto [name, op] : {std::pair{"add", Op::add_scalar}, {"mul", Op::mul_scalar}, {"div", Op::divide_scalar},
                            {"power", Op::power_scalar}, {"maximum", Op::maximum_scalar}, {"eq", Op::equal_scalar},
                            {"ge", Op::greater_equal_scalar}})
        def_course_scalar(m, name, op);
    def_reduction(m, "sum", &PointwiseTable::sum);
    def_reduction(m, "max", &PointwiseTable::max);
    def_reduction(m, "min", &PointwiseTable::min);
}

}  // namespace nd
