// What kernels over rows of memory share: sums and maxima along a row in one fixed order, and ways to split rows over
// threads that do not depend on how many there are.
#pragma once
#include "simd.h"

namespace nd { namespace ND_ISA {

constexpr int kParts = kSumLanes / kLanes;  // vectors that make up the 16 logical lanes of a sum

// Whole vectors when the count is known to be kLanes, the first `count` lanes otherwise.
ND_INLINE Vec load_some(const float* p, Const<kLanes>) { return load(p); }
ND_INLINE Vec load_some(const float* p, int64_t count) { return load_first(p, count); }
ND_INLINE void store_some(float* p, Vec v, Const<kLanes>) { store(p, v); }
ND_INLINE void store_some(float* p, Vec v, int64_t count) { store_first(p, v, count); }

// Calls f(j, count) for the vectors that cover [0, n): count is Const<kLanes>, and a smaller integer for the last.
template <class N, class F>
ND_INLINE void each_vector(N n, F&& f) {
    int64_t j = 0;
    for (; j + kLanes <= n; j += kLanes) f(j, Const<kLanes>{});
    if (j < n) f(j, int64_t(n - j));
}

constexpr int kStreams = 4;  // sums of their own, to hide the latency of the addition

// The sum of f(j, count) over the vectors of [0, n): element j is added to logical lane j % 16 of stream j / 16 % 4, and
// from the last multiple of 64 on to that of stream 0.
template <class N, class F>
ND_INLINE float sum_of(N n, F&& f) {
    Vec part[kStreams][kParts] = {};
    int64_t j = 0;
    for (; j + kStreams * kSumLanes <= n; j += kStreams * kSumLanes)
#pragma GCC unroll 16
        for (int s = 0; s < kStreams; ++s)
#pragma GCC unroll 16
            for (int p = 0; p < kParts; ++p) part[s][p] += f(j + s * kSumLanes + p * kLanes, Const<kLanes>{});
    for (; j + kSumLanes <= n; j += kSumLanes)
#pragma GCC unroll 16
        for (int p = 0; p < kParts; ++p) part[0][p] += f(j + p * kLanes, Const<kLanes>{});
    for (int p = 0; p < kParts && j < n; ++p, j += kLanes) {
        const int64_t count = min<int64_t>(kLanes, n - j);
        part[0][p] += first_lanes(f(j, count), count);
    }
#pragma GCC unroll 16
    for (int p = 0; p < kParts; ++p) part[0][p] = (part[0][p] + part[1][p]) + (part[2][p] + part[3][p]);
    float lane[kSumLanes];
    std::memcpy(lane, part[0], sizeof lane);
    return sum_lanes(lane);
}

// The largest of n > 0 numbers. With a NaN among them it is any of them: what is made of it is NaN anyway.
template <class N>
ND_INLINE float max_of(N n, const float* x) {
    Vec top[kStreams];
    for (Vec& t : top) t = splat(x[0]);
    int64_t j = 0;
    for (; j + kStreams * kLanes <= n; j += kStreams * kLanes)
#pragma GCC unroll 16
        for (int s = 0; s < kStreams; ++s) top[s] = larger(load(x + j + s * kLanes), top[s]);
    for (; j + kLanes <= n; j += kLanes) top[0] = larger(load(x + j), top[0]);
    const Vec all = larger(larger(top[0], top[1]), larger(top[2], top[3]));
    float largest = x[0];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) largest = all[i] > largest ? all[i] : largest;
    for (; j < n; ++j) largest = x[j] > largest ? x[j] : largest;
    return largest;
}

// Tasks of about this many elements: long enough to be worth handing to a thread.
constexpr int64_t kTaskElements = 16384;

// The executor for work that is worth sharing, the calling thread alone for less.
ND_INLINE Executor worthwhile(const Executor& executor, int64_t elements) {
    return elements < 2 * kTaskElements ? Executor{} : executor;
}

// Calls f(first, end) for ranges of rows, one to a task.
template <class F>
ND_INLINE void parallel_ranges(const Executor& executor, int64_t rows, int64_t elements_per_row, F&& f) {
    const int64_t step = max<int64_t>(1, kTaskElements / max<int64_t>(1, elements_per_row));
    parallel(executor, ceil_div(rows, step), [&](int64_t task) { f(task * step, min(rows, (task + 1) * step)); });
}

// Calls f(row) for every row, several rows to a task.
template <class F>
ND_INLINE void parallel_rows(const Executor& executor, int64_t rows, int64_t elements_per_row, F&& f) {
    parallel_ranges(executor, rows, elements_per_row, [&](int64_t first, int64_t end) {
        for (int64_t row = first; row < end; ++row) f(row);
    });
}

// Calls f(first, end) for groups of at most 8 rows. A kernel that makes one pass over the rows of a group after the other
// lets the processor work on several rows at once, where one row's sums would keep it waiting.
template <class F>
ND_INLINE void each_group(int64_t first, int64_t end, F&& f) {
    for (int64_t row = first; row < end; row += 8) f(row, min(end, row + 8));
}

// Column by column over chunks of rows: f(j, count) gives what to do with element i = row * cols + j of every row, so that
// it may keep what belongs to the columns in registers.
template <class F>
ND_INLINE void parallel_columns(const Executor& executor, int64_t rows, int64_t cols, F&& f) {
    parallel_ranges(executor, rows, cols, [&](int64_t first, int64_t end) {
        each_vector(cols, [&](int64_t j, auto n) {
            auto apply = f(j, n);
            for (int64_t row = first; row < end; ++row) apply(row * cols + j);
        });
    });
}

// Sums over rows: at most this many chunks of rows, one partial sum each, added up in order.
constexpr int64_t kMaxChunks = 64;
constexpr int64_t chunk_rows(int64_t rows) { return max<int64_t>(16, ceil_div(rows, kMaxChunks)); }
constexpr int64_t chunk_count(int64_t rows) { return ceil_div(rows, chunk_rows(rows)); }

}}  // namespace nd::ND_ISA
