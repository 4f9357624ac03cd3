// Vectors of floats: GCC/Clang vector extensions plus the three things those lack: an explicit fused multiply-add,
// unaligned memory access and horizontal sums in one fixed order.
#pragma once
#include "single.h"
#if !defined(__CUDACC__)  // whose compiler knows no vector extensions
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace nd { namespace ND_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kRegisters = 16;
#elif defined(__ARM_NEON)
constexpr int kLanes = 4;
constexpr int kRegisters = 32;
#else
constexpr int kLanes = 4;
constexpr int kRegisters = 16;
#endif

using Vec = float __attribute__((vector_size(4 * kLanes)));     // kLanes floats
using IVec = int32_t __attribute__((vector_size(4 * kLanes)));  // what comparing two Vec gives: 0 or -1 per lane

ND_INLINE Vec splat(float x) { return x - Vec{}; }
ND_INLINE Vec load(const float* p) { Vec v; std::memcpy(&v, p, sizeof v); return v; }
ND_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
ND_INLINE Vec select(IVec mask, Vec a, Vec b) { return mask ? a : b; }

// The first `count` lanes from memory, the rest zero; back again; and of a register, the rest zero.
#if defined(__AVX512F__)
ND_INLINE __mmask16 first_mask(int64_t count) { return __mmask16((1u << count) - 1); }
ND_INLINE Vec load_first(const float* p, int64_t count) { return (Vec)_mm512_maskz_loadu_ps(first_mask(count), p); }
ND_INLINE void store_first(float* p, Vec v, int64_t count) { _mm512_mask_storeu_ps(p, first_mask(count), (__m512)v); }
ND_INLINE Vec first_lanes(Vec v, int64_t count) { return (Vec)_mm512_maskz_mov_ps(first_mask(count), (__m512)v); }
#elif defined(__AVX2__)
ND_INLINE IVec first_mask(int64_t count) { return IVec{0, 1, 2, 3, 4, 5, 6, 7} < int32_t(count); }
ND_INLINE Vec load_first(const float* p, int64_t count) { return (Vec)_mm256_maskload_ps(p, (__m256i)first_mask(count)); }
ND_INLINE void store_first(float* p, Vec v, int64_t count) { _mm256_maskstore_ps(p, (__m256i)first_mask(count), (__m256)v); }
ND_INLINE Vec first_lanes(Vec v, int64_t count) { return (Vec)((IVec)v & first_mask(count)); }
#else
ND_INLINE Vec load_first(const float* p, int64_t count) { Vec v{}; std::memcpy(&v, p, 4 * count); return v; }
ND_INLINE void store_first(float* p, Vec v, int64_t count) { std::memcpy(p, &v, 4 * count); }
ND_INLINE Vec first_lanes(Vec v, int64_t count) { return load_first(reinterpret_cast<const float*>(&v), count); }
#endif

// a * b + c, rounded once. x86-64-v2 has no such instruction: there it is rounded twice, the one documented exception to
// "same bits on every processor".
ND_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
    return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
    return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

ND_INLINE Vec square_root(Vec x) {
#if defined(__AVX512F__)
    return (Vec)_mm512_maskz_sqrt_ps(__mmask16(-1), (__m512)x);
#elif defined(__AVX2__)
    return (Vec)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    return (Vec)_mm_sqrt_ps((__m128)x);
#else
    for (int i = 0; i < kLanes; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}

ND_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }  // b where either is NaN
ND_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }

// Sums along memory use 16 logical lanes whatever the register width, added up in this one order, so that every
// instruction set gives the same bits.
constexpr int kSumLanes = 16;
ND_INLINE float sum_lanes(const float (&lane)[kSumLanes]) {
    using Half = float __attribute__((vector_size(32)));
    using Quarter = float __attribute__((vector_size(16)));
    Half half[2];
    std::memcpy(half, lane, sizeof half);
    half[0] += half[1];
    Quarter quarter[2];
    std::memcpy(quarter, half, sizeof quarter);
    const Quarter s = quarter[0] + quarter[1];
    return (s[0] + s[2]) + (s[1] + s[3]);
}

}}  // namespace nd::ND_ISA
#endif  // !__CUDACC__
