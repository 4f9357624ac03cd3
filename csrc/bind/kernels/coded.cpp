#include "../coded.h"
#include "../../nd/coded_linear.h"

namespace nd { namespace ND_ISA {

extern const CodedTable coded_table = {coded_linear<Int8Codes>, coded_linear<Int4Codes>, coded_linear<Bf16Codes>, coded_linear<Fp16Codes>};

}}  // namespace nd::ND_ISA
