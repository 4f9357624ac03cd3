// exp, log, tanh, sigmoid, erf, normal_cdf, log1p_exp and pow of a register of floats or of one. Largest error against the exact
// value in units in the last place, over all floats (tests/csrc/test_math.cpp measures it): exp 1.1, log 1, tanh 1.5, sigmoid 2.5,
// erf 1.5, normal_cdf 7 above -3 and 70 down to -13.19, log1p_exp 3, pow 0.6. Infinities, NaN, signed zeros, denormals and overflow
// come out as in the C library, but for normal_cdf below -13.19, which is 0. The same operations in the same order for every
// register width and for one float, so the same bits wherever nd::fma is fused. Polynomials are minimax fits on the ranges named.
#pragma once
#include "simd.h"

namespace nd { namespace ND_ISA {

#if !defined(__CUDACC__)
using UVec = uint32_t __attribute__((vector_size(4 * kLanes)));
using HalfVec = float __attribute__((vector_size(2 * kLanes)));
using DVec = double __attribute__((vector_size(4 * kLanes)));
using LVec = int64_t __attribute__((vector_size(4 * kLanes)));
using ULVec = uint64_t __attribute__((vector_size(4 * kLanes)));

template <> ND_FN Vec constant<Vec>(float x) { return splat(x); }
ND_INLINE IVec both(IVec a, IVec b) { return a & b; }
ND_INLINE IVec either(IVec a, IVec b) { return a | b; }
ND_INLINE IVec neither(IVec a) { return ~a; }
ND_INLINE Vec number(IVec x) { return __builtin_convertvector(x, Vec); }
ND_INLINE IVec same(IVec a, IVec b) { return a == b; }
ND_INLINE IVec whole_of(Vec x) { return __builtin_convertvector(x, IVec); }
ND_INLINE UVec bits(Vec x) { return (UVec)x; }
ND_INLINE IVec signed_bits(UVec x) { return (IVec)x; }
ND_INLINE ULVec bits(DVec x) { return (ULVec)x; }
ND_INLINE DVec of_bits(ULVec x) { return (DVec)x; }
ND_INLINE Vec of_bits(UVec x) { return (Vec)x; }
#endif  // !__CUDACC__

template <class T> ND_FN T magnitude(T x) { return of_bits(bits(x) & 0x7fffffffu); }
template <class T> ND_FN T with_sign(T x, T sign) { return of_bits(bits(x) | (bits(sign) & 0x80000000u)); }  // x >= 0

// c[0] + c[1] x + c[2] x^2 + ...
template <class T, int N>
ND_FN T polynomial(T x, const float (&c)[N]) {
    T y = constant<T>(c[N - 1]);
    ND_UNROLL
    for (int i = N - 2; i >= 0; --i) y = fma(y, x, constant<T>(c[i]));
    return y;
}

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r). Gives e^r, and in `power` n as an integer.
template <class T, class Power> ND_FN T exp_fraction(T x, Power& power) {
    constexpr float q[] = {0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144672f};
    const T shift = constant<T>(12582912.0f);  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
    const T shifted = fma(x, constant<T>(1.44269504f), shift);
    const T n = shifted - shift;
    const T r = fma(n, constant<T>(-1.42860677e-6f), fma(n, constant<T>(-0.693145752f), x));  // ln 2 in two parts, the first short
    power = bits(shifted) - bits(shift);
    return fma(r * r, polynomial(r, q), r) + 1.0f;
}

template <class T> ND_FN T exp(T x) {
    const T limited = select(x > 89.0f, constant<T>(89.0f), select(x < -104.0f, constant<T>(-104.0f), x));  // NaN stays
    decltype(bits(x)) power;
    const T y = exp_fraction(limited, power);
    // 2^n in two factors, because n reaches from -150 (denormals, rounded once by the last product) to 128.
    power = power + 256u;
    const auto half = power >> 1;
    return y * of_bits((half - 1u) << 23) * of_bits((power - half - 1u) << 23);
}

// e^x for x <= 88, with 0 for what is no normal float: cheaper where such shares do not count.
template <class T> ND_FN T exp_normal(T x) {
    decltype(bits(x)) power;
    const T y = exp_fraction(x, power);
    return select(x < -87.0f, constant<T>(0), y * of_bits((power + 127u) << 23));
}

// log x = k ln 2 + log(1 + f) with x = 2^k (1 + f), 2/3 <= 1 + f < 4/3; log(1 + f) = f - f^2 / 2 + f^3 p(f).
template <class T> ND_FN T log(T x) {
    constexpr float p[] = {0.333333343f, -0.249998197f, 0.19999598f, -0.16679579f, 0.143044561f,
                           -0.121957764f, 0.107542366f, -0.128450662f, 0.120071478f};
    const auto tiny = x < 1.17549435e-38f;
    const T normal = select(tiny, x * 8388608.0f, x);
    const auto exponent = (bits(normal) - 0x3f2aaaabu) & 0xff800000u;
    const T f = of_bits(bits(normal) - exponent) - 1.0f;
    const T k = number(signed_bits(exponent) >> 23) - select(tiny, constant<T>(23.0f), constant<T>(0));
    const T rest = fma(f * f, fma(f, polynomial(f, p), constant<T>(-0.5f)), k * 1.42860677e-6f);
    T y = fma(k, constant<T>(0.693145752f), f + rest);
    y = select(x > 3.40282347e38f, x, y);
    y = select(x == 0.0f, constant<T>(-__builtin_inff()), y);
    return select(x >= 0.0f, y, constant<T>(__builtin_nanf("")));
}

// tanh x = x + x^3 p(x^2) below 0.625, 1 - 2 / (e^2x + 1) above.
template <class T> ND_FN T tanh(T x) {
    constexpr float p[] = {-0.333333313f, 0.133332059f, -0.0539467633f, 0.0217007026f, -0.00817739777f, 0.00214296184f};
    const T a = magnitude(x), square = a * a;
    const T small = fma(square * a, polynomial(square, p), a);
    const T large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
    return with_sign(select(a < 0.625f, small, large), x);
}

// 1 / (1 + e^-x), through e^-|x|, which never overflows.
template <class T> ND_FN T sigmoid(T x) {
    const T e = exp(-magnitude(x));
    return select(x < 0.0f, e, constant<T>(1.0f)) / (1.0f + e);
}

// erf x = x + x p(x^2) below 0.92, 1 - e^-q(x) above.
template <class T> ND_FN T erf(T x) {
    constexpr float p[] = {0.128379166f, -0.376126349f, 0.112836972f, -0.0268594995f,
                           0.00520128617f, -0.000814559753f, 8.38239066e-5f};
    constexpr float q[] = {-0.000174684188f, 1.12951493f, 0.633346915f, 0.108280085f, -0.0251194239f, 0.00417106133f,
                           -0.000434462185f, 2.10950075e-5f};
    const T a = magnitude(x);
    const T small = fma(a, polynomial(a * a, p), a);
    const T limited = select(a > 4.0f, constant<T>(4.0f), a);
    const T large = select(a == a, 1.0f - exp(-polynomial(limited, q)), a);
    return with_sign(select(a < 0.92f, small, large), x);
}

// e^(-x^2 / 2), and 0 where |x| > 13.19.
template <class T> ND_FN T bell(T x) { return exp_normal(x * x * -0.5f); }

// The share of the standard normal distribution below x, of which `e` is the bell: t = e m(-x) below 0, 1 - t above. m is a
// minimax quotient, so that small shares keep their digits; it is Mills' ratio over the root of 2 pi.
template <class T> ND_FN T normal_cdf(T x, T e) {
    constexpr float p[] = {0.5f, 0.435455471f, 0.181136534f, 0.039926976f, 0.00401174137f};
    constexpr float q[] = {1.0f, 1.66879582f, 1.19377542f, 0.463931024f, 0.100089557f, 0.010055799f};
    const T a = magnitude(x), limited = select(a > 13.2f, constant<T>(13.2f), a);
    const T tail = e * (polynomial(limited, p) / polynomial(limited, q));
    return select(x > 0.0f, 1.0f - tail, tail);
}

// log(1 + e^x) = max(x, 0) + log(1 + e), e = e^-|x|. What rounds off 1 + e is made up for by e / ((1 + e) - 1).
template <class T> ND_FN T log1p_exp(T x) {
    const T e = exp(-magnitude(x)), sum = 1.0f + e;
    return select(x > 0.0f, x, constant<T>(0)) + select(sum == 1.0f, e, log(sum) * (e / (sum - 1.0f)));
}

// |x|^y = 2^(y log2 |x|) in double, whose rounding is far below a float's. Integers become doubles, and doubles integers,
// by adding 1.5 * 2^52: most processors have no instruction for it.
template <class D>
ND_FN D power_of_magnitude(D x, D y) {
    constexpr uint64_t kPositive = 0x7fffffffffffffff, kRootOfHalf = 0x3fe6a09e667f3bcd, kBias = 1024;
    const D shift = D{} + 6755399441055744.0;
    const auto a = bits(x) & kPositive;
    // a = 2^k m with sqrt(1/2) <= m < sqrt(2)
    const auto k = ((a - kRootOfHalf + (kBias << 52)) >> 52) - kBias;
    const D m = of_bits(a - (k << 52));
    const D s = (m - 1.0) / (m + 1.0), square = s * s;
    D series = D{} + 1.0 / 17;
    for (int odd = 15; odd >= 1; odd -= 2) series = series * square + 1.0 / odd;
    D t = of_bits(bits(shift) + k) - shift + s * series * 2.885390081777926814;
    t *= y;
    t = t > 200.0 ? D{} + 200.0 : t;
    t = t < -200.0 ? D{} - 200.0 : t;
    const D shifted = t + shift, f = (t - (shifted - shift)) * 0.693147180559945309;
    D power = D{} + 1.0;
    for (int i = 11; i >= 1; --i) power = power * (f * (1.0 / i)) + 1.0;
    return of_bits(bits(power) + ((bits(shifted) - bits(shift)) << 52));
}
ND_FN float power_of_magnitude(float x, float y) {
    return static_cast<float>(power_of_magnitude<double>(static_cast<double>(x), static_cast<double>(y)));
}

#if !defined(__CUDACC__)
ND_INLINE Vec power_of_magnitude(Vec x, Vec y) {
    HalfVec base[2], exponent[2], power[2];
    std::memcpy(base, &x, sizeof x);
    std::memcpy(exponent, &y, sizeof y);
    for (int half = 0; half < 2; ++half) {
        const DVec b = __builtin_convertvector(base[half], DVec), e = __builtin_convertvector(exponent[half], DVec);
        power[half] = __builtin_convertvector(power_of_magnitude<DVec>(b, e), HalfVec);
    }
    Vec result;
    std::memcpy(&result, power, sizeof result);
    return result;
}
#endif

// Towards zero.
template <class T> ND_FN T truncate(T x) {
    const auto fits = magnitude(x) < 8388608.0f;  // larger floats are whole
    return select(fits, number(whole_of(select(fits, x, constant<T>(0)))), x);
}

// The cases of the C standard around it.
template <class T> ND_FN T pow(T x, T y) {
    const T infinity = constant<T>(__builtin_inff()), one = constant<T>(1.0f), a = magnitude(x);
    T z = power_of_magnitude(x, y);
    const auto up = same(y > 0.0f, a > 1.0f);  // towards infinity where |x| or y is extreme
    z = select(either(either(a == 0.0f, a == infinity), magnitude(y) == infinity), select(up, infinity, constant<T>(0)), z);
    z = select(both(a == one, y == y), one, z);
    const auto whole = truncate(y) == y, odd = both(whole, truncate(y * 0.5f) != y * 0.5f);
    z = select(both(signed_bits(bits(x)) < 0, odd), -z, z);
    z = select(both(both(x < 0.0f, a != infinity), neither(whole)), constant<T>(__builtin_nanf("")), z);
    z = select(either(x != x, y != y), x + y, z);
    return select(either(x == one, y == 0.0f), one, z);
}

}}  // namespace nd::ND_ISA
