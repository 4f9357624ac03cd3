// Optimizer steps over flat parameters: one pass over memory each.
#pragma once
#include "arguments.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// Calls f(j, count) for the vectors of [0, count), many to a task.
template <class F>
ND_INLINE void parallel_vectors(const Executor& executor, int64_t count, F&& f) {
    constexpr int64_t step = 2 * kTaskElements;
    parallel(executor, ceil_div(count, step), [&](int64_t task) {
        const int64_t first = task * step;
        each_vector(min(step, count - first), [&](int64_t j, auto n) { f(first + j, n); });
    });
}

// u = keep u + take (g + decay p); out = p - lr u. Without a velocity u is g + decay p.
inline void sgd_step(const Executor& executor, const Update& of, const SgdStep& step) {
    const Vec rate = splat(-step.lr), keep = splat(step.keep), take = splat(step.take), decay = splat(step.decay);
    float* velocity = of.first;
    parallel_vectors(executor, of.count, [&](int64_t j, auto n) {
        const Vec p = load_some(of.param + j, n);
        Vec u = fma(decay, p, load_some(of.grad + j, n));
        if (velocity != nullptr) {
            u = fma(keep, load_some(velocity + j, n), take * u);
            store_some(velocity + j, u, n);
        }
        store_some(of.out + j, fma(rate, u, p), n);
    });
}

// d = g + decay p; u = momentum u + d; out = p - lr u, or p - lr (d + momentum u) for Nesterov's.
inline void momentum_step(const Executor& executor, const Update& of, const MomentumStep& step) {
    const Vec rate = splat(-step.lr), m = splat(step.momentum), decay = splat(step.decay);
    float* velocity = of.first;
    parallel_vectors(executor, of.count, [&](int64_t j, auto n) {
        const Vec p = load_some(of.param + j, n);
        const Vec d = fma(decay, p, load_some(of.grad + j, n));
        const Vec u = fma(m, load_some(velocity + j, n), d);
        store_some(velocity + j, u, n);
        store_some(of.out + j, fma(rate, step.nesterov ? fma(m, u, d) : u, p), n);
    });
}

// m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; out = p - rate m / (sqrt(v correction) + eps).
inline void adam_step(const Executor& executor, const Update& of, const AdamStep& step) {
    const Vec b1 = splat(step.beta1), c1 = splat(step.take1), b2 = splat(step.beta2), c2 = splat(step.take2);
    const Vec eps = splat(step.eps), wd = splat(step.decay), shrink = splat(step.shrink);
    const Vec rate = splat(step.rate), correction = splat(step.correction);
    float *m = of.first, *v = of.second;
    parallel_vectors(executor, of.count, [&](int64_t j, auto n) {
        const Vec p = load_some(of.param + j, n) * shrink;
        const Vec g = fma(wd, p, load_some(of.grad + j, n));
        const Vec first = fma(b1, load_some(m + j, n), c1 * g);
        const Vec second = fma(b2, load_some(v + j, n), c2 * (g * g));
        store_some(m + j, first, n);
        store_some(v + j, second, n);
        store_some(of.out + j, p - rate * first / (square_root(second * correction) + eps), n);
    });
}

// How many floats of scratch `squared_norm` needs.
inline int64_t squared_norm_scratch(int64_t count) { return ceil_div(count, kTaskElements); }

// The sum of x^2: blocks of one length in floats, their sums in doubles, in order.
inline double squared_norm(const Executor& executor, int64_t count, const float* x, float* scratch) {
    const int64_t blocks = squared_norm_scratch(count);
    parallel(executor, blocks, [&](int64_t block) {
        const float* from = x + block * kTaskElements;
        scratch[block] = sum_of(min(kTaskElements, count - block * kTaskElements), [&](int64_t j, auto n) {
            const Vec v = load_some(from + j, n);
            return v * v;
        });
    });
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += scratch[block];
    return sum;
}

}}  // namespace nd::ND_ISA
