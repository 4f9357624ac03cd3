// exp, log, tanh, sigmoid, erf.
#pragma once
#include "simd.h"

namespace nd { namespace ND_ISA {

ND_INLINE float exp(float x) { return std::exp(x); }
ND_INLINE float log(float x) { return std::log(x); }
ND_INLINE float tanh(float x) { return std::tanh(x); }
ND_INLINE float erf(float x) { return std::erf(x); }
ND_INLINE float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }
ND_INLINE float pow(float x, float y) { return std::pow(x, y); }
#define ND_EACH(name) ND_INLINE Vec name(Vec x) { for (int i = 0; i < kLanes; ++i) x[i] = name(x[i]); return x; }
ND_EACH(exp) ND_EACH(log) ND_EACH(tanh) ND_EACH(erf) ND_EACH(sigmoid)
#undef ND_EACH
ND_INLINE Vec pow(Vec x, Vec y) { for (int i = 0; i < kLanes; ++i) x[i] = pow(x[i], y[i]); return x; }

}}  // namespace nd::ND_ISA
