#include "../fused.h"
#include "../../nd/group_norm.h"
#include "../../nd/rms_norm.h"

namespace nd { namespace ND_ISA {

extern const GroupNormTable group_norm_kernels_table = {
    group_norm_scratch, group_norm, group_norm_gradient,
    rms_norm<int64_t, int64_t>, norm_scratch, rms_norm_gradient<int64_t, int64_t>,
};

}}  // namespace nd::ND_ISA
