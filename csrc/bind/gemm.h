// Matrix products, as a table of plain functions.
#pragma once
#include "../nd/arguments.h"
#include "select.h"

namespace nd {

// A batch of products: product i reads a.data + a_offset[i] and b.data + b_offset[i], and writes c + i * m * n. To each row
// of the results the n numbers of `bias` are added, where there is one.
struct Products {
    int64_t batch, m, n, k;
    Matrix a, b;
    const int64_t *a_offset, *b_offset;
    const float* bias;
};

struct GemmTable {
    int64_t (*scratch)(int64_t m, int64_t n, int64_t k, int threads);
    void (*run)(const Executor&, const Products&, float* c, float* scratch);
    void (*matmul)(const Executor&, int64_t batch, int64_t m, int64_t n, int64_t k, const Matrices& a, const Matrices& b,
                   float* c, float* scratch);
    // Operands of 8 x 8 tiles: a [m][n][8][8], b [n][p][8][8] -> c [m][p][8][8].
    void (*tiled)(const Executor&, int64_t m, int64_t n, int64_t p, const float* a, const float* b, float* c);
};

}  // namespace nd
ND_FAMILY(GemmTable, gemm)
