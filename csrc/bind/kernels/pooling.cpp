#include "../pooling.h"
#include "../../nd/pooling.h"

namespace nd { namespace ND_ISA {

extern const PoolingTable pooling_table = {resample, max_pool, max_pool_gradient};

}}  // namespace nd::ND_ISA
