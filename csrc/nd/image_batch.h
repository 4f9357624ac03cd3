// A training batch out of a data set of small images: chosen, moved, mirrored, normalised and covered in one pass.
#pragma once
#include "shuffle.h"

namespace nd { namespace ND_ISA {

// Images (channels, height, width) of bytes, one after another.
struct Images {
    const uint8_t* pixels;
    int64_t channels, height, width;
};

// What is done to each image of a batch: image `index` moved by `top` and `left` less `padding`, mirrored left to right;
// then the square of `size` pixels from (row, column) on, which may begin or end outside, covered.
struct Moves {
    const int64_t *index, *top, *left;
    const uint8_t* mirror;
    int64_t padding;
    bool reflect;  // what moves in is the image reflected at its border; otherwise zero
    const int64_t *row, *column;
    int64_t size;
};

// What becomes of a pixel, for each channel: pixel scale + shift, and `cover` where it is covered.
struct Colours {
    const float *scale, *shift, *cover;
};

// Where coordinate i of an axis of `size` comes from; -1 is a zero from outside. Needs -size < i < 2 size - 1.
ND_INLINE int64_t source_of(int64_t i, int64_t size, bool reflect) {
    if (i >= 0 && i < size) return i;
    if (!reflect) return -1;
    return i < 0 ? -i : 2 * (size - 1) - i;
}

ND_INLINE int64_t clamp(int64_t i, int64_t low, int64_t high) { return max(low, min(i, high)); }

// kLanes bytes as floats. (GCC 12 takes a vector conversion of bytes to pieces.)
ND_INLINE Vec load_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return __builtin_convertvector((IVec)_mm512_maskz_cvtepu8_epi32(0xffff, bytes), Vec);
#elif defined(__AVX2__)
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return __builtin_convertvector((IVec)_mm256_cvtepu8_epi32(bytes), Vec);
#else
    uint8_t __attribute__((vector_size(kLanes))) bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, Vec);
#endif
}

template <int... L>
ND_INLINE Vec reversed(Vec v, std::integer_sequence<int, L...>) {
    return shuffle<(kLanes - 1 - L)...>(v, v);
}

// y[k] = x[k] scale + shift, or x[-k] scale + shift, for k < count.
template <bool Backwards>
ND_INLINE void scaled_bytes(const uint8_t* x, int64_t count, float scale, float shift, float* y) {
    const auto some = [&](int64_t k) {
        const Vec v = Backwards ? reversed(load_bytes(x - k - (kLanes - 1)), Lanes{}) : load_bytes(x + k);
        store(y + k, v * splat(scale) + splat(shift));
    };
    int64_t k = 0;
    for (; k + kLanes <= count; k += kLanes) some(k);
    if (k == count) return;
    if (count >= kLanes) return some(count - kLanes);
    for (; k < count; ++k) y[k] = float(Backwards ? x[-k] : x[k]) * scale + shift;
}

// One channel of an image, whose row r comes from row r + down, and whose column s from column first + s, or first - s
// where it is mirrored: the columns that come from outside one by one, then all between them row by row.
template <bool Mirrored>
ND_INLINE void image_plane(const uint8_t* x, int64_t height, int64_t width, int64_t down, int64_t first, bool reflect,
                           float scale, float shift, float* y) {
    const int64_t inside = clamp(Mirrored ? first - (width - 1) : -first, 0, width);
    const int64_t outside = clamp(Mirrored ? first + 1 : width - first, inside, width);
    const auto edge = [&](int64_t s) {
        const int64_t column = source_of(Mirrored ? first - s : first + s, width, reflect);
        for (int64_t r = 0; r < height; ++r) {
            const int64_t row = source_of(r + down, height, reflect);
            y[r * width + s] = (row < 0 || column < 0 ? 0.0f : float(x[row * width + column])) * scale + shift;
        }
    };
    for (int64_t s = 0; s < inside; ++s) edge(s);
    for (int64_t s = outside; s < width; ++s) edge(s);
    for (int64_t r = 0; r < height; ++r) {
        const int64_t row = source_of(r + down, height, reflect);
        float* out = y + r * width;
        if (row >= 0)
            scaled_bytes<Mirrored>(x + row * width + (Mirrored ? first - inside : first + inside), outside - inside, scale,
                                   shift, out + inside);
        else
            for (int64_t s = inside; s < outside; ++s) out[s] = 0.0f * scale + shift;
    }
}

// y[i, c, r, s] = x[index[i], c, r + top[i] - padding, s + left[i] - padding] scale[c] + shift[c], or cover[c]
inline void image_batch(const Executor& executor, int64_t count, const Images& x, const Moves& moves, const Colours& colours,
                        float* y) {
    const int64_t area = x.height * x.width;
    parallel(executor, count, [&](int64_t i) {
        const int64_t down = moves.top[i] - moves.padding, right = moves.left[i] - moves.padding;
        const int64_t cut_top = clamp(moves.row[i], 0, x.height), cut_left = clamp(moves.column[i], 0, x.width);
        const int64_t cut_bottom = clamp(moves.row[i] + moves.size, 0, x.height);
        const int64_t cut_right = clamp(moves.column[i] + moves.size, 0, x.width);
        if (i + 1 < count) {  // the next one comes from anywhere in the data set
            const uint8_t* next = x.pixels + moves.index[i + 1] * x.channels * area;
            for (int64_t byte = 0; byte < min<int64_t>(x.channels * area, 4096); byte += 64) __builtin_prefetch(next + byte);
        }
        for (int64_t c = 0; c < x.channels; ++c) {
            const uint8_t* plane = x.pixels + (moves.index[i] * x.channels + c) * area;
            const float scale = colours.scale[c], shift = colours.shift[c];
            float* out = y + (i * x.channels + c) * area;
            if (moves.mirror[i])
                image_plane<true>(plane, x.height, x.width, down, x.width - 1 + right, moves.reflect, scale, shift, out);
            else
                image_plane<false>(plane, x.height, x.width, down, right, moves.reflect, scale, shift, out);
            for (int64_t r = cut_top; r < cut_bottom; ++r)
                for (int64_t s = cut_left; s < cut_right; ++s) out[r * x.width + s] = colours.cover[c];
        }
    });
}

}}  // namespace nd::ND_ISA
