// Elements of any type: maps, casts, copies, folds and choices by number. They are computed as int64_t, uint64_t, float or
// double (stored.h) and cut or rounded to their type, so that whole numbers wrap around as numpy's do; a bool is 0 or 1.
#pragma once
#include <tuple>
#include <utility>
#include "element_functors.h"
#include "rows.h"
#include "stored.h"
#include "strided.h"

namespace nd { namespace ND_ISA {

template <class... X> using Last = std::tuple_element_t<sizeof...(X) - 1, std::tuple<X...>>;

// y = f(x...) for n elements that lie so many steps apart, y's first; of those in a row the compiler makes vectors. The last
// operand says what is computed in: the first of Where is a bool.
template <class F, class Y, std::size_t... K, class... X>
ND_INLINE void map_row(int64_t n, F f, const int64_t* step, std::index_sequence<K...>, Y* y, const X*... x) {
    using W = Wide<Last<X...>>;
    if (step[0] == 1 && ((step[K + 1] == 1) && ...))
        for (int64_t i = 0; i < n; ++i) y[i] = convert<Y>(f(convert<W>(widened(x[i]))...));
    else
        for (int64_t i = 0; i < n; ++i) y[i * step[0]] = convert<Y>(f(convert<W>(widened(x[i * step[K + 1]]))...));
}

template <class F, class Y, std::size_t... K, class... X>
inline void map_elements(const Executor& executor, Nest<sizeof...(X) + 1>& nest, F f, std::index_sequence<K...> each, Y* y,
                         const X*... x) {
    simplify(nest);
    const int last = nest.dims - 1;
    const int64_t step[] = {nest.stride[0][last], nest.stride[K + 1][last]...};
    for_pieces(executor, nest, kGrain, [&](const int64_t (&at)[sizeof...(X) + 1], int64_t n) {
        map_row(n, f, step, each, y + at[0], (x + at[K + 1])...);
    });
}

// y = f(x...) over a nest (y, x...) of any strides, in which no two indices write the same element.
template <class F, class Y, class... X>
ND_INLINE void map_elements(const Executor& executor, Nest<sizeof...(X) + 1> nest, F f, Y* y, const X*... x) {
    map_elements(executor, nest, f, std::index_sequence_for<X...>{}, y, x...);
}

// y[i] = f(f(x[i][0], x[i][1]), ...) over `count` elements of each of `outer` rows; 0 where there are none.
template <class F, class Y, class X>
inline void fold_elements(const Executor& executor, int64_t outer, int64_t count, F f, const X* x, Y* y) {
    parallel_rows(executor, outer, count, [&](int64_t i) {
        const X* row = x + i * count;
        Wide<X> total = count > 0 ? widened(row[0]) : Wide<X>(0);
        for (int64_t j = 1; j < count; ++j) total = f(total, widened(row[j]));
        y[i] = convert<Y>(total);
    });
}

// The place of a number along an axis of n, those below zero counted from the end; -1 outside.
ND_INLINE int64_t place_inside(int64_t id, int64_t n) {
    if (id < 0) id += n;
    return id >= 0 && id < n ? id : -1;
}

// y (outer, count, inner): y[o][i] = x[o][ids[i]], x (outer, n, inner); `none` stands for what is outside.
template <class T>
inline void take_elements(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const T* x,
                          const int64_t* ids, T* y, T none = missing<T>()) {
    parallel_rows(executor, outer * count, inner, [&](int64_t row) {
        const int64_t at = place_inside(ids[row % count], n);
        T* to = y + row * inner;
        if (at >= 0) std::memcpy(to, x + (row / count * n + at) * inner, sizeof(T) * static_cast<std::size_t>(inner));
        else for (int64_t i = 0; i < inner; ++i) to[i] = none;
    });
}

// y[o][j][i] = x[o][index[o][j][i]][i]: y and index (outer, count, inner), x (outer, n, inner).
template <class T>
inline void gather_elements(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const T* x,
                            const int64_t* index, T* y, T none = missing<T>()) {
    parallel_rows(executor, outer * count, inner, [&](int64_t row) {
        const T* from = x + row / count * n * inner;
        for (int64_t i = 0, k = row * inner; i < inner; ++i, ++k) {
            const int64_t at = place_inside(index[k], n);
            y[k] = at >= 0 ? from[at * inner + i] : none;
        }
    });
}

// y[ids[i]] = f(y[ids[i]], x[i]) for i in order: y (n, inner), x (count, inner); what is outside changes nothing.
template <class F, class T>
inline void scatter_elements(const Executor&, int64_t n, int64_t count, int64_t inner, F f, const T* x, const int64_t* ids, T* y) {
    for (int64_t i = 0; i < count; ++i) {
        const int64_t at = place_inside(ids[i], n);
        for (int64_t j = 0; at >= 0 && j < inner; ++j) {
            T& to = y[at * inner + j];
            to = convert<T>(f(widened(to), widened(x[i * inner + j])));
        }
    }
}

}}  // namespace nd::ND_ISA
