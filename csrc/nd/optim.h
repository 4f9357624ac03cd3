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
inline void sgd_step(const Executor& executor, int64_t count, const float* param, float* out, const float* grad,
                     float* velocity, float lr, float keep, float take, float decay) {
    parallel_vectors(executor, count, [&](int64_t j, auto n) {
        const Vec p = load_some(param + j, n);
        Vec u = fma(splat(decay), p, load_some(grad + j, n));
        if (velocity != nullptr) {
            u = fma(splat(keep), load_some(velocity + j, n), splat(take) * u);
            store_some(velocity + j, u, n);
        }
        store_some(out + j, fma(splat(-lr), u, p), n);
    });
}

// m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; out = p - rate m / (sqrt(v correction) + eps).
inline void adam_step(const Executor& executor, int64_t count, const float* param, float* out, const float* grad, float* m,
                      float* v, const AdamStep& step) {
    const Vec b1 = splat(step.beta1), c1 = splat(step.take1), b2 = splat(step.beta2), c2 = splat(step.take2);
    const Vec eps = splat(step.eps), wd = splat(step.decay), shrink = splat(step.shrink);
    const Vec rate = splat(step.rate), correction = splat(step.correction);
    parallel_vectors(executor, count, [&](int64_t j, auto n) {
        const Vec p = load_some(param + j, n) * shrink;
        const Vec g = fma(wd, p, load_some(grad + j, n));
        const Vec first = fma(b1, load_some(m + j, n), c1 * g);
        const Vec second = fma(b2, load_some(v + j, n), c2 * (g * g));
        store_some(m + j, first, n);
        store_some(v + j, second, n);
        store_some(out + j, p - rate * first / (square_root(second * correction) + eps), n);
    });
}

}}  // namespace nd::ND_ISA
