#include "../bind/fused.h"
#include "answer.h"
#include "gather.cuh"
#include "stream.h"

namespace nd { namespace ND_ISA {
namespace {

int64_t first_bad_place(int64_t count, const float* ids, int64_t n) {
    return first_of(the_device(), "first_bad_place", count, BadPlace{ids, -n, n});
}

}  // namespace

extern const GatherTable gather_kernels_table = {first_bad_place, take, take_gradient, gather, gather_gradient};

}}  // namespace nd::ND_ISA
