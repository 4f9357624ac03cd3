#include "../bind/fused.h"
#include "norm.cuh"

namespace nd { namespace ND_ISA {

extern const NormTable norm_kernels_table = {
    norm_scratch, batch_norm, batch_norm_inference, batch_norm_gradient, layer_norm, layer_norm_gradient, mean, variance,
};
extern const GroupNormTable group_norm_kernels_table = {
    group_norm_scratch, group_norm, group_norm_gradient, rms_norm, norm_scratch, rms_norm_gradient,
};

}}  // namespace nd::ND_ISA
