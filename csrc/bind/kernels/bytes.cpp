#include "../bytes.h"
#include "../../nd/byte_conv.h"

namespace nd { namespace ND_ISA {

extern const BytesTable bytes_table = {quantize, dequantize, byte_table, byte_max_pool, byte_conv<uint8_t>, byte_conv<float>};

}}  // namespace nd::ND_ISA
