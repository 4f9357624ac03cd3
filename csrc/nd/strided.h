// Loop nests over arrays with any strides, and the copy between two of them.
#pragma once
#include "nest.h"
#include "shuffle.h"

namespace nd { namespace ND_ISA {

// Calls f(offsets) for rows [begin, end): every combination of the indices of the first `outer` axes, in order. The offsets
// are those of the element `first` of the axis behind them.
template <int K, class F>
ND_INLINE void for_rows(const Nest<K>& nest, int outer, int64_t begin, int64_t end, F&& f, int64_t first = 0) {
    int64_t index[kMaxDims], offset[K] = {}, rest = begin;
    if (first > 0)
        for (int k = 0; k < K; ++k) offset[k] = first * nest.stride[k][outer];
    for (int d = outer - 1; d >= 0; --d) {
        index[d] = rest % nest.size[d];
        rest /= nest.size[d];
        for (int k = 0; k < K; ++k) offset[k] += index[d] * nest.stride[k][d];
    }
    for (int64_t row = begin; row < end; ++row) {
        f(offset);
        for (int d = outer - 1; d >= 0; --d) {
            for (int k = 0; k < K; ++k) offset[k] += nest.stride[k][d];
            if (++index[d] < nest.size[d]) break;
            index[d] = 0;
            for (int k = 0; k < K; ++k) offset[k] -= nest.size[d] * nest.stride[k][d];
        }
    }
}

// Calls f(offsets, count) for rows [begin, end) of a nest, of each the elements from `first` on. Not inlined, so that what f
// does is compiled once, whoever calls it: alone, side by side, or a long row in parts.
template <int K, class F>
ND_NOINLINE void for_parts(const Nest<K>& nest, int64_t begin, int64_t end, int64_t first, int64_t count, const F& f) {
    for_rows(nest, nest.dims - 1, begin, end, [&](const int64_t (&at)[K]) { f(at, count); }, first);
}

// Calls f(offsets, count) for pieces of the innermost axis, many elements per task.
constexpr int64_t kGrain = 16384;
template <int K, class F>
inline void for_pieces(const Executor& executor, const Nest<K>& nest, int64_t grain, const F& f) {
    if (nest.count() == 0) return;
    const int64_t length = nest.size[nest.dims - 1], total = nest.count(), rows = total / length;
    if (total < 2 * grain || executor.threads <= 1 || overlaps(nest)) {
        for_parts(nest, 0, rows, 0, length, f);
    } else if (rows == 1) {
        parallel(executor, ceil_div(length, grain), [&](int64_t task) {
            for_parts(nest, 0, 1, task * grain, min(grain, length - task * grain), f);
        });
    } else {
        const int64_t batch = ceil_div(grain, length);
        parallel(executor, ceil_div(rows, batch), [&](int64_t task) {
            for_parts(nest, task * batch, min(rows, (task + 1) * batch), 0, length, f);
        });
    }
}

// y[i * ys] = x[i * xs] for one row.
ND_INLINE void copy_row(float* y, int64_t ys, const float* x, int64_t xs, int64_t n) {
    if (ys == 1 && xs == 1) std::memcpy(y, x, 4 * n);
    else if (ys == 1 && xs == 0) for (int64_t i = 0; i < n; ++i) y[i] = *x;
    else for (int64_t i = 0; i < n; ++i) y[i * ys] = x[i * xs];
}

ND_INLINE void transpose_plain(float* y, int64_t ys, const float* x, int64_t xs, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) y[i * ys + j] = x[j * xs + i];
}

// y = x^T: y is (rows, columns) with row step ys, x is (columns, rows) with row step xs.
ND_INLINE void transpose_block(float* y, int64_t ys, const float* x, int64_t xs, int64_t rows, int64_t columns) {
    constexpr int64_t kBlock = 16;
    for (int64_t c = 0; c < columns; c += kBlock) {
        for (int64_t r = 0; r < rows; r += kBlock) {
            const int64_t high = min(rows - r, kBlock), wide = min(columns - c, kBlock);
            float* to = y + r * ys + c;
            const float* from = x + c * xs + r;
            if (high == kBlock && wide == kBlock) {
                for (int64_t i = 0; i < kBlock; i += kLanes)
                    for (int64_t j = 0; j < kBlock; j += kLanes) transpose_square(to + i * ys + j, ys, from + j * xs + i, xs);
            } else {
                transpose_plain(to, ys, from, xs, high, wide);
            }
        }
    }
}

// y = x, both strided. The nest (y first, then x) is simplified in place.
inline void copy_strided(const Executor& executor, Nest<2> nest, float* y, const float* x) {
    if (nest.count() == 0) return;
    simplify(nest);
    const int last = nest.dims - 1;
    int across = -1;  // the axis along which x is contiguous, when that is not the one along which y is
    for (int d = 0; d < last; ++d)
        if (nest.stride[1][d] == 1 && nest.stride[0][last] == 1 && nest.stride[1][last] > 1) across = d;
    if (across < 0) {
        for_pieces(executor, nest, kGrain, [&](const int64_t (&at)[2], int64_t n) {
            copy_row(y + at[0], nest.stride[0][last], x + at[1], nest.stride[1][last], n);
        });
        return;
    }
    // Planes of (across, last), cut into strips of rows of y; strips are the innermost loop.
    constexpr int64_t kStrip = 64;
    const int64_t rows = nest.size[across], columns = nest.size[last], ys = nest.stride[0][across], xs = nest.stride[1][last];
    Nest<2> outer;
    for (int d = 0; d < last; ++d)
        if (d != across) outer.push(nest.size[d], {nest.stride[0][d], nest.stride[1][d]});
    const int64_t strips = ceil_div(rows, kStrip);
    outer.push(strips, {kStrip * ys, kStrip});
    const int64_t units = outer.count();
    const int64_t batch = overlaps(nest) ? units : max(int64_t(1), kGrain / (min(rows, kStrip) * columns));
    parallel(executor, ceil_div(units, batch), [&](int64_t task) {
        int64_t unit = task * batch;
        for_rows(outer, outer.dims, unit, min(units, unit + batch), [&](const int64_t (&at)[2]) {
            const int64_t first = unit++ % strips * kStrip;
            transpose_block(y + at[0], ys, x + at[1], xs, min(kStrip, rows - first), columns);
        });
    });
}

}}  // namespace nd::ND_ISA
