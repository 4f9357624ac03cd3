// What this processor can run.
#pragma once

namespace nd {

enum class Isa { v2 = 2, v3 = 3, v4 = 4 };  // the levels x86-64-v2, -v3, -v4; other processors have the first alone

inline Isa processor_isa() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::v2;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512cd");
    return wide ? Isa::v4 : Isa::v3;
#else
    return Isa::v2;
#endif
}

}  // namespace nd
