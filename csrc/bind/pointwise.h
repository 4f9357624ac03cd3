// Pointwise maps, strided copies and reductions, as tables of plain functions; one row per op in the lists below.
#pragma once
#include "select.h"

namespace nd {

// X(name in Python, functor of nd/scalar.h)
#define ND_UNARY_OPS(X)                                                                                      \
    X(neg, Neg) X(exp, Exp) X(log, Log) X(tanh, Tanh) X(sigmoid, Sigmoid) X(erf, Erf) X(relu, Relu)
#define ND_SCALAR_OPS(X)                                                                                     \
    X(add, AddScalar) X(sub, SubScalar) X(mul, MulScalar) X(div, DivScalar) X(power, PowerScalar)            \
    X(maximum, MaxScalar) X(eq, EqScalar) X(ge, GeScalar)
#define ND_BINARY_OPS(X)                                                                                     \
    X(add, Add) X(sub, Sub) X(mul, Mul) X(div, Div) X(maximum, Max) X(eq, Eq) X(ge, Ge) X(power, Pow)        \
    X(relu_gradient, ReluGradient) X(tanh_gradient, TanhGradient) X(sigmoid_gradient, SigmoidGradient)

#define ND_COUNT(name, functor) +1
constexpr int kUnaryOps = 0 ND_UNARY_OPS(ND_COUNT);
constexpr int kScalarOps = 0 ND_SCALAR_OPS(ND_COUNT);
constexpr int kBinaryOps = 0 ND_BINARY_OPS(ND_COUNT);
#undef ND_COUNT

// A loop nest: sizes, and strides in elements for each operand, the one that is written first.
struct Loops {
    int dims;
    const int64_t* size;
    const int64_t* stride[3];
};

// One op: over n elements in a row, and over a loop nest. `s` is the number of a scalar op, unused by the others.
struct Map1 {
    void (*flat)(const Executor&, int64_t n, float s, float* y, const float* x);
    void (*strided)(const Executor&, const Loops&, float s, float* y, const float* x);
};
struct Map2 {
    void (*flat)(const Executor&, int64_t n, float* y, const float* a, const float* b);
    void (*strided)(const Executor&, const Loops&, float* y, const float* a, const float* b);
};
struct Reduction {
    int64_t (*scratch)(int64_t outer, int64_t k, int64_t inner);
    void (*run)(const Executor&, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch);
};

struct PointwiseTable {
    Map1 unary[kUnaryOps];
    Map1 scalar[kScalarOps];
    Map2 binary[kBinaryOps];
    Reduction sum, max;
    void (*copy)(const Executor&, const Loops&, float* y, const float* x);
};

}  // namespace nd
ND_FAMILY(PointwiseTable, pointwise)
