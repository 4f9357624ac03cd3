// Means and variances of rows of memory, for programs.
#pragma once
#include "rows.h"

namespace nd { namespace ND_ISA {

template <class Count>
ND_INLINE float row_mean(Count count, const float* x) {
    return sum_of(count, [&](int64_t j, auto some) { return load_some(x + j, some); }) / static_cast<float>(int64_t(count));
}

// y[i] = the mean of row i; NaN of none.
template <class Rows, class Count>
void mean(const Executor& executor, Rows rows, Count count, const float* x, float* y) {
    parallel_rows(executor, rows, count, [&](int64_t i) { y[i] = row_mean(count, x + i * count); });
}

// y[i] = the sum over row i of (x - its mean)^2 / (count - correction); NaN where nothing is left.
template <class Rows, class Count>
void variance(const Executor& executor, Rows rows, Count count, const float* x, float correction, float* y) {
    const float left = static_cast<float>(int64_t(count)) - correction;
    parallel_rows(executor, rows, count, [&](int64_t i) {
        const float* row = x + i * count;
        const Vec mean = splat(row_mean(count, row));
        const float total = sum_of(count, [&](int64_t j, auto some) {
            const Vec away = load_some(row + j, some) - mean;
            return away * away;
        });
        y[i] = left > 0 ? total / left : __builtin_nanf("");
    });
}

}}  // namespace nd::ND_ISA
