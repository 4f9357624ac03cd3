#include "../roofline.h"
#include "../../nd/simd.h"

namespace nd { namespace ND_ISA {
namespace {

// Makes the compiler compute v.
ND_INLINE void keep(const Vec& v) { asm volatile("" : : "m"(v) : "memory"); }

int64_t multiply_adds(int64_t rounds) {
    constexpr int kChains = 12;  // more than the latency of the multiply-add, and they fit 16 registers
    Vec chain[kChains];
    for (int i = 0; i < kChains; ++i) chain[i] = splat(float(i));
    const Vec a = splat(0.5f), b = splat(1.0f);
    for (int64_t n = 0; n < rounds; ++n)
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], a, b);
    for (int i = 0; i < kChains; ++i) keep(chain[i]);
    return rounds * kChains * kLanes;
}

void read(const float* p, int64_t count) {
    constexpr int kSums = 4;
    Vec sum[kSums] = {};
    for (int64_t i = 0; i + kSums * kLanes <= count; i += kSums * kLanes)
#pragma GCC unroll 4
        for (int j = 0; j < kSums; ++j) sum[j] += load(p + i + j * kLanes);
    for (int j = 0; j < kSums; ++j) keep(sum[j]);
}

}  // namespace

extern const RooflineTable roofline_table = {multiply_adds, read};

}}  // namespace nd::ND_ISA
