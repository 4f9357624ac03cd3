// Slices of an axis by number, elements by number, rows of a table, and the gradients that add them up again, each in the
// order of the numbers: one warp owns what it adds to. Arrays are dense and seen as (outer, the axis, inner).
#pragma once
#include "../nd/keyed.h"
#include "columns.cuh"

namespace nd { namespace ND_ISA {

__device__ __forceinline__ int64_t place(float id, int64_t n) { return static_cast<int64_t>(id) + (id < 0 ? n : 0); }

struct BadPlace {  // no whole number in low..limit-1
    const float* ids;
    int64_t low, limit;
    __device__ bool operator()(int64_t i) const {
        const double id = ids[i];
        return !(id >= static_cast<double>(low) && id < static_cast<double>(limit) && truncate(ids[i]) == ids[i]);
    }
};

// y (outer, count, inner): y[o][i] = x[o][ids[i]], x (outer, n, inner).
struct Take {
    const float *x, *ids;
    float* y;
    int64_t n, count, inner;
    __device__ void operator()(int64_t at) const {
        const int64_t row = at / inner;
        y[at] = x[(row / count * n + place(ids[row % count], n)) * inner + at - row * inner];
    }
};

// y[o][j][i] = x[o][index[o][j][i]][i].
struct Gather {
    const float *x, *index;
    float* y;
    int64_t n, count, inner;
    __device__ void operator()(int64_t at) const {
        const int64_t i = at % inner, o = at / inner / count;
        y[at] = x[(o * n + place(index[at], n)) * inner + i];
    }
};

// dx[o][m][i] = the sum of g[o][j][i] over the j with index[o][j][i] = m: a thread owns a column of dx.
struct GatherGradient {
    const float *g, *index;
    float* dx;
    int64_t n, count, inner;
    __device__ void operator()(int64_t at) const {
        const int64_t i = at % inner, o = at / inner;
        for (int64_t m = 0; m < n; ++m) dx[(o * n + m) * inner + i] = 0;
        for (int64_t j = 0; j < count; ++j) {
            const int64_t from = (o * count + j) * inner + i;
            dx[(o * n + place(index[from], n)) * inner + i] += g[from];
        }
    }
};

// dx (outer, n, inner): dx[o][m] = the sum of g[o][i] over the i with ids[i] = m. A warp looks at 32 of the ids at a time.
static __global__ void take_gradient_kernel(int64_t outer, int64_t n, int64_t count, int64_t inner, const float* g, const float* ids, float* dx) {
    const RowGroup<kWarp> warp;
    for (int64_t unit = warp.first(); unit < outer * n; unit += warp.step()) {
        const int64_t m = unit % n, o = unit / n;
        float* to = dx + unit * inner;
        for (int64_t j = warp.rank(); j < inner; j += kWarp) to[j] = 0;
        for (int64_t first = 0; first < count; first += kWarp) {
            const int64_t mine = first + warp.rank();
            unsigned found = __ballot_sync(kWholeWarp, mine < count && place(ids[mine < count ? mine : 0], n) == m);
            for (; found != 0; found &= found - 1) {
                const int64_t i = first + __ffs(static_cast<int>(found)) - 1;
                for (int64_t j = warp.rank(); j < inner; j += kWarp) to[j] += g[(o * count + i) * inner + j];
            }
        }
    }
}

inline void take(const Executor& on, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* x, const float* ids, float* y) {
    each(on, "take", outer * count * inner, Take{x, ids, y, n, count, inner});
}
inline void gather(const Executor& on, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* x, const float* index, float* y) {
    each(on, "gather", outer * count * inner, Gather{x, index, y, n, count, inner});
}
inline void gather_gradient(const Executor& on, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* g,
                            const float* index, float* dx) {
    each(on, "gather_gradient", outer * inner, GatherGradient{g, index, dx, n, count, inner});
}
inline void take_gradient(const Executor& on, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* g, const float* ids,
                          float* dx) {
    if (outer * n * inner == 0) return;
    const int64_t groups = ceil_div(outer * n, int64_t(kThreads / kWarp));
    launch(on, "take_gradient", take_gradient_kernel, dim3(static_cast<unsigned>(min(groups, kMostBlocks))), kThreads, outer, n, count,
           inner, g, ids, dx);
}

// Rows of a table by ids of any type; a row of NaN for an id outside 0..rows-1.
template <class Id>
struct Lookup {
    const Id* ids;
    const float* weight;
    float* y;
    int64_t cols, rows;
    __device__ void operator()(int64_t at) const {
        const int64_t i = at / cols;
        const Id id = ids[i];
        const bool inside = id >= Id(0) && id < static_cast<Id>(rows);
        y[at] = inside ? weight[static_cast<int64_t>(id) * cols + at - i * cols] : __builtin_nanf("");
    }
};
template <class Id>
void lookup(const Executor& on, int64_t count, int64_t cols, int64_t rows, const Id* ids, const float* weight, float* y) {
    each(on, "lookup", count * cols, Lookup<Id>{ids, weight, y, cols, rows});
}

template <class T>
struct Iota {
    int64_t first;
    T* y;
    __device__ void operator()(int64_t i) const { y[i] = static_cast<T>(first + i); }
};
template <class T>
void iota(const Executor& on, int64_t count, int64_t first, T* y) { each(on, "iota", count, Iota<T>{first, y}); }

// Numbers of the stream that starts from (key, *counter).
struct Random {
    int64_t key;
    const int64_t* counter;
    float* y;
    __device__ void operator()(int64_t i) const {
        y[i] = keyed_float(keyed_by(static_cast<uint64_t>(key), static_cast<uint64_t>(*counter)), i);
    }
};
inline void random(const Executor& on, int64_t count, int64_t key, const int64_t* counter, float* y) {
    each(on, "random", count, Random{key, counter, y});
}

}}  // namespace nd::ND_ISA
