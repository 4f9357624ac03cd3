#include "../fused.h"
#include "../../nd/cached_attention.h"

namespace nd { namespace ND_ISA {

extern const CacheTable cache_kernels_table = {
    positions<int64_t, int64_t, float>, positions<int64_t, int64_t, int32_t>,
    cache_write<int64_t, int64_t, int64_t, int64_t, int64_t, float>, cache_write<int64_t, int64_t, int64_t, int64_t, int64_t, int32_t>,
    cached_attention_scratch, cached_attention<float>, cached_attention<int32_t>,
};

}}  // namespace nd::ND_ISA
