#include "../bind/array.h"
#include "../bind/gemm.h"
#include "../bind/memory.h"
#include "pointwise.cuh"
#include "product.cuh"

namespace nd { namespace ND_ISA {
namespace {

int64_t scratch(int64_t, int64_t, int64_t, int) { return 0; }

// The step from one of the batch to the next, or -1 where there is none for all.
int64_t step_of(const int64_t* offset, int64_t batch) {
    const int64_t step = batch > 1 ? offset[1] - offset[0] : 0;
    for (int64_t i = 0; i < batch; ++i)
        if (offset[i] != i * step) return -1;
    return step;
}

// Where a batch finds its operands: by a step, or by a list that goes to the device.
struct Offsets {
    Offsets(const int64_t* offset, int64_t batch) : step(step_of(offset, batch)), memory(step < 0 ? 2 * batch : 0) {
        if (step >= 0) return;
        list = static_cast<int64_t*>(memory.data);
        copy_in(memory.data, offset, sizeof(int64_t) * static_cast<std::size_t>(batch));
    }
    int64_t step;
    Scratch memory;
    const int64_t* list = nullptr;
};

constexpr int64_t kMostLayers = 65535;  // of a grid

// c[i] += bias for each row.
void add_bias(const Executor& on, int64_t rows, int64_t n, const float* bias, float* c) {
    Nest<3> nest{};
    nest.push(rows, {n, n, 0});
    nest.push(n, {1, 1, 1});
    map(on, "affine", nest, Add{}, c, static_cast<const float*>(c), bias);
}

void run(const Executor& on, const Products& p, float* c, float*) {
    if (p.k == 0) fill(on, p.batch * p.m * p.n, 0.0f, c);
    for (int64_t first = 0; first < p.batch && p.k > 0; first += kMostLayers) {
        const int64_t batch = min(kMostLayers, p.batch - first);
        const Offsets a(p.a_offset + first, batch), b(p.b_offset + first, batch);
        const ProductSize size{batch, p.m, p.n, {1, p.k}};
        const int64_t parts = product_parts(size);
        Scratch partial(product_scratch(size, parts));
        product_in_parts(on, "matmul", size, parts, rows_of(p.a, p.m, a.step, a.list), columns_of(p.b, p.n, b.step, b.list),
                         Store{c + first * p.m * p.n, p.m, p.n}, partial.floats());
    }
    if (p.bias) add_bias(on, p.batch * p.m, p.n, p.bias, c);
}

void matmul(const Executor& on, int64_t batch, int64_t m, int64_t n, int64_t k, const Matrices& a, const Matrices& b, float* c,
            float*) {
    if (k == 0) return fill(on, batch * m * n, 0.0f, c);
    product(on, "matmul", {batch, m, n, {1, k}}, rows_of(a.first, m, a.step), columns_of(b.first, n, b.step), Store{c, m, n});
}

}  // namespace

extern const GemmTable gemm_table = {scratch, run, matmul, nullptr};

}}  // namespace nd::ND_ISA
