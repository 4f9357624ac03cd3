#include "../depthwise.h"
#include "../../nd/depthwise_weight.h"

namespace nd { namespace ND_ISA {

extern const DepthwiseTable depthwise_table = {
    depthwise_scratch, depthwise, depthwise_input_gradient, depthwise_weight_scratch, depthwise_weight_gradient,
};

}}  // namespace nd::ND_ISA
