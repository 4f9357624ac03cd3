// Whole numbers, bool and doubles on the device: casts, copies, maps and folds. Elements are read as what they are computed in,
// int64_t or double, and cut to their type when they are stored, as csrc/nd/elements.h has it.
#pragma once
#include "../nd/stored.h"
#include "group.cuh"
#include "pointwise.cuh"

namespace nd { namespace ND_ISA {

// The types of arrays (needle/types.py), in the order in which they are promoted.
#define ND_DEVICE_TYPES(X) \
    X(bool, bool) X(uint8, uint8_t) X(int8, int8_t) X(int32, int32_t) X(int64, int64_t) X(float32, float) X(float64, double)
#define ND_NAME(name, T) type_##name,
enum TypeCode : int { ND_DEVICE_TYPES(ND_NAME) type_count };
#undef ND_NAME

// Memory of elements of some type.
struct Typed {
    void* p;
    int64_t type;
};

template <class W>
__device__ W element(const Typed& x, int64_t at) {
    switch (x.type) {
#define ND_READ(name, T) \
    case type_##name: return convert<W>(widened(static_cast<const T*>(x.p)[at]));
        ND_DEVICE_TYPES(ND_READ)
#undef ND_READ
        default: return W(0);
    }
}
template <class W>
__device__ void keep(const Typed& y, int64_t at, W value) {
    switch (y.type) {
#define ND_WRITE(name, T) \
    case type_##name: static_cast<T*>(y.p)[at] = convert<T>(value); break;
        ND_DEVICE_TYPES(ND_WRITE)
#undef ND_WRITE
        default: break;
    }
}

// y = f(x...) over a nest (y, x...), computed in W; of a nest that has fewer operands the others are not read.
template <class F, class W, int Inputs>
__global__ void map_elements_kernel(int64_t n, Nest<4> nest, Typed y, Typed a, Typed b, Typed c) {
    for (int64_t i = first_index(); i < n; i += index_step()) {
        int64_t at[4];
        place_of(nest, i, at);
        if constexpr (Inputs == 1) keep(y, at[0], F{}(element<W>(a, at[1])));
        else if constexpr (Inputs == 2) keep(y, at[0], F{}(element<W>(a, at[1]), element<W>(b, at[2])));
        else keep(y, at[0], F{}(element<W>(a, at[1]), element<W>(b, at[2]), element<W>(c, at[3])));
    }
}
template <class F, class W, int Inputs>
void map_elements(const Executor& on, const char* name, Nest<4> nest, const Typed& y, const Typed (&x)[3]) {
    const int64_t n = nest.count();
    if (n == 0) return;
    simplify(nest);
    launch(on, name, map_elements_kernel<F, W, Inputs>, overlaps(nest) ? dim3(1) : grid_of(n), overlaps(nest) ? 1 : kThreads, n, nest, y,
           x[0], x[1], x[2]);
}

template <int64_t start_, class F>
struct WholeFold {
    static ND_FN int64_t start() { return start_; }
    static ND_FN int64_t fold(int64_t a, int64_t x) { return F{}(a, x); }
};
using WholeSum = WholeFold<0, Add>;
using WholeMax = WholeFold<INT64_MIN, Maximum>;
using WholeMin = WholeFold<INT64_MAX, Minimum>;

// y[row] = the fold of row `row` of x (rows, count).
template <class Fold, int Threads>
__global__ void fold_elements_kernel(int64_t rows, int64_t count, Typed x, Typed y) {
    const RowGroup<Threads> group;
    for (int64_t row = group.first(); row < rows; row += group.step()) {
        int64_t v = Fold::start();
        for (int64_t j = group.rank(); j < count; j += Threads) v = Fold::fold(v, element<int64_t>(x, row * count + j));
        v = folded<Fold, Threads>(v);
        if (group.rank() == 0) keep(y, row, v);
    }
}
template <class Fold>
void fold_elements(const Executor& on, const char* name, int64_t rows, int64_t count, const Typed& x, const Typed& y) {
    if (rows == 0) return;
    with_row_groups(rows, count, [&](auto threads, dim3 grid) {
        launch(on, name, fold_elements_kernel<Fold, decltype(threads)::value>, grid, kThreads, rows, count, x, y);
    });
}

}}  // namespace nd::ND_ISA
