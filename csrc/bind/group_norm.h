// Group and root-mean-square normalisation as a table of plain functions.
#pragma once
#include "../nd/arguments.h"
#include "select.h"

namespace nd {

struct GroupNormTable {
    int64_t (*scratch)(const GroupShape&);
    void (*group_norm)(const Executor&, const GroupShape&, const float* x, const float* weight, const float* bias, float eps,
                       float* y, float* mean, float* rstd, float* scratch);
    void (*group_norm_gradient)(const Executor&, const GroupShape&, const float* g, const float* x, const float* weight,
                                const float* mean, const float* rstd, float* dx, float* dweight, float* dbias, float* scratch);
    void (*rms_norm)(const Executor&, int64_t rows, int64_t cols, const float* x, const float* weight, float eps, float* y,
                     float* rstd);
    int64_t (*rms_scratch)(int64_t rows, int64_t cols);
    void (*rms_norm_gradient)(const Executor&, int64_t rows, int64_t cols, const float* g, const float* x, const float* weight,
                              const float* rstd, float* dx, float* dweight, float* scratch);
};

}  // namespace nd
ND_FAMILY(GroupNormTable, group_norm_kernels)
