#include "../fused.h"
#include "../../nd/moments.h"
#include "../../nd/norm.h"

namespace nd { namespace ND_ISA {

extern const NormTable norm_kernels_table = {
    norm_scratch,
    batch_norm<int64_t, int64_t>, batch_norm_inference<int64_t, int64_t>, batch_norm_gradient<int64_t, int64_t>,
    layer_norm<int64_t, int64_t>, layer_norm_gradient<int64_t, int64_t>, mean<int64_t, int64_t>, variance<int64_t, int64_t>,
};

}}  // namespace nd::ND_ISA
