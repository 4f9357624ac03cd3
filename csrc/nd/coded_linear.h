// Products with weights in fewer bits: decoded in registers, as the tile's rows need them, so that memory brings the codes
// alone. The sums are those of direct_conv.h's `linear` with the decoded weights, bit for bit.
//
// Layouts, the same on every instruction set: codes [ceil(out / 16)][depth][16] (of int4 [depth / 2], two rows in a byte, the
// even one in its lower half), scales [ceil(out / 16)][ceil(depth / group)][16].
#pragma once
#include "byte_maps.h"
#include "direct_conv.h"
#include "stored.h"

namespace nd { namespace ND_ISA {

template <class T>
ND_INLINE T load_as(const void* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

// Signed bytes, one for each lane.
ND_INLINE IVec load_signed(const int8_t* p) {
#if defined(__AVX512F__)
    return (IVec)_mm512_maskz_cvtepi8_epi32(__mmask16(-1), load_as<__m128i>(p));
#elif defined(__AVX2__)
    return (IVec)_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(load_as<int64_t>(p)));
#else
    return (load_bytes(reinterpret_cast<const uint8_t*>(p), Const<kLanes>{}) << 24) >> 24;
#endif
}

// Numbers of 16 bits without a sign, one for each lane.
ND_INLINE IVec load_halves(const uint8_t* p) {
#if defined(__AVX512F__)
    return (IVec)_mm512_maskz_cvtepu16_epi32(__mmask16(-1), load_as<__m256i>(p));
#elif defined(__AVX2__)
    return (IVec)_mm256_cvtepu16_epi32(load_as<__m128i>(p));
#else
    IVec wide{};
    for (int i = 0; i < kLanes; ++i) wide[i] = load_as<uint16_t>(p + 2 * i);
    return wide;
#endif
}

struct Int8Codes {
    static constexpr int64_t kBytes = 16, kRows = 1;  // of a block: bytes, and rows of the depth that they hold
    template <int row>
    static ND_INLINE Vec at(const uint8_t* p, int vec) { return floats_of(load_signed(reinterpret_cast<const int8_t*>(p) + vec * kLanes)); }
};
struct Int4Codes {
    static constexpr int64_t kBytes = 16, kRows = 2;
    template <int row>
    static ND_INLINE Vec at(const uint8_t* p, int vec) {
        const IVec code = load_bytes(p + vec * kLanes, Const<kLanes>{}) >> (4 * row);
#if defined(__AVX512F__)  // the number in the place that the lower four bits say
        const Vec numbers = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
        return (Vec)_mm512_maskz_permutexvar_ps(__mmask16(-1), (__m512i)code, (__m512)numbers);
#else
        return floats_of((code & 15) - 8);
#endif
    }
};
struct Fp16Codes {
    static constexpr int64_t kBytes = 32, kRows = 1;
    template <int row>
    static ND_INLINE Vec at(const uint8_t* p, int vec) {
        p += vec * 2 * kLanes;
#if defined(__AVX512F__)
        return (Vec)_mm512_maskz_cvtph_ps(__mmask16(-1), load_as<__m256i>(p));
#elif defined(__AVX2__) && defined(__F16C__)
        return (Vec)_mm256_cvtph_ps(load_as<__m128i>(p));
#else  // as Float16 of stored.h has it, in all lanes at once
        const IVec code = load_halves(p), size = code & 0x7fff, sign = (code & 0x8000) << 16;
        const Vec number = (Vec)(size << 13) * float_of(uint32_t(254 - 15) << 23);
        const Vec beyond = (Vec)((size << 13) | 0x7f800000);
        return (Vec)((IVec)select(size >= 0x7c00, beyond, number) | sign);
#endif
    }
};
struct Bf16Codes {
    static constexpr int64_t kBytes = 32, kRows = 1;
    template <int row>
    static ND_INLINE Vec at(const uint8_t* p, int vec) { return (Vec)(load_halves(p + vec * 2 * kLanes) << 16); }
};

// Codes of some blocks of columns, and their scales.
struct CodedBlocks {
    const uint8_t* codes;
    const float* scales;
    int64_t next, next_scales, group;  // from one block to the next; depth of a group
};

template <class Codes>
constexpr bool has_scales = !std::is_same_v<Codes, Bf16Codes> && !std::is_same_v<Codes, Fp16Codes>;

// Calls f(k, w) for k = 0 .. depth - 1 in that order, w the V vectors of row k. A group holds whole bytes.
template <class Codes, int V, class F>
ND_INLINE void each_row(int64_t depth, const CodedBlocks& b, const F& f) {
    const int64_t group = has_scales<Codes> ? b.group : depth;
    for (int64_t k = 0, g = 0; k < depth; ++g) {
        Vec scale[V];
        if constexpr (has_scales<Codes>)
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j)
                scale[j] = load(b.scales + j / kBlockVecs * b.next_scales + g * kBlock + j % kBlockVecs * kLanes);
        const auto row = [&](auto part, const uint8_t* codes) {
            Vec w[V];
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j) {
                w[j] = Codes::template at<decltype(part)::value>(codes + j / kBlockVecs * b.next, j % kBlockVecs);
                if constexpr (has_scales<Codes>) w[j] = w[j] * scale[j];
            }
            f(k + part, w);
        };
        for (const int64_t end = min(depth, k + group); k < end; k += Codes::kRows) {
            const uint8_t* codes = b.codes + k / Codes::kRows * Codes::kBytes;
            row(Const<0>{}, codes);
            if constexpr (Codes::kRows == 2) row(Const<1>{}, codes);
        }
    }
}

