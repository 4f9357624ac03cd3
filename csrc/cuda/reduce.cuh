// Sums, maxima and minima over one axis of a dense array seen as (outer, k, inner). Long axes are cut into pieces, whose
// results are folded in order: how many depends on the sizes alone, so the bits are the same in every run.
#pragma once
#include "group.cuh"

namespace nd { namespace ND_ISA {

// Pieces of an axis of k, so that a device is busy; each is worth the start of a group of threads.
inline int64_t reduce_pieces(int64_t outer, int64_t k, int64_t inner) {
    constexpr int64_t kBusy = int64_t(1) << 15;
    const int64_t least = inner == 1 ? 4096 : 64, outputs = max(int64_t(1), outer * inner) * (inner == 1 ? kThreads : 1);
    return max(int64_t(1), min(k / least, kBusy / outputs));
}
inline int64_t reduce_scratch(int64_t outer, int64_t k, int64_t inner) {
    const int64_t pieces = reduce_pieces(outer, k, inner);
    return pieces > 1 ? outer * pieces * inner : 0;
}

// out[row][piece] = the fold of a piece of a row of x (rows, k).
template <class Fold, int Threads>
__global__ void reduce_rows_kernel(int64_t rows, int64_t k, int64_t pieces, const float* x, float* out) {
    const RowGroup<Threads> group;
    for (int64_t unit = group.first(); unit < rows * pieces; unit += group.step()) {
        const int64_t piece = unit % pieces, begin = k * piece / pieces, end = k * (piece + 1) / pieces;
        const float* row = x + unit / pieces * k;
        float v = Fold::start();
        for (int64_t i = begin + group.rank(); i < end; i += Threads) v = Fold::fold(v, row[i]);
        v = folded<Fold, Threads>(v);
        if (group.rank() == 0) out[unit] = v;
    }
}

// out[o][piece][i] = the fold of x[o][j][i] over the j of a piece.
template <class Fold>
__global__ void reduce_deep_kernel(int64_t outer, int64_t k, int64_t inner, int64_t pieces, const float* x, float* out) {
    for (int64_t at = first_index(); at < outer * pieces * inner; at += index_step()) {
        const int64_t i = at % inner, piece = at / inner % pieces, o = at / inner / pieces;
        float v = Fold::start();
        for (int64_t j = k * piece / pieces; j < k * (piece + 1) / pieces; ++j) v = Fold::fold(v, x[(o * k + j) * inner + i]);
        out[at] = v;
    }
}

template <class Fold>
void reduce_once(const Executor& on, const char* name, int64_t outer, int64_t k, int64_t inner, int64_t pieces, const float* x,
                 float* out) {
    if (outer * inner == 0) return;
    if (inner > 1) {
        launch(on, name, reduce_deep_kernel<Fold>, grid_of(outer * pieces * inner), kThreads, outer, k, inner, pieces, x, out);
        return;
    }
    with_row_groups(outer * pieces, k / pieces, [&](auto threads, dim3 grid) {
        launch(on, name, reduce_rows_kernel<Fold, decltype(threads)::value>, grid, kThreads, outer, k, pieces, x, out);
    });
}

// out (outer, inner) = the fold of x (outer, k, inner) over its middle axis.
template <class Fold>
void reduce(const Executor& on, const char* name, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch) {
    const int64_t pieces = reduce_pieces(outer, k, inner);
    reduce_once<Fold>(on, name, outer, k, inner, pieces, x, pieces > 1 ? scratch : out);
    if (pieces > 1) reduce_once<Fold>(on, name, outer, pieces, inner, 1, scratch, out);
}

}}  // namespace nd::ND_ISA
