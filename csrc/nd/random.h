// Random numbers of programs: each a function of a key, a counter and its place, so that neither threads nor the order of
// calls matter.
#pragma once
#include "keyed.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// y[i] = number i, in [0, 1) with 24 bits, of the stream that starts from (key, *counter).
template <class Count, class Key>
void random(const Executor& executor, Count count, Key key, const int64_t* counter, float* y) {
    const uint64_t state = keyed_by(uint64_t(int64_t(key)), uint64_t(*counter));
    parallel_ranges(executor, count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) y[i] = keyed_float(state, i);
    });
}

}}  // namespace nd::ND_ISA