// y = x w of R rows, each element one chain of fused multiply-adds over the depth.
template <class Codes, int R, int B>
ND_NOINLINE void coded_tile(int64_t depth, int64_t out, const float* x, const CodedBlocks& b, int64_t first, int64_t column,
                            float* y, const Steps& steps) {
    constexpr int V = B * kBlockVecs;
    Vec acc[R][V] = {};
    each_row<Codes, V>(depth, b, [&](int64_t k, const Vec (&w)[V]) {
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
            const Vec left = splat(x[(first + i) * depth + k]);
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j) acc[i][j] = fma(left, w[j], acc[i][j]);
        }
    });
    store_tile(acc, y, [&](int i) { return (first + i) * out + column; }, Extent{column, out - column, false, true}, steps);
}

constexpr int64_t kDecodedRows = 16;  // from so many rows on, weights are decoded once for all of them
constexpr int64_t coded_scratch(int64_t depth) { return depth * tile_blocks(kTileRows) * kBlock; }  // floats of a thread

// The same of all rows, with weights that are decoded beforehand.
template <class Codes, int B>
inline void decoded_panel(int64_t rows, int64_t depth, int64_t out, const float* x, const CodedBlocks& b, int64_t column, float* y,
                          const Steps& steps, float* decoded) {
    constexpr int V = B * kBlockVecs;
    each_row<Codes, V>(depth, b, [&](int64_t k, const Vec (&w)[V]) {
        for (int j = 0; j < V; ++j) store(decoded + (k * V + j) * kLanes, w[j]);
    });
    for (int64_t first = 0; first < rows; first += kTileRows)
        with_height(min<int64_t>(kTileRows, rows - first), [&](auto height) {
            constexpr int R = decltype(height)::value;
            RowsLeft<R> left;
            for (int i = 0; i < R; ++i) left.row[i] = x + (first + i) * depth;
            const auto place = [&](int i) { return (first + i) * out + column; };
            tile<R, B>(depth, left, Blocks{decoded, B * kBlock, kBlock}, y, place, Extent{column, out - column, false, true}, steps);
        });
}

// y (rows, out) = epilogue(x (rows, depth) w), x and y compact. Threads share the columns; `scratch` holds coded_scratch(depth)
// floats for each.
template <class Codes>
inline void coded_linear(const Executor& executor, int64_t rows, int64_t depth, int64_t out, int64_t group, const float* x,
                         const void* codes, const float* scales, float* y, float* scratch, const Steps& steps) {
    if (rows == 0) return;
    const int64_t blocks = ceil_div(out, kBlock), next = ceil_div(depth, Codes::kRows) * Codes::kBytes;
    const int64_t next_scales = has_scales<Codes> ? ceil_div(depth, group) * kBlock : 0;
    const Executor on = alone_if_small(executor, rows * out, depth);
    with_height(min<int64_t>(rows, kTileRows), [&](auto height) {
        constexpr int R = decltype(height)::value, B = tile_blocks(R);
        const auto panel = [&](auto width, int64_t j, int64_t worker) {
            constexpr int W = decltype(width)::value;
            const CodedBlocks b{static_cast<const uint8_t*>(codes) + j * next, scales + j * next_scales, next, next_scales, group};
            if constexpr (R == kTileRows)
                if (rows >= kDecodedRows)
                    return decoded_panel<Codes, W>(rows, depth, out, x, b, j * kBlock, y, steps, scratch + worker * coded_scratch(depth));
            int64_t i = 0;
            for (; i + R <= rows; i += R) coded_tile<Codes, R, W>(depth, out, x, b, i, j * kBlock, y, steps);
            if constexpr (R > 1)
                if (i < rows)
                    with_height<1, R - 1>(rows - i, [&](auto rest) {
                        coded_tile<Codes, decltype(rest)::value, W>(depth, out, x, b, i, j * kBlock, y, steps);
                    });
        };
        balance(on, ceil_div(blocks, B), [&](int64_t worker, int64_t task) {
            const int64_t j = task * B;
            if (j + B <= blocks) return panel(Const<B>{}, j, worker);
            if constexpr (B > 1)
                for (int64_t k = j; k < blocks; ++k) panel(Const<1>{}, k, worker);
        });
    });
}

}}  // namespace nd::ND_ISA
