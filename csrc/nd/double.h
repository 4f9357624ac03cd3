// What functors (scalar.h) ask of doubles and of whole numbers without sign: the C library's functions under the names of
// math.h, which computes floats.
#pragma once
#include "math.h"

namespace nd { namespace ND_ISA {

ND_FN double exp(double x) { return std::exp(x); }
ND_FN double log(double x) { return std::log(x); }
ND_FN double tanh(double x) { return std::tanh(x); }
ND_FN double erf(double x) { return std::erf(x); }
ND_FN double pow(double x, double y) { return std::pow(x, y); }
ND_FN double square_root(double x) { return std::sqrt(x); }
ND_FN double magnitude(double x) { return std::fabs(x); }
ND_FN double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
ND_FN double bell(double x) { return std::exp(-0.5 * x * x); }
ND_FN double normal_cdf(double x, double) { return 0.5 * std::erfc(-0.70710678118654752440 * x); }
ND_FN double log1p_exp(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
ND_FN uint64_t magnitude(uint64_t x) { return x; }

}}  // namespace nd::ND_ISA
