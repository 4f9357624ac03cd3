// Products with weights in fewer bits, as a table of plain functions.
#pragma once
#include "../nd/base.h"
#include "select.h"

namespace nd {

struct Steps;  // of direct_conv.h
using CodedLinear = void (*)(const Executor&, int64_t rows, int64_t depth, int64_t out, int64_t group, const float* x,
                             const void* codes, const float* scales, float* y, float* scratch, const Steps&);

struct CodedTable {
    CodedLinear int8, int4, bf16, fp16;
};

}  // namespace nd
ND_FAMILY(CodedTable, coded)
