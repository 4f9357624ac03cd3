#include "../fused.h"
#include "../../nd/gather.h"

namespace nd { namespace ND_ISA {

extern const GatherTable gather_kernels_table = {first_bad_place, take, take_gradient, gather, gather_gradient};

}}  // namespace nd::ND_ISA
