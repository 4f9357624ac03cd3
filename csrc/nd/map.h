// Pointwise loops: y = f(x...) over contiguous memory, and over loop nests with any strides (0 broadcasts). The last few
// elements go through the same vector code as the others, so an element's bits do not depend on where it lies.
#pragma once
#include "scalar.h"
#include "strided.h"

namespace nd { namespace ND_ISA {

// How a row of an operand is read, kLanes at a time.
struct Contiguous {
    const float* p;
    ND_INLINE Vec at(int64_t i) const { return load(p + i); }
    ND_INLINE Vec first(int64_t i, int64_t count) const { return load_first(p + i, count); }
};
struct Repeated {
    Vec value;
    ND_INLINE Vec at(int64_t) const { return value; }
    ND_INLINE Vec first(int64_t, int64_t) const { return value; }
};
struct Strided {
    const float* p;
    int64_t stride;
    ND_INLINE Vec at(int64_t i) const { return first(i, kLanes); }
    ND_INLINE Vec first(int64_t i, int64_t count) const {
        float lane[kLanes] = {};
        for (int64_t j = 0; j < count; ++j) lane[j] = p[(i + j) * stride];
        return load(lane);
    }
};
struct AnyStep {  // whichever of the three it is, found out at every vector
    const float* p;
    int64_t stride;
    ND_INLINE Vec at(int64_t i) const {
        return stride == 1 ? load(p + i) : stride == 0 ? splat(*p) : Strided{p, stride}.at(i);
    }
    ND_INLINE Vec first(int64_t i, int64_t count) const {
        return stride == 1 ? load_first(p + i, count) : stride == 0 ? splat(*p) : Strided{p, stride}.first(i, count);
    }
};

template <class N, class F, class... Readers>
ND_INLINE void sweep(N n, F f, float* y, Readers... x) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, f(x.at(i)...));
    if (i < n) store_first(y + i, f(x.first(i, n - i)...), n - i);
}

// y[i] = f(x[i]...) for n elements in a row; y may be one of the x.
template <class N, class F, class... Floats>
inline void map(N n, F f, float* y, const Floats*... x) {
    sweep(n, f, y, Contiguous{x}...);
}

// The same, in parallel.
template <class N, class F, class... Floats>
ND_INLINE void map(const Executor& executor, N n, F f, float* y, const Floats*... x) {
    if (n < 2 * kGrain || executor.threads <= 1) return map(n, f, y, x...);
    parallel(executor, ceil_div(n, kGrain), [&](int64_t task) {
        const int64_t start = task * kGrain;
        map(min<int64_t>(kGrain, n - start), f, y + start, (x + start)...);
    });
}

template <class Use>
ND_INLINE void with_reader(const float* p, int64_t stride, Use&& use) {
    if (stride == 1) use(Contiguous{p});
    else if (stride == 0) use(Repeated{splat(*p)});
    else use(Strided{p, stride});
}

// y = f(x) over a nest (y, x) in which y is dense: some permutation of its axes is contiguous.
template <class F>
inline void map(const Executor& executor, Nest<2> nest, F f, float* y, const float* x) {
    simplify(nest);
    const int64_t step = nest.stride[1][nest.dims - 1];
    for_pieces(executor, nest, kGrain, [&](const int64_t (&at)[2], int64_t n) {
        with_reader(x + at[1], step, [&](auto reader) { sweep(n, f, y + at[0], reader); });
    });
}

// Readers of their own for the steps that are common, one pair for the others: a loop for each combination would be long.
template <class Use>
ND_INLINE void with_readers(const float* a, int64_t a_step, const float* b, int64_t b_step, Use&& use) {
    if (a_step == 1 && b_step == 1) use(Contiguous{a}, Contiguous{b});
    else if (a_step == 1 && b_step == 0) use(Contiguous{a}, Repeated{splat(*b)});
    else if (a_step == 0 && b_step == 1) use(Repeated{splat(*a)}, Contiguous{b});
    else use(AnyStep{a, a_step}, AnyStep{b, b_step});
}

// y = f(a, b) over a nest (y, a, b) in which y is dense.
template <class F>
inline void map(const Executor& executor, Nest<3> nest, F f, float* y, const float* a, const float* b) {
    simplify(nest);
    const int64_t a_step = nest.stride[1][nest.dims - 1], b_step = nest.stride[2][nest.dims - 1];
    for_pieces(executor, nest, kGrain, [&](const int64_t (&at)[3], int64_t n) {
        with_readers(a + at[1], a_step, b + at[2], b_step, [&](auto first, auto second) {
            sweep(n, f, y + at[0], first, second);
        });
    });
}

// y = f(a, b, c) over a nest (y, a, b, c) in which y is dense.
template <class F>
inline void map(const Executor& executor, Nest<4> nest, F f, float* y, const float* a, const float* b, const float* c) {
    simplify(nest);
    const int last = nest.dims - 1;
    const int64_t a_step = nest.stride[1][last], b_step = nest.stride[2][last], c_step = nest.stride[3][last];
    const bool dense = a_step == 1 && b_step == 1 && c_step == 1;
    for_pieces(executor, nest, kGrain, [&](const int64_t (&at)[4], int64_t n) {
        const float *pa = a + at[1], *pb = b + at[2], *pc = c + at[3];
        if (dense) sweep(n, f, y + at[0], Contiguous{pa}, Contiguous{pb}, Contiguous{pc});
        else sweep(n, f, y + at[0], AnyStep{pa, a_step}, AnyStep{pb, b_step}, AnyStep{pc, c_step});
    });
}

}}  // namespace nd::ND_ISA
