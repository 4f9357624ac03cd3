// What the kernels' tests share: a check that counts failures, and reproducible random floats.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

inline int failures = 0;

#define CHECK(condition, ...)                                                      \
    do {                                                                           \
        if (!(condition) && ++failures <= 20) {                                    \
            std::printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);            \
            std::printf("" __VA_ARGS__);                                           \
            std::printf("\n");                                                     \
        }                                                                          \
    } while (0)

inline int finish(const char* name) {
    std::printf("%s: %s\n", name, failures == 0 ? "ok" : "FAILED");
    return failures == 0 ? 0 : 1;
}

inline uint32_t random_bits() {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 32);
}

inline float uniform() { return static_cast<float>(random_bits()) * (2.0f / 4294967296.0f) - 1.0f; }  // [-1, 1]

inline std::vector<float> random_floats(int64_t count) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& value : x) value = uniform();
    return x;
}

inline float float_of(uint32_t bits) { float x; std::memcpy(&x, &bits, 4); return x; }
inline uint32_t bits_of(float x) { uint32_t bits; std::memcpy(&bits, &x, 4); return bits; }
inline bool same_bits(float a, float b) { return bits_of(a) == bits_of(b) || (a != a && b != b); }
