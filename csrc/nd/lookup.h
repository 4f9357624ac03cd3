// What programs read by number: rows of a table, and the numbers first, first + 1, ... themselves.
#pragma once
#include "rows.h"

namespace nd { namespace ND_ISA {

// y[i] = weight[ids[i]], rows of `cols` floats; a row of NaN for an id outside 0..rows-1, whose memory nobody may read.
template <class Count, class Cols, class Rows, class Id>
void lookup(const Executor& executor, Count count, Cols cols, Rows rows, const Id* ids, const float* weight, float* y) {
    parallel_rows(executor, count, cols, [&](int64_t i) {
        float* row = y + i * cols;
        if (ids[i] >= Id(0) && ids[i] < Id(rows)) std::memcpy(row, weight + int64_t(ids[i]) * cols, sizeof(float) * cols);
        else for (int64_t j = 0; j < cols; ++j) row[j] = __builtin_nanf("");
    });
}

// y[i] = first + i.
template <class Count, class First, class T>
void iota(const Executor& executor, Count count, First first, T* y) {
    parallel_ranges(executor, count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) y[i] = T(first + i);
    });
}

}}  // namespace nd::ND_ISA
