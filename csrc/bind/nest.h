// The kernels' loop nest, from the plain one in which callers say it.
#pragma once
#include "../nd/strided.h"
#include "pointwise.h"

namespace nd { namespace ND_ISA {

template <int K>
Nest<K> nest_of(const Loops& loops) {
    Nest<K> nest;
    for (int d = 0; d < loops.dims; ++d) {
        int64_t steps[K];
        for (int k = 0; k < K; ++k) steps[k] = loops.stride[k][d];
        nest.push(loops.size[d], steps);
    }
    return nest;
}

}}  // namespace nd::ND_ISA
