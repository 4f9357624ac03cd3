// The tensor cores of the emulated device (simt.h): what mma.sync means. The fragments of a warp are put together into matrices by
// the PTX ISA's layout, and multiplied.
#pragma once
#include <cmath>
#include "simt.h"

namespace simt {

inline uint32_t bits_of(float x) { uint32_t bits; std::memcpy(&bits, &x, sizeof bits); return bits; }
inline float float_of(uint32_t bits) { float x; std::memcpy(&x, &bits, sizeof x); return x; }

// The first number of the device's compute capability, which a test may lower.
inline int capability() {
    const char* asked = std::getenv("SIMT_CAPABILITY");
    return asked != nullptr ? std::atoi(asked) : 8;
}

// cvt.rna.tf32.f32: ten bits of the fraction are kept; to the nearest, ties away from zero.
inline uint32_t to_tf32(float x) { return (bits_of(x) + (std::isfinite(x) ? 0x1000u : 0u)) & 0xffffe000u; }

// cvt.rn.bf16x2.f32: seven bits are kept; to the nearest, ties to even. The first in the lower half.
inline uint32_t to_bf16_pair(float first, float second) {
    const auto rounded = [](float x) { return std::isnan(x) ? 0x7fffu : (bits_of(x) + 0x7fffu + (bits_of(x) >> 16 & 1u)) >> 16; };
    return rounded(first) | rounded(second) << 16;
}

// mma.sync.m16n8k(8 Each): c += a b. `element(word, e)` is element e of the Each in a word.
template <int Each, class Element>
void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Element element) {
    static uint32_t shown[kMostThreads][6];  // the fragments of A and of B, by thread
    Device& d = device();
    if (d.threads % warpSize != 0) fail("mma by a warp that is not whole");
    const unsigned mine = threadIdx.x, lane = mine % warpSize;
    std::memcpy(shown[mine], a, sizeof a);
    std::memcpy(shown[mine] + 4, b, sizeof b);
    d.wait(Device::in_warp);
    const uint32_t(*warp)[6] = shown + (mine - lane);
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (unsigned k = 0; k < 8 * Each; ++k) {
            const unsigned word = k / Each;
            const float x = element(warp[row % 8 * 4 + word % 4][row / 8 + word / 4 * 2], k % Each);
            const float y = element(warp[column * 4 + word % 4][4 + word / 4], k % Each);
            c[i] = std::fma(x, y, c[i]);
        }
    }
    d.wait(Device::in_warp);
}
inline void mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma<1>(c, a, b, [](uint32_t word, unsigned) { return float_of(word & 0xffffe000u); });
}
inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma<2>(c, a, b, [](uint32_t word, unsigned e) { return float_of(e == 0 ? word << 16 : word & 0xffff0000u); });
}

}  // namespace simt
