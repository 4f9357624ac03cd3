// Slices of an axis by number, elements by number, and the gradients that add them up again. Arrays are dense and seen as
// (outer, the axis, inner); numbers are whole floats in -n..n-1, those below zero counted from the end.
#pragma once
#include "rows.h"

namespace nd { namespace ND_ISA {

// The first place that holds no whole number in -n..n-1, or -1. The other functions rely on this having been checked.
inline int64_t first_bad_place(int64_t count, const float* ids, int64_t n) {
    for (int64_t i = 0; i < count; ++i)
        if (!(double(ids[i]) >= -double(n) && double(ids[i]) < double(n) && float(int64_t(ids[i])) == ids[i])) return i;
    return -1;
}

ND_INLINE int64_t place(float id, int64_t n) { return int64_t(id) + (id < 0 ? n : 0); }

// y (outer, count, inner): y[o][i] = x[o][ids[i]], x (outer, n, inner).
inline void take(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* x,
                 const float* ids, float* y) {
    if (inner == 0) return;
    parallel_ranges(executor, outer * count, inner, [&](int64_t first, int64_t end) {
        for (int64_t row = first; row < end; ++row) {
            const float* from = x + (row / count * n + place(ids[row % count], n)) * inner;
            if (inner == 1) y[row] = *from;
            else std::memcpy(y + row * inner, from, sizeof(float) * static_cast<std::size_t>(inner));
        }
    });
}

// dx (outer, n, inner): dx[o][m] = the sum of g[o][i] over the i with ids[i] = m, in the order of i. Each task owns some
// slices of dx and goes through all the ids, so no two tasks add to the same one.
inline void take_gradient(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* g,
                          const float* ids, float* dx) {
    if (n * inner == 0) return;
    const int64_t parts = outer >= 16 ? 1 : max<int64_t>(1, min<int64_t>(16, n * inner / (4 * kTaskElements)));
    const int64_t step = ceil_div(n, parts);
    parallel_ranges(executor, outer * parts, (step + count) * inner, [&](int64_t first_task, int64_t end_task) {
        for (int64_t task = first_task; task < end_task; ++task) {
            const int64_t o = task / parts, first = min(n, task % parts * step), end = min(n, first + step);
            float* to = dx + o * n * inner;
            std::memset(to + first * inner, 0, sizeof(float) * static_cast<std::size_t>((end - first) * inner));
            for (int64_t i = 0; i < count; ++i) {
                const int64_t id = place(ids[i], n);
                if (id < first || id >= end) continue;
                const float* from = g + (o * count + i) * inner;
                if (inner == 1) to[id] += *from;
                else each_vector(inner, [&](int64_t j, auto some) {
                    store_some(to + id * inner + j, load_some(to + id * inner + j, some) + load_some(from + j, some), some);
                });
            }
        }
    });
}

// y[o][j][i] = x[o][index[o][j][i]][i]: y and index (outer, count, inner), x (outer, n, inner).
inline void gather(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* x,
                   const float* index, float* y) {
    parallel_rows(executor, outer * count, inner, [&](int64_t row) {
        const float* from = x + row / count * n * inner;
        for (int64_t i = 0, at = row * inner; i < inner; ++i, ++at) y[at] = from[place(index[at], n) * inner + i];
    });
}

// dx[o][m][i] = the sum of g[o][j][i] over the j with index[o][j][i] = m, in their order. A task owns columns of dx.
inline void gather_gradient(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* g,
                            const float* index, float* dx) {
    const int64_t wide = min<int64_t>(inner, 256), strips = ceil_div(inner, max<int64_t>(1, wide));
    parallel_rows(executor, outer * strips, (n + count) * wide, [&](int64_t task) {
        const int64_t o = task / strips, first = task % strips * wide, end = min(inner, first + wide);
        float* to = dx + o * n * inner;
        const int64_t pieces = strips == 1 ? 1 : n, length = strips == 1 ? n * inner : end - first;
        for (int64_t m = 0; m < pieces; ++m)
            std::memset(to + m * inner + first, 0, sizeof(float) * static_cast<std::size_t>(length));
        for (int64_t j = 0; j < count; ++j)
            for (int64_t i = first, row = (o * count + j) * inner; i < end; ++i)
                to[place(index[row + i], n) * inner + i] += g[row + i];
    });
}

}}  // namespace nd::ND_ISA
