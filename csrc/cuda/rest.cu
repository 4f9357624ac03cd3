#include "absent.h"
#include "../bind/conv.h"
#include "../bind/depthwise.h"
#include "../bind/fused.h"
#include "../bind/pooling.h"
namespace nd { namespace ND_ISA {
namespace {
ND_ABSENT(softmax) ND_ABSENT(norm) ND_ABSENT(groups) ND_ABSENT(sequence) ND_ABSENT(cache) ND_ABSENT(gather) ND_ABSENT(optim) ND_ABSENT(conv) ND_ABSENT(pool)
}
extern const SoftmaxTable softmax_kernels_table = {no_softmax,no_softmax,no_softmax,no_softmax,no_softmax,no_softmax,no_softmax,no_softmax,no_softmax,no_softmax};
extern const NormTable norm_kernels_table = {no_norm,no_norm,no_norm,no_norm,no_norm,no_norm,no_norm,no_norm};
extern const GroupNormTable group_norm_kernels_table = {no_groups,no_groups,no_groups,no_groups,no_groups,no_groups};
extern const SequenceTable sequence_kernels_table = {no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence,no_sequence};
extern const CacheTable cache_kernels_table = {no_cache,no_cache,no_cache,no_cache,no_cache,no_cache,no_cache};
extern const GatherTable gather_kernels_table = {no_gather,no_gather,no_gather,no_gather,no_gather};
extern const OptimTable optim_kernels_table = {no_optim,no_optim,no_optim,no_optim,no_optim};
extern const ConvTable conv_table = {no_conv,no_conv,no_conv,no_conv,no_conv,no_conv,no_conv,no_conv,no_conv,no_conv,no_conv};
extern const GroupedConvTable grouped_conv_table = {no_conv,no_conv,no_conv,no_conv,no_conv,no_conv,no_conv};
extern const DepthwiseTable depthwise_table = {no_conv,no_conv,no_conv,no_conv,no_conv};
extern const PoolingTable pooling_table = {no_pool,no_pool,no_pool};
}}
