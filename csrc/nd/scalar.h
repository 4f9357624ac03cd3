// Scalar arithmetic, once for the extension and for generated programs: functors that work on a float, on a Vec of floats
// and, where that makes sense, on an int64_t (elements.h), and the list of them that the extension compiles. nd::map (map.h) applies one to whole arrays: map(on, n, Relu{},
// y, x). A function whose gradient is one kernel says beside its value what its operand gets of the adjoint g: `gradient(g,
// x)` of the operand x, or of the result y where the op says `of_result`. The functor of the op `leaky_relu` is LeakyRelu.
#pragma once
#include "double.h"

namespace nd { namespace ND_ISA {

ND_FN double select(bool mask, double a, double b) { return mask ? a : b; }
ND_FN int64_t select(bool mask, int64_t a, int64_t b) { return mask ? a : b; }
ND_FN uint64_t select(bool mask, uint64_t a, uint64_t b) { return mask ? a : b; }
ND_FN int64_t wrapped(uint64_t x) { return static_cast<int64_t>(x); }

template <> ND_FN double constant<double>(float x) { return x; }
template <> ND_FN int64_t constant<int64_t>(float x) { return static_cast<int64_t>(x); }
template <> ND_FN uint64_t constant<uint64_t>(float x) { return static_cast<uint64_t>(x); }
template <class T> ND_FN T larger(T a, T b) { return select(a > b, a, b); }
template <class T> ND_FN T smaller(T a, T b) { return select(a < b, a, b); }
template <class T> ND_FN T truth(decltype(T() == T()) mask) { return select(mask, constant<T>(1), constant<T>(0)); }

// Two operands. Integers wrap around.
struct Add {
    template <class T> ND_FN T operator()(T x, T y) const { return x + y; }
    ND_FN int64_t operator()(int64_t x, int64_t y) const { return wrapped(uint64_t(x) + uint64_t(y)); }
};
struct Subtract {
    template <class T> ND_FN T operator()(T x, T y) const { return x - y; }
    ND_FN int64_t operator()(int64_t x, int64_t y) const { return wrapped(uint64_t(x) - uint64_t(y)); }
};
struct Multiply {
    template <class T> ND_FN T operator()(T x, T y) const { return x * y; }
    ND_FN int64_t operator()(int64_t x, int64_t y) const { return wrapped(uint64_t(x) * uint64_t(y)); }
};
struct Divide { template <class T> ND_FN T operator()(T x, T y) const { return x / y; } };
struct Power { template <class T> ND_FN T operator()(T x, T y) const { return pow(x, y); } };
// NaN in either operand gives NaN, as numpy's maximum.
struct Maximum { template <class T> ND_FN T operator()(T x, T y) const { return select(x == x, larger(x, y), x); } };
struct Minimum { template <class T> ND_FN T operator()(T x, T y) const { return select(x == x, smaller(x, y), x); } };
struct Equal { template <class T> ND_FN T operator()(T x, T y) const { return truth<T>(x == y); } };
struct NotEqual { template <class T> ND_FN T operator()(T x, T y) const { return select(x == y, constant<T>(0), constant<T>(1)); } };
struct Less { template <class T> ND_FN T operator()(T x, T y) const { return truth<T>(x < y); } };
struct LessEqual { template <class T> ND_FN T operator()(T x, T y) const { return truth<T>(x <= y); } };
struct Greater { template <class T> ND_FN T operator()(T x, T y) const { return truth<T>(x > y); } };
struct GreaterEqual { template <class T> ND_FN T operator()(T x, T y) const { return truth<T>(x >= y); } };
struct LogicalAnd {
    template <class T> ND_FN T operator()(T x, T y) const { return NotEqual{}(x, constant<T>(0)) * NotEqual{}(y, constant<T>(0)); }
};
struct LogicalOr {
    template <class T> ND_FN T operator()(T x, T y) const {
        return Maximum{}(NotEqual{}(x, constant<T>(0)), NotEqual{}(y, constant<T>(0)));
    }
};
// The part of an adjoint that the larger operand gets: half of it each where they are equal.
struct LargerShare {
    template <class T> ND_FN T operator()(T x, T y) const { return GreaterEqual{}(x, y) - constant<T>(0.5f) * Equal{}(x, y); }
};
struct SquaredDifference { template <class T> ND_FN T operator()(T x, T y) const { return (x - y) * (x - y); } };

// One operand.
struct Copy { template <class T> ND_FN T operator()(T x) const { return x; } };
struct Negate {
    template <class T> ND_FN T operator()(T x) const { return -x; }
    ND_FN int64_t operator()(int64_t x) const { return wrapped(-uint64_t(x)); }
};
struct Exp { template <class T> ND_FN T operator()(T x) const { return exp(x); } };
struct Log { template <class T> ND_FN T operator()(T x) const { return log(x); } };
struct Sqrt { template <class T> ND_FN T operator()(T x) const { return square_root(x); } };
struct Erf { template <class T> ND_FN T operator()(T x) const { return erf(x); } };
struct Absolute { template <class T> ND_FN T operator()(T x) const { return magnitude(x); } };
struct Sign {
    template <class T> ND_FN T operator()(T x) const {
        return select(x == x, Greater{}(x, constant<T>(0)) - Less{}(x, constant<T>(0)), x);
    }
};
struct LogicalNot { template <class T> ND_FN T operator()(T x) const { return truth<T>(x == constant<T>(0)); } };
struct Relu {
    template <class T> ND_FN T operator()(T x) const { return select(x <= constant<T>(0), constant<T>(0), x); }
    template <class T> ND_FN T gradient(T g, T x) const { return select(x > constant<T>(0), g, constant<T>(0)); }
};
struct Tanh {
    template <class T> ND_FN T operator()(T x) const { return tanh(x); }
    template <class T> ND_FN T gradient(T g, T y) const { return g * fma(-y, y, constant<T>(1)); }
};
struct Sigmoid {
    template <class T> ND_FN T operator()(T x) const { return sigmoid(x); }
    template <class T> ND_FN T gradient(T g, T y) const { return g * (y * (constant<T>(1) - y)); }
};
struct Softplus {
    template <class T> ND_FN T operator()(T x) const { return log1p_exp(x); }
    template <class T> ND_FN T gradient(T g, T x) const { return g * sigmoid(x); }
};
struct Silu {
    template <class T> ND_FN T operator()(T x) const { return x * sigmoid(x); }
    template <class T> ND_FN T gradient(T g, T x) const {
        const T s = sigmoid(x);
        return g * (s * fma(x, constant<T>(1) - s, constant<T>(1)));
    }
};
struct Gelu {
    template <class T> ND_FN T operator()(T x) const { return x * normal_cdf(x, bell(x)); }
    template <class T> ND_FN T gradient(T g, T x) const {
        const T e = bell(x);
        return g * fma(x, e * constant<T>(0.398942280f), normal_cdf(x, e));
    }
};
// x (1 + tanh u) / 2 = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
struct GeluTanh {
    template <class T> static ND_FN T gate(T x) { return sigmoid(x * fma(x * x, constant<T>(0.0713548163f), constant<T>(1.59576912f))); }
    template <class T> ND_FN T operator()(T x) const { return x * gate(x); }
    template <class T> ND_FN T gradient(T g, T x) const {
        const T s = gate(x), slope = fma(x * x, constant<T>(0.214064449f), constant<T>(1.59576912f));
        return g * fma(x * slope, s * (constant<T>(1) - s), s);
    }
};

// One operand and numbers that stay the same.
struct AddScalar { float s; template <class T> ND_FN T operator()(T x) const { return x + constant<T>(s); } };
struct SubtractScalar { float s; template <class T> ND_FN T operator()(T x) const { return x - constant<T>(s); } };
struct MulScalar { float s; template <class T> ND_FN T operator()(T x) const { return x * constant<T>(s); } };
struct DivideScalar { float s; template <class T> ND_FN T operator()(T x) const { return x / constant<T>(s); } };
struct PowerScalar {
    float s;
    template <class T> ND_FN T operator()(T x) const {
        if (s == 2) return x * x;
        if (s == -1) return constant<T>(1) / x;
        return pow(x, constant<T>(s));
    }
};
struct MaximumScalar { float s; template <class T> ND_FN T operator()(T x) const { return Maximum{}(x, constant<T>(s)); } };
struct EqualScalar { float s; template <class T> ND_FN T operator()(T x) const { return Equal{}(x, constant<T>(s)); } };
struct GreaterEqualScalar { float s; template <class T> ND_FN T operator()(T x) const { return GreaterEqual{}(x, constant<T>(s)); } };
struct LeakyRelu {
    float slope;
    template <class T> ND_FN T operator()(T x) const { return select(x > constant<T>(0), x, x * constant<T>(slope)); }
    template <class T> ND_FN T gradient(T g, T x) const { return select(x > constant<T>(0), g, g * constant<T>(slope)); }
};
struct Clip {
    float low, high;
    template <class T> ND_FN T operator()(T x) const { return Minimum{}(Maximum{}(x, constant<T>(low)), constant<T>(high)); }
    template <class T> ND_FN T gradient(T g, T x) const { return select(Clip{low, high}(x) == x, g, constant<T>(0)); }
};

// Three operands: the first says, by being 0 or not, which of the others.
struct Where { template <class T> ND_FN T operator()(T m, T x, T y) const { return select(m == constant<T>(0), y, x); } };
// What a gets of the adjoint g of (a - b)^2.
struct SquaredDifferenceGradient { template <class T> ND_FN T operator()(T g, T x, T y) const { return g * constant<T>(2) * (x - y); } };

// The gradient of a functor, as one of two operands.
template <class F>
struct Gradient : F {
    template <class T> ND_FN T operator()(T g, T x) const { return F::gradient(g, x); }
};

// Every pointwise kernel: X(name, functor, operands, numbers). A name is the functor's in small letters.
#define ND_WITH_GRADIENT(X, name, F, numbers) X(name, F, 1, numbers) X(name##_gradient, Gradient<F>, 2, numbers)
#define ND_POINTWISE(X)                                                                                                    \
    X(negate, Negate, 1, 0) X(exp, Exp, 1, 0) X(log, Log, 1, 0) X(sqrt, Sqrt, 1, 0) X(erf, Erf, 1, 0)                      \
    X(absolute, Absolute, 1, 0) X(sign, Sign, 1, 0) X(logical_not, LogicalNot, 1, 0)                                       \
    ND_WITH_GRADIENT(X, relu, Relu, 0) ND_WITH_GRADIENT(X, tanh, Tanh, 0) ND_WITH_GRADIENT(X, sigmoid, Sigmoid, 0)         \
    ND_WITH_GRADIENT(X, softplus, Softplus, 0) ND_WITH_GRADIENT(X, silu, Silu, 0) ND_WITH_GRADIENT(X, gelu, Gelu, 0)       \
    ND_WITH_GRADIENT(X, gelu_tanh, GeluTanh, 0) ND_WITH_GRADIENT(X, leaky_relu, LeakyRelu, 1)                              \
    ND_WITH_GRADIENT(X, clip, Clip, 2)                                                                                     \
    X(add_scalar, AddScalar, 1, 1) X(subtract_scalar, SubtractScalar, 1, 1) X(mul_scalar, MulScalar, 1, 1)                 \
    X(divide_scalar, DivideScalar, 1, 1) X(power_scalar, PowerScalar, 1, 1) X(maximum_scalar, MaximumScalar, 1, 1)         \
    X(equal_scalar, EqualScalar, 1, 1) X(greater_equal_scalar, GreaterEqualScalar, 1, 1)                                   \
    X(add, Add, 2, 0) X(subtract, Subtract, 2, 0) X(multiply, Multiply, 2, 0) X(divide, Divide, 2, 0)                      \
    X(power, Power, 2, 0) X(maximum, Maximum, 2, 0) X(minimum, Minimum, 2, 0) X(equal, Equal, 2, 0)                        \
    X(not_equal, NotEqual, 2, 0) X(less, Less, 2, 0) X(less_equal, LessEqual, 2, 0) X(greater, Greater, 2, 0)              \
    X(greater_equal, GreaterEqual, 2, 0) X(logical_and, LogicalAnd, 2, 0) X(logical_or, LogicalOr, 2, 0)                   \
    X(larger_share, LargerShare, 2, 0) X(squared_difference, SquaredDifference, 2, 0)                                      \
    X(where, Where, 3, 0) X(squared_difference_gradient, SquaredDifferenceGradient, 3, 0)

}}  // namespace nd::ND_ISA
