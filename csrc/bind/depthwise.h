// Depthwise convolution and its two gradients, as a table of plain functions.
#pragma once
#include "../nd/arguments.h"
#include "select.h"

namespace nd {

struct DepthwiseTable {
    int64_t (*scratch)(const DepthwiseShape&);
    void (*run)(const Executor&, const DepthwiseShape&, const Planes& x, const float* w, float* y, float* scratch,
                const Steps& steps);
    void (*input_gradient)(const Executor&, const DepthwiseShape&, const Planes& g, const float* w, float* dx, float* scratch);
    int64_t (*weight_gradient_scratch)(const DepthwiseShape&);
    void (*weight_gradient)(const Executor&, const DepthwiseShape&, const Planes& x, const Planes& g, float* dw, float* scratch);
};

}  // namespace nd
ND_FAMILY(DepthwiseTable, depthwise)
