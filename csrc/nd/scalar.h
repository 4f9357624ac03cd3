// Scalar arithmetic, once for host, device and generated code: functors that work on a float and on a Vec of floats.
#pragma once
#include "math.h"

namespace nd { namespace ND_ISA {

ND_FN float select(bool mask, float a, float b) { return mask ? a : b; }

template <class T> ND_FN T constant(float x);  // the number x in the shape of T
template <> ND_FN float constant<float>(float x) { return x; }
template <> ND_FN Vec constant<Vec>(float x) { return splat(x); }

// Two operands.
struct Add { template <class T> ND_FN T operator()(T x, T y) const { return x + y; } };
struct Sub { template <class T> ND_FN T operator()(T x, T y) const { return x - y; } };
struct Mul { template <class T> ND_FN T operator()(T x, T y) const { return x * y; } };
struct Div { template <class T> ND_FN T operator()(T x, T y) const { return x / y; } };
// NaN in either operand gives NaN, as numpy's maximum.
struct Max { template <class T> ND_FN T operator()(T x, T y) const { return select(x > y, x, select(x == x, y, x)); } };
struct Eq { template <class T> ND_FN T operator()(T x, T y) const { return select(x == y, constant<T>(1), constant<T>(0)); } };
struct Ge { template <class T> ND_FN T operator()(T x, T y) const { return select(x >= y, constant<T>(1), constant<T>(0)); } };
struct Pow { template <class T> ND_FN T operator()(T x, T y) const { return pow(x, y); } };

// One operand.
struct Copy { template <class T> ND_FN T operator()(T x) const { return x; } };
struct Neg { template <class T> ND_FN T operator()(T x) const { return -x; } };
struct Exp { template <class T> ND_FN T operator()(T x) const { return exp(x); } };
struct Log { template <class T> ND_FN T operator()(T x) const { return log(x); } };
struct Tanh { template <class T> ND_FN T operator()(T x) const { return tanh(x); } };
struct Sigmoid { template <class T> ND_FN T operator()(T x) const { return sigmoid(x); } };
struct Erf { template <class T> ND_FN T operator()(T x) const { return erf(x); } };
struct Relu { template <class T> ND_FN T operator()(T x) const { return select(x <= constant<T>(0), constant<T>(0), x); } };

// One operand and a number that stays the same.
struct AddScalar { float s; template <class T> ND_FN T operator()(T x) const { return x + constant<T>(s); } };
struct SubScalar { float s; template <class T> ND_FN T operator()(T x) const { return x - constant<T>(s); } };
struct MulScalar { float s; template <class T> ND_FN T operator()(T x) const { return x * constant<T>(s); } };
struct DivScalar { float s; template <class T> ND_FN T operator()(T x) const { return x / constant<T>(s); } };
struct PowerScalar {
    float s;
    template <class T> ND_FN T operator()(T x) const {
        if (s == 2) return x * x;
        if (s == -1) return constant<T>(1) / x;
        return pow(x, constant<T>(s));
    }
};
struct MaxScalar { float s; template <class T> ND_FN T operator()(T x) const { return Max{}(x, constant<T>(s)); } };
struct EqScalar { float s; template <class T> ND_FN T operator()(T x) const { return Eq{}(x, constant<T>(s)); } };
struct GeScalar { float s; template <class T> ND_FN T operator()(T x) const { return Ge{}(x, constant<T>(s)); } };

// Gradients: the incoming one first, then the operand (x) or the result (y) of the function.
struct ReluGradient {
    template <class T> ND_FN T operator()(T g, T x) const { return select(x > constant<T>(0), g, constant<T>(0)); }
};
struct TanhGradient { template <class T> ND_FN T operator()(T g, T y) const { return g * fma(-y, y, constant<T>(1)); } };
struct SigmoidGradient { template <class T> ND_FN T operator()(T g, T y) const { return g * (y * (constant<T>(1) - y)); } };

}}  // namespace nd::ND_ISA
