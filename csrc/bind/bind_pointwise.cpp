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

void def_unary(py::module_& m, const std::string& name, int op) {
    m.def(("ewise_" + name).c_str(), [name, op](Array& a, Array& out) {
        check_equal("ewise_" + name, a.size, out.size);
        py::gil_scoped_release unlocked;
        pointwise().unary[op].flat(threads(), out.size, 0, out.ptr, a.ptr);
    });
    const std::string strided = "strided_" + name;
    m.def(strided.c_str(), [strided, op](const Sizes& shape, Array& a, const Sizes& a_strides, int64_t a_offset, Array& out,
                                         const Sizes& out_strides) {
        const float* x = operand(strided, a, shape, a_strides, a_offset);
        float* y = dense_output(strided, out, shape, out_strides);
        refuse_same(strided, out, a);
        const Loops loops{static_cast<int>(shape.size()), shape.data(), {out_strides.data(), a_strides.data(), nullptr}};
        py::gil_scoped_release unlocked;
        pointwise().unary[op].strided(threads(), loops, 0, y, x);
    });
}

void def_scalar(py::module_& m, const std::string& name, int op) {
    m.def(("scalar_" + name).c_str(), [name, op](Array& a, float value, Array& out) {
        check_equal("scalar_" + name, a.size, out.size);
        py::gil_scoped_release unlocked;
        pointwise().scalar[op].flat(threads(), out.size, value, out.ptr, a.ptr);
    });
    const std::string strided = "strided_scalar_" + name;
    m.def(strided.c_str(), [strided, op](const Sizes& shape, Array& a, const Sizes& a_strides, int64_t a_offset, float value,
                                         Array& out, const Sizes& out_strides) {
        const float* x = operand(strided, a, shape, a_strides, a_offset);
        float* y = dense_output(strided, out, shape, out_strides);
        refuse_same(strided, out, a);
        const Loops loops{static_cast<int>(shape.size()), shape.data(), {out_strides.data(), a_strides.data(), nullptr}};
        py::gil_scoped_release unlocked;
        pointwise().scalar[op].strided(threads(), loops, value, y, x);
    });
}

void def_binary(py::module_& m, const std::string& name, int op) {
    m.def(("ewise_" + name).c_str(), [name, op](Array& a, Array& b, Array& out) {
        check_equal("ewise_" + name, a.size, out.size);
        check_equal("ewise_" + name, b.size, out.size);
        py::gil_scoped_release unlocked;
        pointwise().binary[op].flat(threads(), out.size, out.ptr, a.ptr, b.ptr);
    });
    const std::string strided = "strided_" + name;
    m.def(strided.c_str(), [strided, op](const Sizes& shape, Array& a, const Sizes& a_strides, int64_t a_offset, Array& b,
                                         const Sizes& b_strides, int64_t b_offset, Array& out, const Sizes& out_strides) {
        const float* first = operand(strided, a, shape, a_strides, a_offset);
        const float* second = operand(strided, b, shape, b_strides, b_offset);
        float* y = dense_output(strided, out, shape, out_strides);
        refuse_same(strided, out, a);
        refuse_same(strided, out, b);
        const Loops loops{static_cast<int>(shape.size()), shape.data(),
                          {out_strides.data(), a_strides.data(), b_strides.data()}};
        py::gil_scoped_release unlocked;
        pointwise().binary[op].strided(threads(), loops, y, first, second);
    });
}

void reduce(const std::string& where, const Reduction& kernel, Array& a, int64_t offset, int64_t outer, int64_t k,
            int64_t inner, Array& out) {
    const float* x = checked(where.c_str(), a, count_of(where.c_str(), {outer, k, inner}), offset);
    refuse_same(where, out, a);
    check_equal(where, count_of(where.c_str(), {outer, inner}), out.size);
    if (out.size == 0) return;
    py::gil_scoped_release unlocked;
    Scratch scratch(sizeof(float) * static_cast<std::size_t>(kernel.scratch(outer, k, inner)));
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
    int op = 0;
#define ND_UNARY(name, functor) def_unary(m, #name, op++);
    ND_UNARY_OPS(ND_UNARY)
    op = 0;
#define ND_SCALAR(name, functor) def_scalar(m, #name, op++);
    ND_SCALAR_OPS(ND_SCALAR)
    op = 0;
#define ND_BINARY(name, functor) def_binary(m, #name, op++);
    ND_BINARY_OPS(ND_BINARY)
    def_reduction(m, "sum", &PointwiseTable::sum);
    def_reduction(m, "max", &PointwiseTable::max);
}

}  // namespace nd
