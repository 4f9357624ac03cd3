#include "../fused.h"
#include "../../nd/optim.h"

namespace nd { namespace ND_ISA {

extern const OptimTable optim_kernels_table = {sgd_step, momentum_step, adam_step, squared_norm_scratch, squared_norm};

}}  // namespace nd::ND_ISA
