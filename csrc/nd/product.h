// Small matrix products inside a task of a larger kernel: one thread, operands in place, no blocking over the depth.
#pragma once
#include "gemm.h"

namespace nd { namespace ND_ISA {

// `rows` rows of n columns, `step` apart, as a right operand where they are; columns that fill no block of 16 are packed
// into `tail` (16 floats per row).
inline Right in_place(int64_t rows, int64_t n, const float* p, int64_t step, float* tail) {
    const int64_t whole = n / kBlock;
    if (n % kBlock) pack_block({p + whole * kBlock, step, 1}, rows, n % kBlock, tail);
    return {{p, step, kBlock}, tail, whole};
}

// C (m, n) = A B, or C += A B with `resume`. Rows or columns of A are contiguous: a.row or a.column is 1.
inline void small_product(int64_t m, int64_t n, int64_t k, const Matrix& a, const Right& b, float* c, int64_t ldc, bool resume) {
    const Extent extent{0, 0, resume, true};
    const int64_t blocks = ceil_div(n, kBlock);
    const int64_t step = ceil_div(m, max<int64_t>(1, ceil_div(m, kTileRows)));  // tiles as even as can be: short ones are slow
    for (int64_t i = 0; i < m; i += step)
        with_height(min(step, m - i), [&](auto height) {
            constexpr int R = decltype(height)::value;
            const float* at = a.data + i * a.row;
            if (a.column == 1) {
                RowsLeft<R> left;
                for (int r = 0; r < R; ++r) left.row[r] = at + r * a.row;
                sweep<R>(k, left, b, 0, 0, blocks, c, i * ldc, ldc, extent, n, Keep{});
            } else {
                sweep<R>(k, ColumnsLeft{at, a.column}, b, 0, 0, blocks, c, i * ldc, ldc, extent, n, Keep{});
            }
        });
}

}}  // namespace nd::ND_ISA
