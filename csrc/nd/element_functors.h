// Functors on one element at a time, beside those of scalar.h, which also work on vectors: whole numbers and their bits,
// rounding, functions of the C library. Of floats these are computed as doubles and rounded once.
#pragma once
#include "scalar.h"

namespace nd { namespace ND_ISA {

// The quotient of whole numbers, towards zero; 0 where y is.
struct Quotient {
    ND_FN int64_t operator()(int64_t x, int64_t y) const { return y == 0 ? 0 : y == -1 ? wrapped(-uint64_t(x)) : x / y; }
    ND_FN uint64_t operator()(uint64_t x, uint64_t y) const { return y == 0 ? 0 : x / y; }
};
// What is left of x by it, with the sign of x.
struct Remainder {
    ND_FN int64_t operator()(int64_t x, int64_t y) const { return y == 0 || y == -1 ? 0 : x % y; }
    ND_FN uint64_t operator()(uint64_t x, uint64_t y) const { return y == 0 ? 0 : x % y; }
    ND_FN float operator()(float x, float y) const { return std::fmod(x, y); }
    ND_FN double operator()(double x, double y) const { return std::fmod(x, y); }
};
// x - y floor(x / y): a remainder with the sign of y.
struct Modulo {
    ND_FN uint64_t operator()(uint64_t x, uint64_t y) const { return Remainder{}(x, y); }
    template <class T> ND_FN T operator()(T x, T y) const {
        const T rest = Remainder{}(x, y);
        if constexpr (!std::is_same_v<T, int64_t>)
            if (rest == 0) return std::copysign(rest, y);
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
    }
};
// x^y of whole numbers, which wraps around; of an exponent below zero the power of x towards zero.
struct WholePower {
    ND_FN uint64_t operator()(uint64_t x, uint64_t y) const {
        uint64_t power = 1;
        for (; y != 0; y >>= 1, x *= x) power *= (y & 1) != 0 ? x : 1;
        return power;
    }
    ND_FN int64_t operator()(int64_t x, int64_t y) const {
        if (y < 0) return x == 1 ? 1 : x == -1 ? ((y & 1) != 0 ? -1 : 1) : 0;
        return wrapped((*this)(uint64_t(x), uint64_t(y)));
    }
};
struct BitAnd { template <class T> ND_FN T operator()(T x, T y) const { return x & y; } };
struct BitOr { template <class T> ND_FN T operator()(T x, T y) const { return x | y; } };
struct BitXor { template <class T> ND_FN T operator()(T x, T y) const { return x ^ y; } };
struct BitNot { template <class T> ND_FN T operator()(T x) const { return ~x; } };
// By more bits than there are, or fewer than none: nothing is left but, to the right, the sign.
struct ShiftLeft {
    template <class T> ND_FN T operator()(T x, T y) const { return uint64_t(y) < 64 ? T(uint64_t(x) << y) : T(0); }
};
struct ShiftRight {
    template <class T> ND_FN T operator()(T x, T y) const { return uint64_t(y) < 64 ? T(x >> y) : x < T(0) ? T(-1) : T(0); }
};
struct Second { template <class T> ND_FN T operator()(T, T y) const { return y; } };

#define ND_OF_LIBRARY(F, name)                                                          \
    struct F {                                                                          \
        ND_FN float operator()(float x) const { return float(std::name(double(x))); }   \
        ND_FN double operator()(double x) const { return std::name(x); }                \
    };
ND_OF_LIBRARY(Sin, sin)
ND_OF_LIBRARY(Cos, cos)
ND_OF_LIBRARY(Tan, tan)
ND_OF_LIBRARY(Asin, asin)
ND_OF_LIBRARY(Acos, acos)
ND_OF_LIBRARY(Atan, atan)
ND_OF_LIBRARY(Sinh, sinh)
ND_OF_LIBRARY(Cosh, cosh)
ND_OF_LIBRARY(Asinh, asinh)
ND_OF_LIBRARY(Acosh, acosh)
ND_OF_LIBRARY(Atanh, atanh)
#undef ND_OF_LIBRARY
struct Floor { template <class T> ND_FN T operator()(T x) const { return std::floor(x); } };
struct Ceil { template <class T> ND_FN T operator()(T x) const { return std::ceil(x); } };
struct Round { template <class T> ND_FN T operator()(T x) const { return std::nearbyint(x); } };

}}  // namespace nd::ND_ISA
