// Vectorised exp, log, tanh, sigmoid, erf, log1p_exp and pow. Largest error against the exact value in units in the last place, over
// all floats (tests/csrc/test_math.cpp measures it): exp 1.1, log 1, tanh 1.5, sigmoid 2.5, erf 1.5, log1p_exp 3, pow 0.6. Infinities,
// NaN, signed zeros, denormals and overflow come out as in the C library. The same operations in the same order for every
// register width, so the same bits wherever nd::fma is fused. Polynomials are minimax fits on the ranges named.
#pragma once
#include "simd.h"

namespace nd { namespace ND_ISA {

using UVec = uint32_t __attribute__((vector_size(4 * kLanes)));
using HalfVec = float __attribute__((vector_size(2 * kLanes)));
using DVec = double __attribute__((vector_size(4 * kLanes)));
using LVec = int64_t __attribute__((vector_size(4 * kLanes)));
using ULVec = uint64_t __attribute__((vector_size(4 * kLanes)));

ND_INLINE Vec magnitude(Vec x) { return (Vec)((UVec)x & 0x7fffffffu); }
ND_INLINE Vec with_sign(Vec x, Vec sign) { return (Vec)((UVec)x | ((UVec)sign & 0x80000000u)); }  // x >= 0

// c[0] + c[1] x + c[2] x^2 + ...
template <int N>
ND_INLINE Vec polynomial(Vec x, const float (&c)[N]) {
    Vec y = splat(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) y = fma(y, x, splat(c[i]));
    return y;
}

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r).
ND_INLINE Vec exp(Vec x) {
    constexpr float q[] = {0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144672f};
    const Vec limited = select(x > 89.0f, splat(89.0f), select(x < -104.0f, splat(-104.0f), x));  // NaN stays
    const Vec shift = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
    const Vec shifted = fma(limited, splat(1.44269504f), shift);
    const Vec n = shifted - shift;
    const Vec r = fma(n, splat(-1.42860677e-6f), fma(n, splat(-0.693145752f), limited));  // ln 2 in two parts, the first short
    const Vec y = fma(r * r, polynomial(r, q), r) + 1.0f;
    // 2^n in two factors, because n reaches from -150 (denormals, rounded once by the last product) to 128.
    const UVec power = (UVec)shifted - (UVec)shift + 256u, half = power >> 1;
    return y * (Vec)((half - 1u) << 23) * (Vec)((power - half - 1u) << 23);
}

// log x = k ln 2 + log(1 + f) with x = 2^k (1 + f), 2/3 <= 1 + f < 4/3; log(1 + f) = f - f^2 / 2 + f^3 p(f).
ND_INLINE Vec log(Vec x) {
    constexpr float p[] = {0.333333343f, -0.249998197f, 0.19999598f, -0.16679579f, 0.143044561f,
                           -0.121957764f, 0.107542366f, -0.128450662f, 0.120071478f};
    const IVec tiny = x < 1.17549435e-38f;
    const Vec normal = select(tiny, x * 8388608.0f, x);
    const IVec exponent = (IVec)(((UVec)normal - 0x3f2aaaabu) & 0xff800000u);
    const Vec f = (Vec)((UVec)normal - (UVec)exponent) - 1.0f;
    const Vec k = __builtin_convertvector(exponent >> 23, Vec) - select(tiny, splat(23.0f), Vec{});
    const Vec rest = fma(f * f, fma(f, polynomial(f, p), splat(-0.5f)), k * 1.42860677e-6f);
    Vec y = fma(k, splat(0.693145752f), f + rest);
    y = select(x > 3.40282347e38f, x, y);
    y = select(x == 0.0f, splat(-__builtin_inff()), y);
    return select(x >= 0.0f, y, splat(__builtin_nanf("")));
}

// tanh x = x + x^3 p(x^2) below 0.625, 1 - 2 / (e^2x + 1) above.
ND_INLINE Vec tanh(Vec x) {
    constexpr float p[] = {-0.333333313f, 0.133332059f, -0.0539467633f, 0.0217007026f, -0.00817739777f, 0.00214296184f};
    const Vec a = magnitude(x), square = a * a;
    const Vec small = fma(square * a, polynomial(square, p), a);
    const Vec large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
    return with_sign(select(a < 0.625f, small, large), x);
}

// 1 / (1 + e^-x), through e^-|x|, which never overflows.
ND_INLINE Vec sigmoid(Vec x) {
    const Vec e = exp(-magnitude(x));
    return select(x < 0.0f, e, splat(1.0f)) / (1.0f + e);
}

// erf x = x + x p(x^2) below 0.92, 1 - e^-q(x) above.
ND_INLINE Vec erf(Vec x) {
    constexpr float p[] = {0.128379166f, -0.376126349f, 0.112836972f, -0.0268594995f,
                           0.00520128617f, -0.000814559753f, 8.38239066e-5f};
    constexpr float q[] = {-0.000174684188f, 1.12951493f, 0.633346915f, 0.108280085f, -0.0251194239f, 0.00417106133f,
                           -0.000434462185f, 2.10950075e-5f};
    const Vec a = magnitude(x);
    const Vec small = fma(a, polynomial(a * a, p), a);
    const Vec limited = select(a > 4.0f, splat(4.0f), a);
    const Vec large = select(a == a, 1.0f - exp(-polynomial(limited, q)), a);
    return with_sign(select(a < 0.92f, small, large), x);
}

// The share of the standard normal distribution below x.
ND_INLINE Vec normal_cdf(Vec x) { return 0.5f + 0.5f * erf(x * 0.707106781f); }

// log(1 + e^x) = max(x, 0) + log(1 + e), e = e^-|x|. What rounds off 1 + e is made up for by e / ((1 + e) - 1).
ND_INLINE Vec log1p_exp(Vec x) {
    const Vec e = exp(-magnitude(x)), sum = 1.0f + e;
    return select(x > 0.0f, x, Vec{}) + select(sum == 1.0f, e, log(sum) * (e / (sum - 1.0f)));
}

// |x|^y = 2^(y log2 |x|) in double, whose rounding is far below a float's. Integers become doubles, and doubles integers,
// by adding 1.5 * 2^52: most processors have no instruction for it.
ND_INLINE void power_of_magnitude(const HalfVec& x, const HalfVec& y, HalfVec& result) {
    const DVec shift = DVec{} + 6755399441055744.0;
    const LVec a = (LVec)__builtin_convertvector(x, DVec) & 0x7fffffffffffffff;
    // a = 2^k m with sqrt(1/2) <= m < sqrt(2)
    const LVec k = (LVec)(((ULVec)a - 0x3fe6a09e667f3bcdu + (1024ull << 52)) >> 52) - 1024;
    const DVec m = (DVec)(a - (k << 52));
    const DVec s = (m - 1.0) / (m + 1.0), square = s * s;
    DVec series = DVec{} + 1.0 / 17;
    for (int odd = 15; odd >= 1; odd -= 2) series = series * square + 1.0 / odd;
    DVec t = (DVec)((LVec)shift + k) - shift + s * series * 2.885390081777926814;
    t *= __builtin_convertvector(y, DVec);
    t = t > 200.0 ? DVec{} + 200.0 : t;
    t = t < -200.0 ? DVec{} - 200.0 : t;
    const DVec shifted = t + shift, f = (t - (shifted - shift)) * 0.693147180559945309;
    DVec power = DVec{} + 1.0;
    for (int i = 11; i >= 1; --i) power = power * (f * (1.0 / i)) + 1.0;
    result = __builtin_convertvector((DVec)((LVec)power + (((LVec)shifted - (LVec)shift) << 52)), HalfVec);
}

ND_INLINE Vec power_of_magnitude(Vec x, Vec y) {
    HalfVec base[2], exponent[2], power[2];
    std::memcpy(base, &x, sizeof x);
    std::memcpy(exponent, &y, sizeof y);
    for (int half = 0; half < 2; ++half) power_of_magnitude(base[half], exponent[half], power[half]);
    Vec result;
    std::memcpy(&result, power, sizeof result);
    return result;
}

// Towards zero.
ND_INLINE Vec truncate(Vec x) {
    const IVec fits = magnitude(x) < 8388608.0f;  // larger floats are whole
    const Vec whole = __builtin_convertvector(__builtin_convertvector(select(fits, x, Vec{}), IVec), Vec);
    return select(fits, whole, x);
}

// The cases of the C standard around it.
ND_INLINE Vec pow(Vec x, Vec y) {
    const Vec infinity = splat(__builtin_inff()), one = splat(1.0f), a = magnitude(x);
    Vec z = power_of_magnitude(x, y);
    const IVec up = (y > 0.0f) == (a > 1.0f);  // towards infinity where |x| or y is extreme
    z = select((a == 0.0f) | (a == infinity) | (magnitude(y) == infinity), select(up, infinity, Vec{}), z);
    z = select((a == one) & (y == y), one, z);
    const IVec whole = truncate(y) == y, odd = whole & (truncate(y * 0.5f) != y * 0.5f);
    z = select(((IVec)x < 0) & odd, -z, z);
    z = select((x < 0.0f) & ~whole & (a != infinity), splat(__builtin_nanf("")), z);
    z = select((x != x) | (y != y), x + y, z);
    return select((x == one) | (y == 0.0f), one, z);
}

// One float goes through the same code, so it gives the same bits.
ND_INLINE float exp(float x) { return exp(splat(x))[0]; }
ND_INLINE float log(float x) { return log(splat(x))[0]; }
ND_INLINE float tanh(float x) { return tanh(splat(x))[0]; }
ND_INLINE float sigmoid(float x) { return sigmoid(splat(x))[0]; }
ND_INLINE float erf(float x) { return erf(splat(x))[0]; }
ND_INLINE float normal_cdf(float x) { return normal_cdf(splat(x))[0]; }
ND_INLINE float log1p_exp(float x) { return log1p_exp(splat(x))[0]; }
ND_INLINE float square_root(float x) { return square_root(splat(x))[0]; }
ND_INLINE float magnitude(float x) { return magnitude(splat(x))[0]; }
ND_INLINE float pow(float x, float y) { return pow(splat(x), splat(y))[0]; }

}}  // namespace nd::ND_ISA
