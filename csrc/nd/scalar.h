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
struct SquaredDifference { template <class T> ND_FN T operator()(T x, T y) const { return (x - y) * (x - y); } };
struct Div { template <class T> ND_FN T operator()(T x, T y) const { return x / y; } };
// NaN in either operand gives NaN, as numpy's maximum.
struct Max { template <class T> ND_FN T operator()(T x, T y) const { return select(x > y, x, select(x == x, y, x)); } };
struct Min { template <class T> ND_FN T operator()(T x, T y) const { return select(x < y, x, select(x == x, y, x)); } };
struct Eq { template <class T> ND_FN T operator()(T x, T y) const { return select(x == y, constant<T>(1), constant<T>(0)); } };
struct Ge { template <class T> ND_FN T operator()(T x, T y) const { return select(x >= y, constant<T>(1), constant<T>(0)); } };
struct Ne { template <class T> ND_FN T operator()(T x, T y) const { return select(x == y, constant<T>(0), constant<T>(1)); } };
struct Gt { template <class T> ND_FN T operator()(T x, T y) const { return select(x > y, constant<T>(1), constant<T>(0)); } };
struct Le { template <class T> ND_FN T operator()(T x, T y) const { return select(x <= y, constant<T>(1), constant<T>(0)); } };
struct Lt { template <class T> ND_FN T operator()(T x, T y) const { return select(x < y, constant<T>(1), constant<T>(0)); } };
// The part of an adjoint that the larger operand gets: half of it each where they are equal.
struct LargerShare { template <class T> ND_FN T operator()(T x, T y) const { return Ge{}(x, y) - constant<T>(0.5f) * Eq{}(x, y); } };
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
struct Abs { template <class T> ND_FN T operator()(T x) const { return magnitude(x); } };
struct Sign { template <class T> ND_FN T operator()(T x) const { return select(x == x, Gt{}(x, constant<T>(0)) - Lt{}(x, constant<T>(0)), x); } };
struct Sqrt { template <class T> ND_FN T operator()(T x) const { return square_root(x); } };
struct Softplus { template <class T> ND_FN T operator()(T x) const { return softplus(x); } };
struct Silu { template <class T> ND_FN T operator()(T x) const { return x * sigmoid(x); } };
struct Gelu { template <class T> ND_FN T operator()(T x) const { return x * normal_cdf(x); } };
// x (1 + tanh u) / 2 = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
struct GeluTanh {
    template <class T> static ND_FN T gate(T x) { return sigmoid(x * fma(x * x, constant<T>(0.0713548163f), constant<T>(1.59576912f))); }
    template <class T> ND_FN T operator()(T x) const { return x * gate(x); }
};

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
struct MinScalar { float s; template <class T> ND_FN T operator()(T x) const { return Min{}(x, constant<T>(s)); } };
struct LeakyRelu {
    float slope;
    template <class T> ND_FN T operator()(T x) const { return select(x > constant<T>(0), x, x * constant<T>(slope)); }
};
struct Clip {
    float low, high;
    template <class T> ND_FN T operator()(T x) const { return Min{}(Max{}(x, constant<T>(low)), constant<T>(high)); }
};

// Three operands: the first says, by being 0 or not, which of the others.
struct Where { template <class T> ND_FN T operator()(T m, T x, T y) const { return select(m == constant<T>(0), y, x); } };

// What a gets of the adjoint g of (a - b)^2.
struct SquaredDifferenceGradient { template <class T> ND_FN T operator()(T g, T x, T y) const { return g * constant<T>(2) * (x - y); } };

// Gradients: the incoming one first, then the operand (x) or the result (y) of the function.
struct ReluGradient {
    template <class T> ND_FN T operator()(T g, T x) const { return select(x > constant<T>(0), g, constant<T>(0)); }
};
struct TanhGradient { template <class T> ND_FN T operator()(T g, T y) const { return g * fma(-y, y, constant<T>(1)); } };
struct SigmoidGradient { template <class T> ND_FN T operator()(T g, T y) const { return g * (y * (constant<T>(1) - y)); } };
struct SoftplusGradient { template <class T> ND_FN T operator()(T g, T x) const { return g * sigmoid(x); } };
struct SiluGradient {
    template <class T> ND_FN T operator()(T g, T x) const {
        const T s = sigmoid(x);
        return g * (s * fma(x, constant<T>(1) - s, constant<T>(1)));
    }
};
struct GeluGradient {
    template <class T> ND_FN T operator()(T g, T x) const {
        const T density = exp(x * x * constant<T>(-0.5f)) * constant<T>(0.398942280f);
        return g * fma(x, density, normal_cdf(x));
    }
};
struct GeluTanhGradient {
    template <class T> ND_FN T operator()(T g, T x) const {
        const T s = GeluTanh::gate(x), slope = fma(x * x, constant<T>(0.214064449f), constant<T>(1.59576912f));
        return g * fma(x * slope, s * (constant<T>(1) - s), s);
    }
};
struct LeakyReluGradient {
    float slope;
    template <class T> ND_FN T operator()(T g, T x) const { return select(x > constant<T>(0), g, g * constant<T>(slope)); }
};
struct ClipGradient {
    float low, high;
    template <class T> ND_FN T operator()(T g, T x) const { return select(Clip{low, high}(x) == x, g, constant<T>(0)); }
};

}}  // namespace nd::ND_ISA
