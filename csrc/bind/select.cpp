#include "select.h"
#include <cstdlib>
#include <cstring>

namespace nd {
namespace {

Isa detect() {
#if defined(ND_X86_VARIANTS)
    __builtin_cpu_init();
    Isa best = Isa::v2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::v3;
    if (best == Isa::v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
        best = Isa::v4;
    if (const char* asked = std::getenv("NEEDLE_ISA")) {
        if (std::strcmp(asked, "v2") == 0) return Isa::v2;
        if (std::strcmp(asked, "v3") == 0 && best >= Isa::v3) return Isa::v3;
    }
    return best;
#else
    return Isa::v2;
#endif
}

}  // namespace

Isa isa() {
    static const Isa chosen = detect();
    return chosen;
}

const char* isa_name() {
#if defined(ND_X86_VARIANTS)
    return isa() == Isa::v4 ? "x86-64-v4" : isa() == Isa::v3 ? "x86-64-v3" : "x86-64-v2";
#else
    return "native";
#endif
}

}  // namespace nd
