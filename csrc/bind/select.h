// Every kernel family is compiled once per instruction set and chosen once, when it is first used.
#pragma once
#include "../nd/base.h"

namespace nd {

enum class Isa { v2 = 2, v3 = 3, v4 = 4 };  // the levels x86-64-v2, -v3, -v4; other processors build only the first

Isa isa();                // the best that this processor and this build have; NEEDLE_ISA=v2|v3|v4 asks for less
const char* isa_name();

}  // namespace nd

// ND_FAMILY(GemmTable, gemm): declares nd::gemm(), the table of function pointers for this processor. The file
// csrc/bind/kernels/gemm.cpp defines it: namespace nd::ND_ISA { extern const GemmTable gemm_table = {...}; }
#if defined(ND_X86_VARIANTS)
#define ND_FAMILY(Table, name)                                                             \
    namespace nd {                                                                         \
    namespace v2 { extern const Table name##_table; }                                      \
    namespace v3 { extern const Table name##_table; }                                      \
    namespace v4 { extern const Table name##_table; }                                      \
    inline const Table& name() {                                                           \
        return isa() == Isa::v4 ? v4::name##_table : isa() == Isa::v3 ? v3::name##_table : v2::name##_table; \
    }                                                                                      \
    }
#else
#define ND_FAMILY(Table, name)                               \
    namespace nd {                                           \
    namespace v2 { extern const Table name##_table; }        \
    inline const Table& name() { return v2::name##_table; }  \
    }
#endif
