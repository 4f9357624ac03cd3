// Slices and elements by number along an axis, as a table of plain functions.
#pragma once
#include "select.h"

namespace nd {

struct GatherTable {
    using Kernel = void (*)(const Executor&, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* from,
                            const float* ids, float* to);
    int64_t (*first_bad_place)(int64_t count, const float* ids, int64_t n);
    Kernel take, take_gradient, gather, gather_gradient;
};

}  // namespace nd
ND_FAMILY(GatherTable, gather_kernels)
