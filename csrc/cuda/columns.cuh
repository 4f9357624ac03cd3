// Sums over the rows of (rows, cols) for every column, of several things at once. Rows are cut into pieces whose sums are added
// up in order: how many depends on the sizes alone.
#pragma once
#include "group.cuh"

namespace nd { namespace ND_ISA {

inline int64_t column_pieces(int64_t rows, int64_t cols) {
    return max(int64_t(1), min(rows / 16, (int64_t(1) << 15) / max(int64_t(1), cols)));
}
inline int64_t column_scratch(int64_t rows, int64_t cols, int64_t sums) { return sums * column_pieces(rows, cols) * cols; }

// take(row, column, sum) adds to the Count sums of a column.
template <int Count, class Take>
__global__ void column_pieces_kernel(int64_t rows, int64_t cols, int64_t pieces, Take take, float* out) {
    for (int64_t at = first_index(); at < pieces * cols; at += index_step()) {
        const int64_t piece = at / cols, column = at - piece * cols;
        float sum[Count] = {};
        for (int64_t row = rows * piece / pieces; row < rows * (piece + 1) / pieces; ++row) take(row, column, sum);
        for (int c = 0; c < Count; ++c) out[(c * pieces + piece) * cols + column] = sum[c];
    }
}
// use(column, sum) does something with them.
template <int Count, class Use>
__global__ void column_finish_kernel(int64_t cols, int64_t pieces, const float* in, Use use) {
    for (int64_t column = first_index(); column < cols; column += index_step()) {
        float sum[Count] = {};
        for (int c = 0; c < Count; ++c)
            for (int64_t piece = 0; piece < pieces; ++piece) sum[c] += in[(c * pieces + piece) * cols + column];
        use(column, sum);
    }
}

// `scratch` holds column_scratch(rows, cols, Count) floats.
template <int Count, class Take, class Use>
void column_sums(const Executor& on, const char* name, int64_t rows, int64_t cols, const Take& take, const Use& use, float* scratch) {
    const int64_t pieces = column_pieces(rows, cols);
    launch(on, name, column_pieces_kernel<Count, Take>, grid_of(pieces * cols), kThreads, rows, cols, pieces, take, scratch);
    launch(on, name, column_finish_kernel<Count, Use>, grid_of(cols), kThreads, cols, pieces, scratch, use);
}

// f(i) for all i < n.
template <class F>
__global__ void each_kernel(int64_t n, F f) {
    for (int64_t i = first_index(); i < n; i += index_step()) f(i);
}
template <class F>
void each(const Executor& on, const char* name, int64_t n, const F& f) { launch(on, name, each_kernel<F>, grid_of(n), kThreads, n, f); }

}}  // namespace nd::ND_ISA
