// Pointwise maps, strided copies and reductions, as tables of plain functions; the maps are those listed in nd/scalar.h.
#pragma once
#include "../nd/scalar.h"
#include "select.h"

namespace nd {

#define ND_NAME(name, functor, operands, numbers) name,
enum class Op { ND_POINTWISE(ND_NAME) count };
#undef ND_NAME
constexpr int kOps = static_cast<int>(Op::count);

// A loop nest: sizes, and strides in elements for each operand, the one that is written first.
struct Loops {
    int dims;
    const int64_t* size;
    const int64_t* stride[4];
};

// One op, with the numbers that it takes beside its operands: over n elements in a row, and over a loop nest.
struct PointwiseKernel {
    void (*flat)(const Executor&, int64_t n, const float* numbers, float* y, const float* const* x);
    void (*strided)(const Executor&, const Loops&, const float* numbers, float* y, const float* const* x);
};
struct Reduction {
    int64_t (*scratch)(int64_t outer, int64_t k, int64_t inner);
    void (*run)(const Executor&, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch);
};

struct PointwiseTable {
    PointwiseKernel maps[kOps];
    Reduction sum, max, min;
    void (*copy)(const Executor&, const Loops&, float* y, const float* x);
    void (*fill)(const Executor&, const Loops&, float value, float* y);
};

}  // namespace nd
ND_FAMILY(PointwiseTable, pointwise)
