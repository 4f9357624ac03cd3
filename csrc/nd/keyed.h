// Random numbers that are functions of a key: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", 2014), one stream for each sample.
#pragma once
#include "base.h"

namespace nd { namespace ND_ISA {

constexpr uint64_t kGamma = 0x9e3779b97f4a7c15u;  // the odd number next to 2^64 / golden ratio

// SplitMix64's output function: a bijection of 64 bits in which every bit of z reaches every bit.
ND_FN uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// The key that follows from `key` and one word more.
ND_FN uint64_t keyed_by(uint64_t key, uint64_t word) { return mixed(key + word * kGamma); }

// Number i, in [0, 1) with 24 bits, of a stream: what a double holds of it, rounded down.
ND_FN float keyed_float(uint64_t state, int64_t i) { return float(mixed(state + uint64_t(i + 1) * kGamma) >> 40) * 0x1p-24f; }

// u[i, j] = number j, in [0, 1), of the stream that starts from (key, samples[i]), for i < n and j < count.
inline void keyed_uniform(uint64_t key, const int64_t* samples, int64_t n, int64_t count, double* u) {
    for (int64_t i = 0; i < n; ++i) {
        const uint64_t state = keyed_by(key, uint64_t(samples[i]));
        for (int64_t j = 0; j < count; ++j) u[i * count + j] = double(mixed(state + uint64_t(j + 1) * kGamma) >> 11) * 0x1p-53;
    }
}

}}  // namespace nd::ND_ISA
