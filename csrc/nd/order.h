// Along rows of numbers: running folds, the places of the best, products of matrices of whole numbers or doubles.
#pragma once
#include "elements.h"

namespace nd { namespace ND_ISA {

// y[i][j] = f(y[i][j - 1], x[i][j]) along each of `outer` rows.
template <class F, class T>
inline void scan_elements(const Executor& executor, int64_t outer, int64_t count, F f, const T* x, T* y) {
    parallel_rows(executor, outer, count, [&](int64_t row) {
        const T* from = x + row * count;
        T* to = y + row * count;
        for (int64_t j = 0; j < count; ++j) to[j] = j == 0 ? from[0] : f(to[j - 1], from[j]);
    });
}

// The order of places: by `better` of their elements, of equal ones the first; NaN in front of all numbers or behind them.
template <class Better, class T>
struct Before {
    const T* x;
    bool nan_first;

    ND_INLINE bool operator()(int64_t a, int64_t b) const {
        const bool a_is_none = x[a] != x[a], b_is_none = x[b] != x[b];
        if (a_is_none != b_is_none) return a_is_none == nan_first;
        if (Better{}(x[a], x[b]) != 0) return true;
        return Better{}(x[b], x[a]) == 0 && a < b;
    }
};

// Let what is at `i` of a heap of n, whose root is the last in order, sink to where it belongs.
template <class Order>
ND_INLINE void sink(const Order& before, int64_t* heap, int64_t n, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && before(heap[child], heap[child + 1]);
        if (!before(heap[i], heap[child])) return;
        std::swap(heap[i], heap[child]);
    }
}

// y[i] = the places of the `most` best of the `count` elements of row i, in order.
template <class Better, class T>
inline void order_elements(const Executor& executor, int64_t outer, int64_t count, int64_t most, bool nan_first, Better,
                           const T* x, int64_t* y) {
    parallel_rows(executor, outer, count, [&](int64_t row) {
        const Before<Better, T> before{x + row * count, nan_first};
        int64_t* heap = y + row * most;
        for (int64_t j = 0; j < most; ++j) heap[j] = j;
        for (int64_t i = most / 2 - 1; i >= 0; --i) sink(before, heap, most, i);
        for (int64_t j = most; j < count; ++j)
            if (before(j, heap[0])) heap[0] = j, sink(before, heap, most, 0);
        for (int64_t n = most - 1; n > 0; --n) std::swap(heap[0], heap[n]), sink(before, heap, n, 0);
    });
}

// y (batch, m, n) = a (batch, m, k) b (batch, k, n), sums in the order of k; whole numbers wrap around.
template <class T>
inline void matmul_elements(const Executor& executor, int64_t batch, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* y) {
    parallel_rows(executor, batch * m, n * k, [&](int64_t row) {
        T* to = y + row * n;
        for (int64_t j = 0; j < n; ++j) to[j] = T(0);
        for (int64_t l = 0; l < k; ++l) {
            const T left = a[row * k + l], *right = b + (row / m * k + l) * n;
            for (int64_t j = 0; j < n; ++j) to[j] = Add{}(to[j], Multiply{}(left, right[j]));
        }
    });
}

}}  // namespace nd::ND_ISA
