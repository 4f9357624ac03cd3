#include "select.h"
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace nd {
namespace {

const char* name_of(Isa level) {
    return level == Isa::v4 ? "x86-64-v4" : level == Isa::v3 ? "x86-64-v3" : "x86-64-v2";
}

bool built(Isa level) {
    static constexpr bool levels[] = {
#if defined(ND_HAS_v2)
        true,
#else
        false,
#endif
#if defined(ND_HAS_v3)
        true,
#else
        false,
#endif
#if defined(ND_HAS_v4)
        true,
#else
        false,
#endif
    };
    return levels[static_cast<int>(level) - static_cast<int>(Isa::v2)];
}

Isa choose() {
    const char* asked = std::getenv("NEEDLE_ISA");
    const Isa most = processor_isa();
    Isa found = Isa(0);
    for (Isa level : {Isa::v4, Isa::v3, Isa::v2}) {
        if (level > most || !built(level)) continue;
        found = level;
        const bool lower = asked && *asked && std::strcmp(asked, name_of(level) + std::strlen("x86-64-")) < 0;  // "v2" < "v3"
        if (!lower) break;
    }
    if (found == Isa(0))
        throw std::runtime_error(std::string("[needle] the extension was built for a newer processor than this ") +
                                 name_of(most) + ": build it here, or with NEEDLE_VARIANTS=all");
    return found;
}

}  // namespace

Isa isa() {
    static const Isa chosen = choose();
    return chosen;
}

const char* isa_name() {
#if defined(ND_X86_VARIANTS)
    return name_of(isa());
#else
    return "native";
#endif
}

}  // namespace nd
