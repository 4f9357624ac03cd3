// What math.h asks of a register of floats (simd.h), of one float: then the same text computes both, with the same bits.
#pragma once
#include "base.h"
#include <cmath>
#include <cstring>

namespace nd { namespace ND_ISA {

template <class T> ND_FN T constant(float x);  // the number x in the shape of T
template <> ND_FN float constant<float>(float x) { return x; }

ND_FN float select(bool mask, float a, float b) { return mask ? a : b; }
ND_FN bool both(bool a, bool b) { return a && b; }
ND_FN bool either(bool a, bool b) { return a || b; }
ND_FN bool neither(bool a) { return !a; }
ND_FN bool same(bool a, bool b) { return a == b; }
ND_FN int32_t whole_of(float x) { return static_cast<int32_t>(x); }
ND_FN int32_t signed_bits(uint32_t x) { return static_cast<int32_t>(x); }
ND_FN float number(int32_t x) { return static_cast<float>(x); }

#if defined(__CUDA_ARCH__)
ND_FN uint32_t bits(float x) { return __float_as_uint(x); }
ND_FN float of_bits(uint32_t x) { return __uint_as_float(x); }
ND_FN uint64_t bits(double x) { return static_cast<uint64_t>(__double_as_longlong(x)); }
ND_FN double of_bits(uint64_t x) { return __longlong_as_double(static_cast<int64_t>(x)); }
ND_FN float square_root(float x) { return __fsqrt_rn(x); }
#else
ND_FN uint32_t bits(float x) { uint32_t y; std::memcpy(&y, &x, sizeof y); return y; }
ND_FN float of_bits(uint32_t x) { float y; std::memcpy(&y, &x, sizeof y); return y; }
ND_FN uint64_t bits(double x) { uint64_t y; std::memcpy(&y, &x, sizeof y); return y; }
ND_FN double of_bits(uint64_t x) { double y; std::memcpy(&y, &x, sizeof y); return y; }
ND_FN float square_root(float x) { return __builtin_sqrtf(x); }
#endif

// a * b + c, rounded once; where the processor has no such instruction (x86-64-v2), twice.
ND_FN float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#elif defined(__FMA__) || defined(__ARM_NEON) || defined(__CUDACC__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

}}  // namespace nd::ND_ISA
