// What a core does at most, as a table of plain functions.
#pragma once
#include "select.h"

namespace nd {

struct RooflineTable {
    int64_t (*multiply_adds)(int64_t rounds);
    void (*read)(const float* p, int64_t count);
};

}  // namespace nd
ND_FAMILY(RooflineTable, roofline)
