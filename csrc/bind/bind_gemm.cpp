#include "gemm.h"
#include "view.h"

namespace nd {
namespace {

std::string product(const View& a, const View& b) { return "got " + text(a.sizes()) + " @ " + text(b.sizes()); }

// Of an operand of two or more axes: how many its batch has, and its rows and columns.
int lead(const View& x) { return x.dims - 2; }
int64_t rows(const View& x) { return x.shape[x.dims - 2]; }
Matrix matrix(const View& x) { return {x.p, x.stride[x.dims - 2], x.stride[x.dims - 1]}; }

// Sizes of the batch axes of both operands broadcast against each other.
Sizes batch_of(const View& a, const View& b) {
    const int axes = std::max(lead(a), lead(b));
    Sizes batch;
    for (int i = 0; i < axes; ++i) {
        const int64_t x = i + lead(a) < axes ? 1 : a.shape[i + lead(a) - axes];
        const int64_t y = i + lead(b) < axes ? 1 : b.shape[i + lead(b) - axes];
        if (x != y && x != 1 && y != 1) refuse_shape("matmul", "batch sizes must agree or be 1, " + product(a, b));
        batch.push_back(x == 1 ? y : x);
    }
    return batch;
}

// Where each product of the batch finds its operand, from where the first one does.
std::vector<int64_t> offsets(const View& x, const Sizes& batch, int64_t count) {
    std::vector<int64_t> offset(static_cast<std::size_t>(count));
    const int axes = static_cast<int>(batch.size());
    for (int64_t i = 0; i < count; ++i) {
        int64_t rest = i, at = 0;
        for (int axis = axes; axis-- > 0; rest /= batch[axis]) {
            const int own = axis + lead(x) - axes;
            if (own >= 0 && x.shape[own] != 1) at += rest % batch[axis] * x.stride[own];
        }
        offset[static_cast<std::size_t>(i)] = at;
    }
    return offset;
}

// Whether the batch and row axes of a are one long axis: then its products with one right operand are one product.
bool is_one_axis(const View& a) {
    int64_t step = a.stride[lead(a)] * rows(a);
    for (int axis = lead(a); axis-- > 0;) {
        if (a.shape[axis] != 1 && a.stride[axis] != step) return false;
        step *= a.shape[axis];
    }
    return true;
}

// The shape of a @ b by numpy's rules, its batch axes broadcast.
Sizes shape_of(const View& a, const View& b) {
    if (a.dims < 2 || b.dims < 2) refuse_shape("matmul", "needs operands of two or more axes, " + product(a, b));
    if (a.last() != rows(b)) refuse_shape("matmul", "inner sizes must agree, " + product(a, b));
    Sizes shape = batch_of(a, b);
    shape.push_back(rows(a));
    shape.push_back(b.last());
    return shape;
}

// c = a @ b, in row-major order, `bias` added to each row where there is one.
void multiply(const View& a, const View& b, const Sizes& shape, float* c, const float* bias = nullptr) {
    if (count_of("matmul", shape) == 0) return;
    const Sizes batch(shape.begin(), shape.end() - 2);
    Products p{count_of("matmul", batch), rows(a), b.last(), a.last(), matrix(a), matrix(b), nullptr, nullptr, bias};
    if (p.m > kMostFloats / (p.k + 16) || p.n > kMostFloats / (p.k + 16))
        refuse_shape("matmul", "the operands are too large, " + product(a, b));
    if (b.size == rows(b) * b.last() && is_one_axis(a)) {
        p.m *= p.batch;
        p.batch = 1;
    }
    const auto a_offset = offsets(a, batch, p.batch), b_offset = offsets(b, batch, p.batch);
    p.a_offset = a_offset.data();
    p.b_offset = b_offset.data();
    const Executor on = threads();
    unlocked(kAlways, gemm().scratch(p.m, p.n, p.k, on.threads), [&](float* scratch) {
        gemm().run(on, p, c, scratch);
    });
}

py::object matmul(const View& a, const View& b) {
    const Sizes shape = shape_of(a, b);
    Result y(a, shape);
    multiply(a, b, shape, y.p);
    return y.array();
}

py::object affine(const View& x, const View& w, const Dense& bias) {
    const Sizes shape = shape_of(x, w);
    if (w.dims != 2 || bias.size != w.last() || bias.last() != w.last())
        misfit("affine", "x (..., n), w (n, m) and a bias of m numbers", {&x, &w, &bias});
    Result y(x, shape);
    multiply(x, w, shape, y.p, bias.p);
    return y.array();
}

// A flat array as a matrix.
View matrix_of(Array& a, int64_t rows, int64_t columns) {
    View x{};
    x.size = count_of("matmul", {rows, columns});
    x.p = checked("matmul", a, {rows, columns}, {columns, 1}, 0);
    x.dims = 2;
    x.shape[0] = rows, x.shape[1] = columns;
    x.stride[0] = columns, x.stride[1] = 1;
    return x;
}

void check_output(const Array& a, const Array& b, const Array& out, int64_t rows, int64_t columns) {
    if (&a == &out || &b == &out) refuse("matmul", "the output must not be an operand");
    if (count_of("matmul", {rows, columns}) != out.size)
        refuse("matmul", "the result is " + text({rows, columns}) + ", the output has " + std::to_string(out.size) + " elements");
}

// The course's: out (m, p) = a (m, n) @ b (n, p), all compact.
void matmul_flat(Array& a, Array& b, Array& out, int64_t m, int64_t n, int64_t p) {
    const View left = matrix_of(a, m, n), right = matrix_of(b, n, p);
    check_output(a, b, out, m, p);
    multiply(left, right, {m, p}, out.ptr);
}

#if !defined(ND_DEVICE)
// The same with operands cut into 8 x 8 tiles: a [m/8][n/8][8][8] and so on.
void matmul_tiled(Array& a, Array& b, Array& out, int64_t m, int64_t n, int64_t p) {
    if (m < 0 || n < 0 || p < 0 || m % 8 || n % 8 || p % 8)
        refuse("matmul_tiled", "sizes must be multiples of 8, got " + text({m, n, p}));
    const View left = matrix_of(a, m, n), right = matrix_of(b, n, p);
    check_output(a, b, out, m, p);
    py::gil_scoped_release released;
    gemm().tiled(threads(), m / 8, n / 8, p / 8, left.p, right.p, out.ptr);
}
#endif

}  // namespace

void bind_gemm(py::module_& m) {
    m.def("matmul", matmul);
    m.def("matmul", matmul_flat);
    m.def("affine", affine);
#if !defined(ND_DEVICE)
    m.def("matmul_tiled", matmul_tiled);
#endif
}

}  // namespace nd
