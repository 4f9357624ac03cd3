// Moving floats between the lanes of vectors: shifts, and transposing in registers.
#pragma once
#include "simd.h"
#include <utility>

namespace nd { namespace ND_ISA {

using Lanes = std::make_integer_sequence<int, kLanes>;

// The lanes (index...) of a followed by b.
template <int... Index>
ND_INLINE Vec shuffle(Vec a, Vec b) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, Index...);
#else
    return __builtin_shuffle(a, b, IVec{Index...});
#endif
}

template <int Shift, int... L>
ND_INLINE Vec shifted(Vec v, std::integer_sequence<int, L...>) {
    return shuffle<((L + Shift) % kLanes)...>(v, v);
}

// One step of transposing: rows a and b, S apart, exchange the lanes that lie S off the diagonal.
template <int S, int... L>
ND_INLINE void exchange(Vec& a, Vec& b, std::integer_sequence<int, L...>) {
    const Vec first = a, second = b;
    a = shuffle<(L & S ? kLanes + L - S : L)...>(first, second);
    b = shuffle<(L & S ? kLanes + L : L + S)...>(first, second);
}

template <int S>
ND_INLINE void exchange_rows(Vec (&row)[kLanes]) {
    for (int i = 0; i < kLanes; ++i)
        if ((i & S) == 0) exchange<S>(row[i], row[i + S], Lanes{});
}

// kLanes x kLanes floats transposed.
ND_INLINE void transpose(Vec (&row)[kLanes]) {
    exchange_rows<1>(row);
    exchange_rows<2>(row);
    if constexpr (kLanes > 4) exchange_rows<4>(row);
    if constexpr (kLanes > 8) exchange_rows<8>(row);
}

// y = x^T for kLanes x kLanes floats, rows ys and xs apart.
ND_INLINE void transpose_square(float* y, int64_t ys, const float* x, int64_t xs) {
    Vec row[kLanes];
    for (int i = 0; i < kLanes; ++i) row[i] = load(x + i * xs);
    transpose(row);
    for (int i = 0; i < kLanes; ++i) store(y + i * ys, row[i]);
}

}}  // namespace nd::ND_ISA
