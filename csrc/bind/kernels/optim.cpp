#include "../fused.h"
#include "../../nd/optim.h"

namespace nd { namespace ND_ISA {

extern const OptimTable optim_kernels_table = {sgd_step, adam_step};

}}  // namespace nd::ND_ISA
