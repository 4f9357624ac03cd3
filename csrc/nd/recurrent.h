// What recurrent networks over whole sequences share. Rows of the batch never meet, so each thread takes a share of them
// through all the steps without waiting for anybody.
#pragma once
#include "arguments.h"
#include "math.h"
#include "product.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// Calls f(first, end) for shares of the batch, one per thread.
template <class F>
ND_INLINE void parallel_batch(const Executor& executor, int64_t batch, F&& f) {
    const int64_t step = max<int64_t>(1, ceil_div(batch, executor.threads));
    parallel(executor, ceil_div(batch, step), [&](int64_t task) { f(task * step, min(batch, (task + 1) * step)); });
}

// Row `first` of the batch at step t - 1, where h0 (B, H) comes before out (T, B, H).
ND_INLINE const float* state_before(int64_t t, int64_t first, int64_t batch, int64_t hidden, const float* out, const float* h0) {
    return t > 0 ? out + ((t - 1) * batch + first) * hidden : h0 + first * hidden;
}

}}  // namespace nd::ND_ISA
