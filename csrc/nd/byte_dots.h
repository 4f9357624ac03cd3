// Sums of products of unsigned with signed bytes, in 32 bits. Integers, so every way to compute them gives the same: by the
// instruction for it where the processor has one (VNNI), by pairs of 16-bit numbers elsewhere, neither of which saturates.
#pragma once
#include <atomic>
#include <cstdlib>
#include "tile.h"

namespace nd { namespace ND_ISA {

// Weights lie as [ceil(columns / 16)][depth / 4][16][4] on every instruction set: for each of 16 columns four of the depth.
constexpr int64_t kGroup = 4;
constexpr int64_t kGroupBytes = kGroup * kBlock;
constexpr int kByteRows = kLanes == 16 ? 8 : kRegisters == 32 || kLanes == 8 ? 4 : 2;  // of a tile

// R rows of pixels times one or several blocks of columns.
struct ByteTile {
    const uint8_t* const* row;    // for each pixel the first byte that it reads
    int64_t taps, groups, step;   // lines of bytes to read, of so many groups; from one to the next
    const int8_t* weights;
    int64_t to_tap, to_block;     // from the weights of a line to those of the next, and to those of the next block
    const int32_t* start;         // what the sums of the columns begin with
};

ND_INLINE IVec load_words(const void* p) { IVec v; std::memcpy(&v, p, sizeof v); return v; }
ND_INLINE IVec splat_word(int32_t x) { return x - IVec{}; }

using Shorts = int16_t __attribute__((vector_size(4 * kLanes)));

// In each lane a[0] b[0] + a[1] b[1] of its two numbers.
ND_INLINE IVec sum_of_pairs(Shorts a, Shorts b) {
#if defined(__AVX512BW__)
    return (IVec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (IVec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (IVec)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const IVec x = (IVec)a, y = (IVec)b;
    return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}

// The bytes 0 and 2 of each lane, and 1 and 3, as 16-bit numbers.
struct ByPairs {
    struct Pairs {
        Shorts even, odd;
    };
    static ND_INLINE Pairs weights(IVec w) { return {((Shorts)w << 8) >> 8, (Shorts)w >> 8}; }
    static ND_INLINE Pairs pixel(uint32_t x) {
        return {(Shorts)splat_word(int32_t(x & 0x00ff00ffu)), (Shorts)splat_word(int32_t(x >> 8 & 0x00ff00ffu))};
    }
    static ND_INLINE IVec add(IVec sum, const Pairs& x, const Pairs& w) {
        return sum + sum_of_pairs(x.even, w.even) + sum_of_pairs(x.odd, w.odd);
    }
};

#if defined(__AVX512F__)
#define ND_VNNI __attribute__((target("avx512vnni")))
struct ByVnni {
    static ND_INLINE IVec weights(IVec w) { return w; }
    static ND_INLINE IVec pixel(uint32_t x) { return splat_word(int32_t(x)); }
    static inline ND_VNNI __attribute__((always_inline)) IVec add(IVec sum, IVec x, IVec w) {
        return (IVec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
    }
};

// NEEDLE_ISA=v4 asks for at most that level of x86-64, which VNNI is no part of.
inline bool has_vnni() {
    static std::atomic<int> known{-1};
    int found = known.load(std::memory_order_relaxed);
    if (found < 0) {
        const char* asked = std::getenv("NEEDLE_ISA");
        found = (asked == nullptr || asked[0] == 0) && __builtin_cpu_supports("avx512vnni");
        known.store(found, std::memory_order_relaxed);
    }
    return found != 0;
}
#endif

// sums[i][j] = start[j] + the products of row i and vector j. Sums of narrow tiles are kept in two parts, for each waits for the
// one before. A macro, for a function that is compiled for more than the rest of the file takes nothing in that is not: no
// other template may stand between it and the instruction.
#define ND_BYTE_DOTS(name, How, attributes)                                                                                 \
    template <int R, int V>                                                                                                 \
    attributes ND_NOINLINE void name(const ByteTile& t, IVec (&sums)[R][V]) {                                               \
        constexpr int kParts = kLanes == 16 && V == 1 ? 2 : 1;                                                              \
        IVec sum[kParts][R][V] = {};                                                                                        \
        const uint8_t* row[R];                                                                                              \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; ++i) {                                                              \
            row[i] = t.row[i];                                                                                              \
            _Pragma("GCC unroll 16") for (int j = 0; j < V; ++j) sum[0][i][j] = load_words(t.start + j * kLanes);           \
        }                                                                                                                   \
        const auto step = [&](IVec (&part)[R][V], const int8_t* line, int64_t g) attributes __attribute__((always_inline)) {\
            decltype(How::weights(IVec{})) right[V];                                                                        \
            _Pragma("GCC unroll 16") for (int j = 0; j < V; ++j) right[j] = How::weights(load_words(                        \
                line + g * kGroupBytes + j / kBlockVecs * t.to_block + j % kBlockVecs * (kGroup * kLanes)));                \
            _Pragma("GCC unroll 16") for (int i = 0; i < R; ++i) {                                                          \
                uint32_t four;                                                                                              \
                std::memcpy(&four, row[i] + g * kGroup, sizeof four);                                                       \
                const auto left = How::pixel(four);                                                                         \
                _Pragma("GCC unroll 16") for (int j = 0; j < V; ++j) part[i][j] = How::add(part[i][j], left, right[j]);     \
            }                                                                                                               \
        };                                                                                                                  \
        const int8_t* line = t.weights;                                                                                     \
        for (int64_t tap = 0; tap < t.taps; ++tap, line += t.to_tap) {                                                      \
            int64_t g = 0;                                                                                                  \
            if constexpr (kParts == 2)                                                                                      \
                for (; g + 2 <= t.groups; g += 2) {                                                                         \
                    step(sum[0], line, g);                                                                                  \
                    step(sum[1], line, g + 1);                                                                              \
                }                                                                                                           \
            for (; g < t.groups; ++g) step(sum[0], line, g);                                                                \
            _Pragma("GCC unroll 16") for (int i = 0; i < R; ++i) row[i] += t.step;                                          \
        }                                                                                                                   \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; ++i)                                                                \
            _Pragma("GCC unroll 16") for (int j = 0; j < V; ++j)                                                            \
                sums[i][j] = kParts == 2 ? sum[0][i][j] + sum[kParts - 1][i][j] : sum[0][i][j];                             \
    }

ND_BYTE_DOTS(dots_by_pairs, ByPairs, )
#if defined(__AVX512F__)
ND_BYTE_DOTS(dots_by_vnni, ByVnni, ND_VNNI)
#endif

template <int R, int V>
ND_INLINE void byte_dots(const ByteTile& tile, IVec (&sums)[R][V]) {
#if defined(__AVX512F__)
    if (has_vnni()) return dots_by_vnni(tile, sums);
#endif
    dots_by_pairs(tile, sums);
}

}}  // namespace nd::ND_ISA
