// Numbers of 16 bits and fewer as they lie in memory. They are computed with as floats or as whole numbers of 64 bits and
// rounded, to nearest even, when they are stored; a number of less than 8 bits has a byte of its own.
#pragma once
#include <cstring>
#include "base.h"

namespace nd { namespace ND_ISA {

ND_FN uint32_t bits_of(float x) { uint32_t y; std::memcpy(&y, &x, sizeof y); return y; }
ND_FN float float_of(uint32_t x) { float y; std::memcpy(&y, &x, sizeof y); return y; }

// What the largest exponent of a small float means: infinity and NaN as in IEEE 754; NaN where all bits are set; a number,
// with NaN in the place of -0; a number, and no NaN at all.
enum class Top { ieee, all_ones, negative_zero, number };

// A sign, E bits of exponent and M of fraction: 2^(e - Bias) (1 + f / 2^M), or 2^(1 - Bias) f / 2^M where e = 0.
template <class Bits, int E, int M, int Bias, Top top>
struct SmallFloat {
    using Wide = float;
    static constexpr uint32_t kSign = 1u << (E + M), kHighest = kSign - 1, kExponents = ((1u << E) - 1) << M;
    static constexpr uint32_t kInfinity = kExponents;
    static constexpr uint32_t kNaN = top == Top::ieee ? kExponents | 1u << (M - 1) : top == Top::all_ones ? kHighest : kSign;
    static constexpr uint32_t kLargest = top == Top::ieee ? kExponents - 1 : top == Top::all_ones ? kHighest - 1 : kHighest;
    Bits bits;

    ND_FN float wide() const {
        const uint32_t size = bits & kHighest, sign = uint32_t(bits & kSign) << (31 - E - M);
        const float scale = float_of(uint32_t(254 - Bias) << 23);  // 2^(127 - Bias), which numbers without exponent need too
        uint32_t y = bits_of(float_of(size << (23 - M)) * scale);
        if (top == Top::ieee) y = size >= kExponents ? 0x7f800000u | (size & ~kExponents) << (23 - M) : y;
        if (top == Top::all_ones) y = size == kHighest ? 0x7fc00000u : y;
        if (top == Top::negative_zero) return float_of(bits == kSign ? 0xffc00000u : y | sign);
        return float_of(y | sign);
    }

    static ND_FN SmallFloat of(float x) {
        const uint32_t b = bits_of(x), size = b & 0x7fffffffu, sign = b >> 31 << (E + M);
        constexpr uint32_t kRest = 23 - M, kSmallest = uint32_t(128 - Bias) << 23;  // below it there is no exponent
        const float unit = float_of(uint32_t(128 - Bias - M + 23) << 23);  // whose last bit is the smallest number
        const uint32_t tiny = bits_of(float_of(size) + unit) - bits_of(unit);
        const uint32_t rounded = (size + ((1u << (kRest - 1)) - 1) + (size >> kRest & 1)) >> kRest;
        uint32_t y = size < kSmallest ? tiny : rounded - (uint32_t(127 - Bias) << M);
        if (y > kLargest || size >= 0x7f800000u) y = top == Top::ieee ? kInfinity : top == Top::number ? kLargest : kNaN;
        if (size > 0x7f800000u) y = kNaN;
        if (top == Top::negative_zero) return {Bits(y == kNaN || y == 0 ? y : y | sign)};
        if (top == Top::number && size > 0x7f800000u) return {Bits(sign != 0 ? 0 : kNaN)};  // as ml_dtypes has it
        return {Bits(y | sign)};
    }
};

using Float16 = SmallFloat<uint16_t, 5, 10, 15, Top::ieee>;
using BFloat16 = SmallFloat<uint16_t, 8, 7, 127, Top::ieee>;
using Float8E4M3 = SmallFloat<uint8_t, 4, 3, 7, Top::all_ones>;
using Float8E4M3Z = SmallFloat<uint8_t, 4, 3, 8, Top::negative_zero>;
using Float8E5M2 = SmallFloat<uint8_t, 5, 2, 15, Top::ieee>;
using Float8E5M2Z = SmallFloat<uint8_t, 5, 2, 16, Top::negative_zero>;
using Float4E2M1 = SmallFloat<uint8_t, 2, 1, 1, Top::number>;

// A whole number of N bits in the low ones of a byte; of a larger one these bits are kept.
template <int N, bool is_signed>
struct SmallInteger {
    using Wide = int64_t;
    uint8_t bits;

    ND_FN int64_t wide() const {
        const int64_t x = bits & ((1 << N) - 1);
        return is_signed && x >= 1 << (N - 1) ? x - (1 << N) : x;
    }
    static ND_FN SmallInteger of(int64_t x) { return {uint8_t(x & ((1 << N) - 1))}; }
};

using Int4 = SmallInteger<4, true>;
using UInt4 = SmallInteger<4, false>;
using Int2 = SmallInteger<2, true>;
using UInt2 = SmallInteger<2, false>;

// What elements of a type are computed in: int64_t, uint64_t, float or double.
template <class T, class = void>
struct Computed {
    using Type = std::conditional_t<std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, uint64_t>, T, int64_t>;
};
template <class T>
struct Computed<T, std::void_t<typename T::Wide>> { using Type = typename T::Wide; };
template <class T> using Wide = typename Computed<T>::Type;
template <class T> constexpr bool is_small = std::is_class_v<T>;
template <class T> constexpr bool is_small_float = is_small<T> && std::is_same_v<Wide<T>, float>;
template <class T> constexpr bool is_real = std::is_same_v<Wide<T>, float> || std::is_same_v<Wide<T>, double>;

template <class T> ND_FN Wide<T> widened(T x) {
    if constexpr (is_small<T>) return x.wide();
    else return Wide<T>(x);
}

// A float between which and x there is none shorter: of what a double loses as a float, the last bit tells that something
// was lost, so that rounding once more, to fewer bits, is as good as rounding once.
ND_FN float to_odd(double x) {
    const float y = float(x);
    if (double(y) == x || x != x) return y;
    const bool beyond = (y < 0 ? -double(y) : double(y)) > (x < 0 ? -x : x);
    return float_of((bits_of(y) - beyond) | 1u);
}

// x, of a type that is computed in, as a To: floats towards zero, those that no int64_t holds as the smallest one;
// everything but 0 is true.
template <class To, class From> ND_FN To convert(From x) {
    constexpr bool real = std::is_same_v<From, float> || std::is_same_v<From, double>;
    if constexpr (std::is_same_v<To, bool>) return x != From(0);
    else if constexpr (is_small_float<To>) {
        if constexpr (std::is_same_v<From, float>) return To::of(x);
        else return To::of(to_odd(double(x)));
    } else if constexpr (is_small<To>) return To::of(convert<int64_t>(x));
    else if constexpr (real && std::is_same_v<To, uint64_t>)
        return x >= From(0x1p63f) && x < From(0x1p64f) ? uint64_t(x) : uint64_t(convert<int64_t>(x));
    else if constexpr (real && !is_real<To>) return To(x >= From(-0x1p63f) && x < From(0x1p63f) ? int64_t(x) : INT64_MIN);
    else return To(x);
}

// What stands for an element outside: NaN, or 0 where there is none.
template <class T> ND_FN T missing() {
    if constexpr (is_real<T>) return convert<T>(__builtin_nanf(""));
    else return T{};
}

}}  // namespace nd::ND_ISA
