// What TF32 and bfloat16 make of a float, by arithmetic instead of its bits.
#pragma once
#include <cmath>
#include "../../csrc/cuda/precision.h"

inline double rounded(nd::Precision precision, double x) {
    if (precision == nd::Precision::highest || x == 0 || !std::isfinite(x)) return x;
    int exponent = 0;
    const double fraction = std::frexp(x, &exponent);  // 1/2 .. 1
    if (precision == nd::Precision::medium) return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);  // ties to even
    return std::ldexp(std::round(std::ldexp(fraction, 11)), exponent - 11);  // ties away from 0
}
