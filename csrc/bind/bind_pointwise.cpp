#include "bindings.h"
#include "pointwise.h"
#include <algorithm>
#include <string>

namespace nd {
namespace {

void check_equal(const std::string& where, int64_t a, int64_t b) {
    if (a != b) refuse(where.c_str(), "sizes must agree, got " + std::to_string(a) + " and " + std::to_string(b));
}

// A strided operand as Python hands it over.
float* operand(const std::string& where, Array& array, const Sizes& shape, const Sizes& strides, int64_t offset) {
    constexpr std::size_t kMaxAxes = 16;
    if (shape.size() > kMaxAxes) refuse(where.c_str(), "at most 16 axes, got " + std::to_string(shape.size()));
    return checked(where.c_str(), array, shape, strides, offset);
}

// The output of a strided map: a permutation of its axes must be contiguous, because rows of it are written as vectors.
float* dense_output(const std::string& where, Array& array, const Sizes& shape, const Sizes& strides) {
    float* y = operand(where, array, shape, strides, 0);
    std::vector<std::pair<int64_t, int64_t>> axes;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (shape[axis] == 0) return y;
        if (shape[axis] > 1) axes.emplace_back(strides[axis], shape[axis]);
    }
    std::sort(axes.begin(), axes.end());
    int64_t expected = 1;
    for (const auto& [stride, size] : axes) {
        if (stride != expected) refuse(where.c_str(), "the output must be dense");
        expected *= size;
    }
    return y;
}

void refuse_same(const std::string& where, const Array& out, const Array& x) {
    if (&out == &x) refuse(where.c_str(), "the output must not be an input");
}

// One operand and, where the op has them, its numbers: `<flat>(a, numbers..., out)` and the same on views.
template <class... Floats>
void def_map1(py::module_& m, const std::string& flat, const std::string& strided, const Map1& (*map)(int), int op) {
    m.def(flat.c_str(), [flat, map, op](Array& a, Floats... numbers, Array& out) {
        check_equal(flat, a.size, out.size);
        py::gil_scoped_release unlocked;
        map(op).flat(threads(), out.size, {numbers...}, out.ptr, a.ptr);
    });
    m.def(strided.c_str(), [strided, map, op](const Sizes& shape, Array& a, const Sizes& a_strides, int64_t a_offset,
                                              Floats... numbers, Array& out, const Sizes& out_strides) {
        const float* x = operand(strided, a, shape, a_strides, a_offset);
        float* y = dense_output(strided, out, shape, out_strides);
        refuse_same(strided, out, a);
        const Loops loops{static_cast<int>(shape.size()), shape.data(), {out_strides.data(), a_strides.data()}};
        py::gil_scoped_release unlocked;
        map(op).strided(threads(), loops, {numbers...}, y, x);
    });
}

// Two operands and the numbers.
template <class... Floats>
void def_map2(py::module_& m, const std::string& name, const Map2& (*map)(int), int op) {
    const std::string flat = "ewise_" + name, strided = "strided_" + name;
    m.def(flat.c_str(), [flat, map, op](Array& a, Array& b, Floats... numbers, Array& out) {
        check_equal(flat, a.size, out.size);
        check_equal(flat, b.size, out.size);
        py::gil_scoped_release unlocked;
        map(op).flat(threads(), out.size, {numbers...}, out.ptr, a.ptr, b.ptr);
    });
    m.def(strided.c_str(), [strided, map, op](const Sizes& shape, Array& a, const Sizes& a_strides, int64_t a_offset,
                                              Array& b, const Sizes& b_strides, int64_t b_offset, Floats... numbers,
                                              Array& out, const Sizes& out_strides) {
        const float* first = operand(strided, a, shape, a_strides, a_offset);
        const float* second = operand(strided, b, shape, b_strides, b_offset);
        float* y = dense_output(strided, out, shape, out_strides);
        refuse_same(strided, out, a);
        refuse_same(strided, out, b);
        const Loops loops{static_cast<int>(shape.size()), shape.data(),
                          {out_strides.data(), a_strides.data(), b_strides.data()}};
        py::gil_scoped_release unlocked;
        map(op).strided(threads(), loops, {numbers...}, y, first, second);
    });
}

// Three operands. An array may be given more than once, but not as the output.
void def_map3(py::module_& m, const std::string& name, const Map3& (*map)(int), int op) {
    const std::string flat = "ewise_" + name, strided = "strided_" + name;
    m.def(flat.c_str(), [flat, map, op](Array& a, Array& b, Array& c, Array& out) {
        for (const Array* x : {&a, &b, &c}) check_equal(flat, x->size, out.size);
        py::gil_scoped_release unlocked;
        map(op).flat(threads(), out.size, out.ptr, a.ptr, b.ptr, c.ptr);
    });
    m.def(strided.c_str(), [strided, map, op](const Sizes& shape, Array& a, const Sizes& a_strides, int64_t a_offset,
                                              Array& b, const Sizes& b_strides, int64_t b_offset, Array& c,
                                              const Sizes& c_strides, int64_t c_offset, Array& out,
                                              const Sizes& out_strides) {
        const float* first = operand(strided, a, shape, a_strides, a_offset);
        const float* second = operand(strided, b, shape, b_strides, b_offset);
        const float* third = operand(strided, c, shape, c_strides, c_offset);
        float* y = dense_output(strided, out, shape, out_strides);
        for (const Array* x : {&a, &b, &c}) refuse_same(strided, out, *x);
        const Loops loops{static_cast<int>(shape.size()), shape.data(),
                          {out_strides.data(), a_strides.data(), b_strides.data(), c_strides.data()}};
        py::gil_scoped_release unlocked;
        map(op).strided(threads(), loops, y, first, second, third);
    });
}

void reduce(const std::string& where, const Reduction& kernel, Array& a, int64_t offset, int64_t outer, int64_t k,
            int64_t inner, Array& out) {
    const float* x = checked(where.c_str(), a, count_of(where.c_str(), {outer, k, inner}), offset);
    refuse_same(where, out, a);
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
    const auto ewise = [](const char* name) { return std::string("ewise_") + name; };
    const auto strided = [](const char* name) { return std::string("strided_") + name; };
    int op = 0;
#define ND_UNARY(name, functor)                                                                             \
    def_map1<>(m, ewise(#name), strided(#name), [](int i) -> const Map1& { return pointwise().unary[i]; }, op++);
    ND_UNARY_OPS(ND_UNARY)
    op = 0;
#define ND_SCALAR(name, functor)                                                                            \
    def_map1<float>(m, "scalar_" #name, "strided_scalar_" #name,                                            \
                    [](int i) -> const Map1& { return pointwise().scalar[i]; }, op++);
    ND_SCALAR_OPS(ND_SCALAR)
    op = 0;
#define ND_RANGE(name, functor)                                                                             \
    def_map1<float, float>(m, ewise(#name), strided(#name),                                                 \
                           [](int i) -> const Map1& { return pointwise().range[i]; }, op++);
    ND_RANGE_OPS(ND_RANGE)
    op = 0;
#define ND_BINARY(name, functor) def_map2<>(m, #name, [](int i) -> const Map2& { return pointwise().binary[i]; }, op++);
    ND_BINARY_OPS(ND_BINARY)
    op = 0;
#define ND_BINARY_RANGE(name, functor)                                                                      \
    def_map2<float, float>(m, #name, [](int i) -> const Map2& { return pointwise().binary_range[i]; }, op++);
    ND_BINARY_RANGE_OPS(ND_BINARY_RANGE)
    op = 0;
#define ND_TERNARY(name, functor) def_map3(m, #name, [](int i) -> const Map3& { return pointwise().ternary[i]; }, op++);
    ND_TERNARY_OPS(ND_TERNARY)
    def_reduction(m, "sum", &PointwiseTable::sum);
    def_reduction(m, "max", &PointwiseTable::max);
    def_reduction(m, "min", &PointwiseTable::min);
}

}  // namespace nd
