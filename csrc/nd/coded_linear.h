// Products with weights in fewer bits: decoded in registers, as the tile's rows need them, so that memory brings the codes
// alone. The sums are those of direct_conv.h's `linear` with the decoded weights, bit for bit.
//
// Layouts, the same on every instruction set: codes [ceil(out / 16)][depth][16] (of int4 [depth / 2], two rows in a byte, the
// even one in its lower half), scales [ceil(out / 16)][ceil(depth / group)][16].
#pragma once
#include "byte_maps.h"
#include "direct_conv.h"

namespace nd { namespace ND_ISA {

struct Int8Codes {
    static constexpr int64_t kBytes = 16, kRows = 1;  // of a block: bytes, and rows of the depth that they hold
    static ND_INLINE Vec at(const uint8_t* p, int, int vec) {
        return floats_of(((load_bytes(p + vec * kLanes, Const<kLanes>{}) << 24) >> 24));
    }
};
struct Int4Codes {
    static constexpr int64_t kBytes = 16, kRows = 2;
    static ND_INLINE Vec at(const uint8_t* p, int row, int vec) {
        return floats_of(((load_bytes(p + vec * kLanes, Const<kLanes>{}) >> (4 * row)) & 15) - 8);
    }
};
struct Bf16Codes {
    static constexpr int64_t kBytes = 32, kRows = 1;
    static ND_INLINE Vec at(const uint8_t* p, int, int vec) {
#if defined(__AVX512F__)
        __m256i half;
        std::memcpy(&half, p + vec * 2 * kLanes, sizeof half);
        return (Vec)((IVec)_mm512_maskz_cvtepu16_epi32(__mmask16(-1), half) << 16);
#elif defined(__AVX2__)
        __m128i half;
        std::memcpy(&half, p + vec * 2 * kLanes, sizeof half);
        return (Vec)((IVec)_mm256_cvtepu16_epi32(half) << 16);
#else
        uint16_t half[kLanes];
        std::memcpy(half, p + vec * 2 * kLanes, sizeof half);
        IVec wide{};
        for (int i = 0; i < kLanes; ++i) wide[i] = int32_t(uint32_t(half[i]) << 16);
        return (Vec)wide;
#endif
    }
};

// Codes of some blocks of columns, and their scales.
struct CodedBlocks {
    const uint8_t* codes;
    const float* scales;
    int64_t next, next_scales, group;  // from one block to the next; depth of a group
};

// acc[i][j] = fma(x[i][k], w[k][j], acc[i][j]) for k = 0 .. depth - 1 in that order.
template <class Codes, int R, int V>
ND_INLINE void multiply_coded(Vec (&acc)[R][V], int64_t depth, const float* const (&row)[R], const CodedBlocks& b) {
    constexpr bool scaled = !std::is_same_v<Codes, Bf16Codes>;
    const int64_t group = scaled ? b.group : depth;
    for (int64_t k0 = 0, g = 0; k0 < depth; k0 += group, ++g) {
        Vec scale[V];
        if constexpr (scaled)
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j)
                scale[j] = load(b.scales + j / kBlockVecs * b.next_scales + g * kBlock + j % kBlockVecs * kLanes);
        const int64_t end = min(depth, k0 + group);
        for (int64_t k = k0; k < end; ++k) {
            const uint8_t* codes = b.codes + k / Codes::kRows * Codes::kBytes;
            const int half = int(k % Codes::kRows);
            Vec right[V];
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j) {
                right[j] = Codes::at(codes + j / kBlockVecs * b.next, half, j % kBlockVecs);
                if constexpr (scaled) right[j] = right[j] * scale[j];
            }
#pragma GCC unroll 16
            for (int i = 0; i < R; ++i) {
                const Vec left = splat(row[i][k]);
#pragma GCC unroll 16
                for (int j = 0; j < V; ++j) acc[i][j] = fma(left, right[j], acc[i][j]);
            }
        }
    }
}

template <class Codes, int R, int B>
ND_NOINLINE void coded_tile(int64_t depth, int64_t out, const float* x, const CodedBlocks& b, int64_t first, int64_t column,
                            float* y, const Steps& steps) {
    const float* row[R];
    for (int i = 0; i < R; ++i) row[i] = x + (first + i) * depth;
    Vec acc[R][B * kBlockVecs] = {};
    multiply_coded<Codes>(acc, depth, row, b);
    store_tile(acc, y, [&](int i) { return (first + i) * out + column; }, Extent{column, out - column, false, true}, steps);
}

// y (rows, out) = epilogue(x (rows, depth) w), x and y compact. Threads share the columns.
template <class Codes>
inline void coded_linear(const Executor& executor, int64_t rows, int64_t depth, int64_t out, int64_t group, const float* x,
                         const void* codes, const float* scales, float* y, const Steps& steps) {
    if (rows == 0) return;
    const int64_t blocks = ceil_div(out, kBlock), next = ceil_div(depth, Codes::kRows) * Codes::kBytes;
    const int64_t next_scales = group > 0 ? ceil_div(depth, group) * kBlock : 0;
    const Executor on = alone_if_small(executor, rows * out, depth);
    with_height(min<int64_t>(rows, kTileRows), [&](auto height) {
        constexpr int R = decltype(height)::value, B = tile_blocks(R);
        const auto panel = [&](auto width, int64_t j) {
            constexpr int W = decltype(width)::value;
            const CodedBlocks b{static_cast<const uint8_t*>(codes) + j * next, scales + j * next_scales, next, next_scales, group};
            int64_t i = 0;
            for (; i + R <= rows; i += R) coded_tile<Codes, R, W>(depth, out, x, b, i, j * kBlock, y, steps);
            if constexpr (R > 1)
                if (i < rows)
                    with_height<1, R - 1>(rows - i, [&](auto rest) {
                        coded_tile<Codes, decltype(rest)::value, W>(depth, out, x, b, i, j * kBlock, y, steps);
                    });
        };
        parallel(on, ceil_div(blocks, B), [&](int64_t task) {
            int64_t j = task * B;
            const int64_t end = min(blocks, j + B);
            if (end - j == B) return panel(Const<B>{}, j);
            if constexpr (B > 1)
                for (; j < end; ++j) panel(Const<1>{}, j);
        });
    });
}

}}  // namespace nd::ND_ISA
