// Maps of bytes (N, H, W, C): a byte q stands for the number (q - zero) step. Numbers become bytes and back, maxima over windows,
// tables. What is rounded is rounded once, to the nearest, to the even one of two: the same bits on every instruction set.
#pragma once
#include "byte_dots.h"
#include "conv_tiles.h"
#include "pooling.h"

namespace nd { namespace ND_ISA {

ND_INLINE Vec floats_of(IVec v) { return __builtin_convertvector(v, Vec); }

// A byte for each lane: between registers of bytes and of numbers in 0 .. 255. Compilers take lanes apart where they are not told.
#if defined(__AVX512F__)
using BVec = __m128i;
ND_INLINE IVec widened(BVec bytes) { return (IVec)_mm512_maskz_cvtepu8_epi32(__mmask16(-1), bytes); }
ND_INLINE BVec narrowed(IVec v) { return _mm512_maskz_cvtepi32_epi8(__mmask16(-1), (__m512i)v); }
#elif defined(__AVX2__)
using BVec = int64_t;
ND_INLINE IVec widened(BVec bytes) { return (IVec)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes)); }
ND_INLINE BVec narrowed(IVec v) {
    const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
    return _mm_cvtsi128_si64(_mm_packus_epi16(_mm_packus_epi32(low, high), low));
}
#elif defined(__SSE4_1__)
using BVec = int32_t;
ND_INLINE IVec widened(BVec bytes) { return (IVec)_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)); }
ND_INLINE BVec narrowed(IVec v) {
    const __m128i words = _mm_packus_epi32((__m128i)v, (__m128i)v);
    return _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
}
#else
using BVec = uint8_t __attribute__((vector_size(kLanes)));
ND_INLINE IVec widened(BVec bytes) { return __builtin_convertvector(bytes, IVec); }
ND_INLINE BVec narrowed(IVec v) { return __builtin_convertvector(v, BVec); }
#endif

// The first `count` bytes, Const<kLanes> where all are.
template <class N>
ND_INLINE IVec load_bytes(const uint8_t* p, N count) {
    BVec bytes{};
    std::memcpy(&bytes, p, static_cast<std::size_t>(count));
    return widened(bytes);
}
template <class N>
ND_INLINE void store_bytes(uint8_t* p, IVec v, N count) {
    const BVec bytes = narrowed(v);
    std::memcpy(p, &bytes, static_cast<std::size_t>(count));
}

// The bytes that stand for v, in steps: rounded, then moved by `zero`, within 0 .. 255. NaN is the smallest.
struct ToBytes {
    Vec low, high;
    IVec move;
    static constexpr int32_t kPlace = 0x4b400000;  // the bits of 1.5 * 2^23, to which adding a small number rounds it

    explicit ToBytes(int64_t zero, bool relu = false)  // with relu negative numbers become 0
        : low(splat(relu ? 0.0f : float(-zero))), high(splat(float(255 - zero))), move(int32_t(zero) - kPlace - IVec{}) {}
    ND_INLINE IVec operator()(Vec v) const {
        v = select(v > low, v, low);
        v = select(v < high, v, high);
        return (IVec)(v + splat(12582912.0f)) + move;
    }
};

// y (images, height, width, filled) = the bytes of x (images, height, width, channels) / step; behind the channels lies `zero`.
inline void quantize(const Executor& executor, int64_t images, int64_t height, int64_t width, int64_t channels, int64_t filled,
                     int64_t zero, const float* x, const Strides4& s, float inverse, uint8_t* y) {
    const ToBytes to_bytes(zero);
    const Vec scale = splat(inverse);
    parallel_rows(executor, images * height, width * filled, [&](int64_t row) {
        const float* from = x + row / height * s.n + row % height * s.h;
        uint8_t* to = y + row * width * filled;
        int64_t i = 0;
        if (filled == channels && s.c == 1 && (s.w == channels || width == 1)) {
            each_vector(width * channels, [&](int64_t k, auto n) {
                store_bytes(to + k, to_bytes(load_some(from + k, n) * scale), n);
            });
            return;
        }
        if (filled == kGroup && s.w == 1)  // planes: four bytes of a pixel make a lane
            for (; i + kLanes <= width; i += kLanes) {
                IVec pixel{};
                for (int64_t c = channels; c < filled; ++c) pixel |= int32_t(uint32_t(zero) << 8 * c) - IVec{};
                for (int64_t c = 0; c < channels; ++c) pixel |= to_bytes(load(from + c * s.c + i) * scale) << int(8 * c);
                std::memcpy(to + i * filled, &pixel, sizeof pixel);
            }
        for (; i < width; ++i)
            for (int64_t c = 0; c < filled; ++c)
                to[i * filled + c] = c < channels ? uint8_t(to_bytes(splat(from[i * s.w + c * s.c] * inverse))[0]) : uint8_t(zero);
    });
}

