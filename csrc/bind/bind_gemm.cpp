#include "bindings.h"
#include "gemm.h"

namespace nd {
namespace {

struct Operand {
    Array& array;
    const Sizes &shape, &strides;
    int64_t offset;
    std::size_t lead() const { return shape.size() - 2; }
    int64_t rows() const { return shape[lead()]; }
    int64_t columns() const { return shape[lead() + 1]; }
    int64_t row_step() const { return strides[lead()]; }
    int64_t column_step() const { return strides[lead() + 1]; }
};

// Sizes of the batch axes of both operands broadcast against each other.
Sizes batch_of(const Operand& a, const Operand& b) {
    const std::size_t axes = std::max(a.lead(), b.lead());
    Sizes batch(axes);
    for (std::size_t i = 0; i < axes; ++i) {
        const int64_t x = i + a.lead() < axes ? 1 : a.shape[i + a.lead() - axes];
        const int64_t y = i + b.lead() < axes ? 1 : b.shape[i + b.lead() - axes];
        if (x != y && x != 1 && y != 1)
            refuse("matmul", "batch sizes must agree or be 1, got " + text(a.shape) + " @ " + text(b.shape));
        batch[i] = x == 1 ? y : x;
    }
    return batch;
}

// Where each product of the batch finds its operand, from where the first one does.
std::vector<int64_t> offsets(const Operand& x, const Sizes& batch, int64_t count) {
    std::vector<int64_t> offset(static_cast<std::size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
        int64_t rest = i, at = 0;
        for (std::size_t axis = batch.size(); axis-- > 0; rest /= batch[axis]) {
            if (axis + x.lead() < batch.size()) continue;
            const std::size_t own = axis + x.lead() - batch.size();
            if (x.shape[own] != 1) at += rest % batch[axis] * x.strides[own];
        }
        offset[static_cast<std::size_t>(i)] = at;
    }
    return offset;
}

// Whether the batch and row axes of a are one long axis: then its products with one right operand are one product.
bool is_one_axis(const Operand& a) {
    int64_t step = a.row_step() * a.rows();
    for (std::size_t axis = a.lead(); axis-- > 0;) {
        if (a.shape[axis] != 1 && a.strides[axis] != step) return false;
        step *= a.shape[axis];
    }
    return true;
}

void multiply(Products p, const Operand& a, const Operand& b, const Sizes& batch, float* c) {
    if (p.batch == 0 || p.m == 0 || p.n == 0) return;
    if (p.m > kMostFloats / (p.k + 16) || p.n > kMostFloats / (p.k + 16))
        refuse("matmul", "the operands are too large, got " + text(a.shape) + " @ " + text(b.shape));
    if (count_of("matmul", b.shape) == b.rows() * b.columns() && is_one_axis(a)) {
        p.m *= p.batch;
        p.batch = 1;
    }
    const auto a_offset = offsets(a, batch, p.batch), b_offset = offsets(b, batch, p.batch);
    p.a_offset = a_offset.data();
    p.b_offset = b_offset.data();
    py::gil_scoped_release unlocked;
    const Executor executor = threads();
    Scratch scratch(gemm().scratch(p.m, p.n, p.k, executor.threads));
    gemm().run(executor, p, c, scratch.floats());
}

void refuse_same(const Array& a, const Array& b, const Array& out) {
    if (&a == &out || &b == &out) refuse("matmul", "the output must not be an operand");
}

// out = a @ b for operands of two or more axes with any strides: numpy's rules, batch axes broadcast.
void matmul_strided(Array& a, const Sizes& a_shape, const Sizes& a_strides, int64_t a_offset, Array& b, const Sizes& b_shape,
                    const Sizes& b_strides, int64_t b_offset, Array& out) {
    const std::string shapes = "got " + text(a_shape) + " @ " + text(b_shape);
    if (a_shape.size() < 2 || b_shape.size() < 2 || a_shape.size() > 16 || b_shape.size() > 16)
        refuse("matmul", "needs operands of 2 to 16 axes, " + shapes);
    const Matrix left{checked("matmul", a, a_shape, a_strides, a_offset), a_strides.end()[-2], a_strides.end()[-1]};
    const Matrix right{checked("matmul", b, b_shape, b_strides, b_offset), b_strides.end()[-2], b_strides.end()[-1]};
    const Operand x{a, a_shape, a_strides, a_offset}, y{b, b_shape, b_strides, b_offset};
    if (x.columns() != y.rows()) refuse("matmul", "inner sizes must agree, " + shapes);
    refuse_same(a, b, out);
    const Sizes batch = batch_of(x, y);
    Sizes result = batch;
    result.push_back(x.rows());
    result.push_back(y.columns());
    if (count_of("matmul", result) != out.size)
        refuse("matmul", "the result is " + text(result) + ", the output has " + std::to_string(out.size) + " elements");
    if (out.size == 0) return;
    const Products products{count_of("matmul", batch), x.rows(), y.columns(), x.columns(), left, right, nullptr, nullptr};
    multiply(products, x, y, batch, out.ptr);
}

// out (m, p) = a (m, n) @ b (n, p), all compact.
void matmul(Array& a, Array& b, Array& out, int64_t m, int64_t n, int64_t p) {
    matmul_strided(a, {m, n}, {n, 1}, 0, b, {n, p}, {p, 1}, 0, out);
}

// The same with operands cut into 8 x 8 tiles: a [m/8][n/8][8][8] and so on.
void matmul_tiled(Array& a, Array& b, Array& out, int64_t m, int64_t n, int64_t p) {
    if (m < 0 || n < 0 || p < 0 || m % 8 || n % 8 || p % 8)
        refuse("matmul_tiled", "sizes must be multiples of 8, got " + text({m, n, p}));
    const float* left = checked("matmul_tiled", a, count_of("matmul_tiled", {m, n}));
    const float* right = checked("matmul_tiled", b, count_of("matmul_tiled", {n, p}));
    float* c = checked("matmul_tiled", out, count_of("matmul_tiled", {m, p}));
    refuse_same(a, b, out);
    py::gil_scoped_release unlocked;
    gemm().tiled(threads(), m / 8, n / 8, p / 8, left, right, c);
}

}  // namespace

void bind_gemm(py::module_& m) {
    m.def("matmul", matmul);
    m.def("matmul_tiled", matmul_tiled);
    m.def("matmul_strided", matmul_strided);
}

}  // namespace nd
