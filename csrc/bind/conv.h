// Convolution and its two gradients, as a table of plain functions.
#pragma once
#include "../nd/arguments.h"
#include "select.h"

namespace nd {

struct ConvTable {
    int64_t (*scratch)(const ConvSizes&, int threads);
    void (*run)(const Executor&, const ConvSizes&, const Map& x, const float* w, float* y, float* scratch);
    // As programs of the compiler call it: weights packed beforehand, an epilogue, bits that do not depend on the batch.
    void (*direct)(const Executor&, const ConvSizes&, const Map& x, const float* packed, float* y, float* scratch,
                   const Steps& steps);
    void (*linear)(const Executor&, int64_t rows, int64_t in, int64_t out, const float* x, const float* packed, float* y,
                   const Steps& steps);
    // The same by Winograd's filtering: `outputs` is 2 or 4 for each axis of a tile, `round` tiles lie at their points at a time.
    void (*winograd)(const Executor&, const ConvSizes&, int64_t outputs, int64_t round, const Map& x, const float* packed, float* y,
                     float* scratch, const Steps& steps);
    void (*winograd_transposed)(const Executor&, const ConvSizes&, int64_t outputs, int64_t round, const Map& g, const float* packed,
                                float* dx, float* scratch, const Steps& steps);
    int64_t (*input_gradient_scratch)(const ConvSizes&, int threads);
    void (*input_gradient)(const Executor&, const ConvSizes&, const Map& g, const float* w, float* dx, float* scratch);
    void (*direct_input_gradient)(const Executor&, const ConvSizes&, const Map& g, const float* w, float* dx, float* scratch);
    void (*transposed)(const Executor&, const ConvSizes&, const Map& g, const float* packed, float* dx, float* scratch,
                       const Steps& steps);
    void (*add_windows)(const Executor&, const ConvSizes&, const float* windows, float* dx);
    int64_t (*weight_gradient_scratch)(const ConvSizes&, int threads);
    void (*weight_gradient)(const Executor&, const ConvSizes&, const Map& x, const Map& g, float* dw, float* scratch);
};

// The same in groups of channels: `in` and `out` count those of all groups.
struct GroupedConvTable {
    int64_t (*scratch)(const ConvSizes&, int64_t groups, int threads);
    void (*run)(const Executor&, const ConvSizes&, int64_t groups, const Map& x, const float* w, float* y, float* scratch);
    void (*finished)(const Executor&, const ConvSizes&, int64_t groups, const Map& x, const float* w, float* y, float* scratch,
                     const Steps& steps);
    int64_t (*input_gradient_scratch)(const ConvSizes&, int64_t groups, int threads);
    void (*input_gradient)(const Executor&, const ConvSizes&, int64_t groups, const Map& g, const float* w, float* dx,
                           float* scratch);
    int64_t (*weight_gradient_scratch)(const ConvSizes&, int64_t groups, int threads);
    void (*weight_gradient)(const Executor&, const ConvSizes&, int64_t groups, const Map& x, const Map& g, float* dw,
                            float* scratch);
};

}  // namespace nd
ND_FAMILY(ConvTable, conv)
ND_FAMILY(GroupedConvTable, grouped_conv)
