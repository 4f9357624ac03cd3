// Pointwise maps, strided copies and reductions, as tables of plain functions; one row per op in the lists below.
#pragma once
#include "select.h"

namespace nd {

// X(name in Python, functor of nd/scalar.h)
#define ND_UNARY_OPS(X)                                                                                      \
    X(neg, Neg) X(exp, Exp) X(log, Log) X(tanh, Tanh) X(sigmoid, Sigmoid) X(erf, Erf) X(relu, Relu)          \
    X(abs, Abs) X(sign, Sign) X(sqrt, Sqrt) X(softplus, Softplus) X(silu, Silu) X(gelu, Gelu) X(gelu_tanh, GeluTanh)
#define ND_SCALAR_OPS(X)                                                                                     \
    X(add, AddScalar) X(sub, SubScalar) X(mul, MulScalar) X(div, DivScalar) X(power, PowerScalar)            \
    X(maximum, MaxScalar) X(minimum, MinScalar) X(eq, EqScalar) X(ge, GeScalar) X(leaky_relu, LeakyRelu)
#define ND_RANGE_OPS(X) X(clip, Clip)
#define ND_BINARY_OPS(X)                                                                                     \
    X(add, Add) X(sub, Sub) X(mul, Mul) X(div, Div) X(maximum, Max) X(minimum, Min) X(power, Pow)            \
    X(eq, Eq) X(ne, Ne) X(lt, Lt) X(le, Le) X(gt, Gt) X(ge, Ge) X(larger_share, LargerShare)                 \
    X(squared_difference, SquaredDifference)                                                                 \
    X(relu_gradient, ReluGradient) X(tanh_gradient, TanhGradient) X(sigmoid_gradient, SigmoidGradient)       \
    X(softplus_gradient, SoftplusGradient) X(silu_gradient, SiluGradient)                                    \
    X(gelu_gradient, GeluGradient) X(gelu_tanh_gradient, GeluTanhGradient)
#define ND_BINARY_RANGE_OPS(X) X(leaky_relu_gradient, LeakyReluGradient) X(clip_gradient, ClipGradient)
#define ND_TERNARY_OPS(X) X(where, Where) X(squared_difference_gradient, SquaredDifferenceGradient)

#define ND_COUNT(name, functor) +1
constexpr int kUnaryOps = 0 ND_UNARY_OPS(ND_COUNT);
constexpr int kScalarOps = 0 ND_SCALAR_OPS(ND_COUNT);
constexpr int kRangeOps = 0 ND_RANGE_OPS(ND_COUNT);
constexpr int kBinaryOps = 0 ND_BINARY_OPS(ND_COUNT);
constexpr int kBinaryRangeOps = 0 ND_BINARY_RANGE_OPS(ND_COUNT);
constexpr int kTernaryOps = 0 ND_TERNARY_OPS(ND_COUNT);
#undef ND_COUNT

// A loop nest: sizes, and strides in elements for each operand, the one that is written first.
struct Loops {
    int dims;
    const int64_t* size;
    const int64_t* stride[4];
};

// The numbers that an op takes beside its operands, as many of them as it has.
struct Numbers {
    float first = 0, second = 0;
};

// One op: over n elements in a row, and over a loop nest.
struct Map1 {
    void (*flat)(const Executor&, int64_t n, Numbers s, float* y, const float* x);
    void (*strided)(const Executor&, const Loops&, Numbers s, float* y, const float* x);
};
struct Map2 {
    void (*flat)(const Executor&, int64_t n, Numbers s, float* y, const float* a, const float* b);
    void (*strided)(const Executor&, const Loops&, Numbers s, float* y, const float* a, const float* b);
};
struct Map3 {
    void (*flat)(const Executor&, int64_t n, float* y, const float* a, const float* b, const float* c);
    void (*strided)(const Executor&, const Loops&, float* y, const float* a, const float* b, const float* c);
};
struct Reduction {
    int64_t (*scratch)(int64_t outer, int64_t k, int64_t inner);
    void (*run)(const Executor&, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch);
};

struct PointwiseTable {
    Map1 unary[kUnaryOps], scalar[kScalarOps], range[kRangeOps];
    Map2 binary[kBinaryOps], binary_range[kBinaryRangeOps];
    Map3 ternary[kTernaryOps];
    Reduction sum, max, min;
    void (*copy)(const Executor&, const Loops&, float* y, const float* x);
};

}  // namespace nd
ND_FAMILY(PointwiseTable, pointwise)
