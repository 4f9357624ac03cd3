// Sums, maxima and minima over one axis of a dense array seen as (outer, k, inner). Long axes are cut into blocks of fixed length
// whose results are combined in order, so that the bits depend neither on threads nor on register width.
#pragma once
#include "scalar.h"
#include "shuffle.h"

namespace nd { namespace ND_ISA {

struct SumFold {
    static constexpr float start = 0;
    static constexpr int lanes = kSumLanes;
    template <class T> static ND_INLINE T fold(T a, T x) { return a + x; }
};
struct MaxFold {
    static constexpr float start = -__builtin_inff();
    static constexpr int lanes = 64;  // a longer chain than a sum's: more of them at once
    template <class T> static ND_INLINE T fold(T a, T x) { return Maximum{}(a, x); }
};

struct MinFold {
    static constexpr float start = __builtin_inff();
    static constexpr int lanes = 64;
    template <class T> static ND_INLINE T fold(T a, T x) { return Minimum{}(a, x); }
};

constexpr int64_t kReduceRow = 4096;   // elements per block along memory
constexpr int64_t kReduceDeep = 256;   // elements per block across rows
constexpr int64_t kReduceWide = 2048;  // columns that a task works on

// The fold of the lanes of one vector: the upper half onto the lower, until one is left.
template <class Fold, int Width = kLanes / 2>
ND_INLINE float fold_lanes(Vec v) {
    v = Fold::fold(v, shifted<Width>(v, Lanes{}));
    if constexpr (Width > 1) return fold_lanes<Fold, Width / 2>(v);
    else return v[0];
}

// The fold of n floats in a row, in a fixed number of logical lanes.
template <class Fold>
ND_INLINE float reduce_row(const float* x, int64_t n) {
    constexpr int kParts = Fold::lanes / kLanes;
    Vec part[kParts];
    for (Vec& p : part) p = splat(Fold::start);
    int64_t i = 0;
    for (; i + Fold::lanes <= n; i += Fold::lanes)
        for (int p = 0; p < kParts; ++p) part[p] = Fold::fold(part[p], load(x + i + p * kLanes));
    if (i < n) {
        float rest[Fold::lanes];
        for (float& r : rest) r = Fold::start;
        std::memcpy(rest, x + i, sizeof(float) * static_cast<std::size_t>(n - i));
        for (int p = 0; p < kParts; ++p) part[p] = Fold::fold(part[p], load(rest + p * kLanes));
    }
    for (int width = kParts / 2; width > 0; width /= 2)
        for (int p = 0; p < width; ++p) part[p] = Fold::fold(part[p], part[p + width]);
    return fold_lanes<Fold>(part[0]);
}

// out[i] = the fold of x[j][i] over j < k, for `inner` outputs; rows of x lie `step` floats apart.
template <class Fold>
ND_INLINE void reduce_deep(const float* x, int64_t k, int64_t step, int64_t inner, float* out) {
    constexpr int kWide = 4;  // vectors at a time: whole cache lines of each row are used up
    int64_t i = 0;
    for (; i + kWide * kLanes <= inner; i += kWide * kLanes) {
        Vec sum[kWide];
        for (Vec& s : sum) s = splat(Fold::start);
        for (int64_t j = 0; j < k; ++j)
            for (int w = 0; w < kWide; ++w) sum[w] = Fold::fold(sum[w], load(x + j * step + i + w * kLanes));
        for (int w = 0; w < kWide; ++w) store(out + i + w * kLanes, sum[w]);
    }
    for (; i < inner; i += kLanes) {
        const int64_t count = min<int64_t>(kLanes, inner - i);
        Vec sum = splat(Fold::start);
        if (count == kLanes)
            for (int64_t j = 0; j < k; ++j) sum = Fold::fold(sum, load(x + j * step + i));
        else
            for (int64_t j = 0; j < k; ++j) sum = Fold::fold(sum, load_first(x + j * step + i, count));
        store_first(out + i, sum, count);
    }
}

ND_INLINE int64_t reduce_blocks(int64_t k, int64_t inner) { return ceil_div(k, inner == 1 ? kReduceRow : kReduceDeep); }

// How many floats of scratch `reduce` needs.
ND_INLINE int64_t reduce_scratch(int64_t outer, int64_t k, int64_t inner) {
    const int64_t blocks = reduce_blocks(k, inner);
    return blocks > 1 ? outer * blocks * inner : 0;
}

// out (outer, inner) = the fold of x (outer, k, inner) over its middle axis.
template <class Fold>
inline void reduce(const Executor& executor, int64_t outer, int64_t k, int64_t inner, const float* x, float* out,
                   float* scratch) {
    const int64_t length = inner == 1 ? kReduceRow : kReduceDeep;
    const int64_t blocks = max(int64_t(1), reduce_blocks(k, inner));
    float* partial = blocks > 1 ? scratch : out;
    const int64_t strips = ceil_div(inner, kReduceWide), units = outer * blocks * strips;
    const int64_t batch = max(int64_t(1), int64_t(16384) / max(int64_t(1), min(k, length) * min(inner, kReduceWide)));
    parallel(executor, ceil_div(units, batch), [&](int64_t task) {
        for (int64_t unit = task * batch; unit < min(units, (task + 1) * batch); ++unit) {
            const int64_t block = unit / strips, column = unit % strips * kReduceWide;
            const int64_t start = block % blocks * length, rows = min(length, k - start);
            const float* from = x + (block / blocks * k + start) * inner + column;
            float* to = partial + block * inner + column;
            if (inner == 1) *to = reduce_row<Fold>(from, rows);
            else reduce_deep<Fold>(from, rows, inner, min(kReduceWide, inner - column), to);
        }
    });
    if (blocks == 1) return;
    parallel(executor, outer, [&](int64_t o) {
        reduce_deep<Fold>(partial + o * blocks * inner, blocks, inner, inner, out + o * inner);
    });
}

}}  // namespace nd::ND_ISA