// y = (x - zero) step.
inline void dequantize(const Executor& executor, int64_t n, int64_t zero, const uint8_t* x, float step, float* y) {
    parallel_ranges(executor, ceil_div(n, kLanes), kLanes, [&](int64_t first, int64_t end) {
        for (int64_t i = first * kLanes; i < min(n, end * kLanes); i += kLanes) {
            const int64_t count = min<int64_t>(kLanes, n - i);
            const Vec v = floats_of(load_bytes(x + i, count) - int32_t(zero)) * splat(step);
            if (count == kLanes) store(y + i, v);
            else store_first(y + i, v, count);
        }
    });
}

// y[row][c] = table[c][x[row][c]], or table[x[row][c]] where one table of 256 is that of all channels.
inline void byte_table(const Executor& executor, int64_t rows, int64_t channels, int64_t tables, const uint8_t* x,
                       const uint8_t* table, uint8_t* y) {
    parallel_ranges(executor, rows, channels, [=](int64_t first, int64_t end) {  // what a byte is stored to may be anything: copies
        const uint8_t *from = x + first * channels, *entry = table;
        uint8_t* to = y + first * channels;
        const int64_t next = tables == 1 ? 0 : 256, width = tables == 1 ? (end - first) * channels : channels;
        for (int64_t row = tables == 1 ? end - 1 : first; row < end; ++row, from += width, to += width) {
            int64_t c = 0;
            for (; c + 4 <= width; c += 4) {
                const uint8_t *at = from + c, *here = entry + c * next;
                const uint8_t a = here[at[0]], b = here[next + at[1]], d = here[2 * next + at[2]], e = here[3 * next + at[3]];
                to[c] = a, to[c + 1] = b, to[c + 2] = d, to[c + 3] = e;
            }
            for (; c < width; ++c) to[c] = entry[c * next + from[c]];
        }
    });
}

// The largest byte of every window, of maps without gaps.
inline void byte_max_pool(const Executor& executor, int64_t images, int64_t channels, const Bands& v, const Bands& h,
                          const uint8_t* x, uint8_t* y) {
    using Wide = uint8_t __attribute__((vector_size(4 * kLanes)));
    const int64_t line = h.size * channels;
    each_output(executor, images, channels, v, h, [&](int64_t n, int64_t i, int64_t j, int64_t to) {
        const Window window(v, h, i, j);
        const uint8_t* from = x + (n * v.size + window.top) * line + window.left * channels;
        int64_t c = 0;
        for (; c + int64_t(sizeof(Wide)) <= channels; c += int64_t(sizeof(Wide))) {
            Wide best{}, next;
            for (int64_t a = 0; a < window.rows; ++a)
                for (int64_t b = 0; b < window.columns; ++b) {
                    std::memcpy(&next, from + a * line + b * channels + c, sizeof next);
                    best = best > next ? best : next;
                }
            std::memcpy(y + to + c, &best, sizeof best);
        }
        for (; c < channels; ++c) {
            uint8_t best = 0;
            for (int64_t a = 0; a < window.rows; ++a)
                for (int64_t b = 0; b < window.columns; ++b) best = max(best, from[a * line + b * channels + c]);
            y[to + c] = best;
        }
    });
}

}}  // namespace nd::ND_ISA
