// Rows of a table by number, and the gradient that adds rows up again.
#pragma once
#include "rows.h"

namespace nd { namespace ND_ISA {

// The first place that holds no whole number in 0..limit-1, or -1. The other functions rely on this having been checked.
inline int64_t first_bad_index(int64_t count, const float* ids, int64_t limit) {
    for (int64_t i = 0; i < count; ++i)
        if (!(ids[i] >= 0 && double(ids[i]) < double(limit) && float(int64_t(ids[i])) == ids[i])) return i;
    return -1;
}

// y[i] = weight[ids[i]], rows of `cols` floats.
template <class Count, class Cols>
void embedding(const Executor& executor, Count count, Cols cols, const float* ids, const float* weight, float* y) {
    parallel_rows(executor, count, cols, [&](int64_t i) {
        std::memcpy(y + i * cols, weight + int64_t(ids[i]) * cols, sizeof(float) * cols);
    });
}

// dweight[id] = sum over the places i that hold id of g[i], in the order of i. Each task owns a range of table rows and
// goes through all the ids, so no two tasks add to the same row.
template <class Count, class Cols>
void embedding_gradient(const Executor& executor, Count count, Cols cols, int64_t table_rows, const float* ids,
                        const float* g, float* dweight) {
    const int64_t tasks = max<int64_t>(1, min<int64_t>(16, table_rows * cols / (4 * kTaskElements)));
    const int64_t step = ceil_div(table_rows, tasks);
    parallel(executor, tasks, [&](int64_t task) {
        const int64_t first = min(table_rows, task * step), end = min(table_rows, first + step);
        std::memset(dweight + first * cols, 0, sizeof(float) * (end - first) * cols);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t id = int64_t(ids[i]);
            if (id < first || id >= end) continue;
            float* row = dweight + id * cols;
            each_vector(cols, [&](int64_t j, auto n) {
                store_some(row + j, load_some(row + j, n) + load_some(g + i * cols + j, n), n);
            });
        }
    });
}

}}  // namespace nd::ND_ISA
