// Every kernel family is compiled once per instruction set and chosen once, when it is first used.
#pragma once
#include "../nd/base.h"
#include "processor.h"

namespace nd {

// The best that this processor and this build have; NEEDLE_ISA=v2|v3|v4 asks for at most that level, or the least that was
// built. Throws std::runtime_error where the build has nothing that this processor runs.
Isa isa();
const char* isa_name();

}  // namespace nd

#if defined(ND_DEVICE)
// The extension of a device: its kernels (csrc/cuda) are the one set there is.
#define ND_FAMILY(Table, name)                                 \
    namespace nd {                                             \
    namespace ND_DEVICE { extern const Table name##_table; }   \
    inline const Table& name() { return ND_DEVICE::name##_table; } \
    }
#else
// Where a table was not compiled for a level (CMakeLists.txt: NEEDLE_VARIANTS), its place is empty.
#if defined(ND_HAS_v2)
#define ND_V2(name) &v2::name##_table
#else
#define ND_V2(name) nullptr
#endif
#if defined(ND_HAS_v3)
#define ND_V3(name) &v3::name##_table
#else
#define ND_V3(name) nullptr
#endif
#if defined(ND_HAS_v4)
#define ND_V4(name) &v4::name##_table
#else
#define ND_V4(name) nullptr
#endif

// ND_FAMILY(GemmTable, gemm): declares nd::gemm(), the table of function pointers for this processor. The file
// csrc/bind/kernels/gemm.cpp defines it: namespace nd::ND_ISA { extern const GemmTable gemm_table = {...}; }
#define ND_FAMILY(Table, name)                                                                   \
    namespace nd {                                                                               \
    namespace v2 { extern const Table name##_table; }                                            \
    namespace v3 { extern const Table name##_table; }                                            \
    namespace v4 { extern const Table name##_table; }                                            \
    inline const Table& name() {                                                                 \
        static constexpr const Table* tables[] = {ND_V2(name), ND_V3(name), ND_V4(name)};        \
        return *tables[static_cast<int>(isa()) - static_cast<int>(Isa::v2)];                     \
    }                                                                                            \
    }
#endif
