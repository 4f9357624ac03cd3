#include "../fused.h"
#include "../../nd/optim.h"

namespace nd { namespace ND_ISA {
namespace {

// A step of all parameters, one after the other.
template <class Step, void (*step_of)(const Executor&, const Update&, const Step&)>
void each_step(const Executor& on, int64_t count, const Update* updates, const Step& step) {
    for (int64_t i = 0; i < count; ++i) step_of(on, updates[i], step);
}

int64_t all_squares_scratch(int64_t count, const Flat* arrays) {
    int64_t longest = 0;
    for (int64_t i = 0; i < count; ++i) longest = max(longest, squared_norm_scratch(arrays[i].count));
    return longest;
}
double all_squares(const Executor& on, int64_t count, const Flat* arrays, float* scratch) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += squared_norm(on, arrays[i].count, arrays[i].data, scratch);
    return sum;
}

}  // namespace

extern const OptimTable optim_kernels_table = {
    each_step<SgdStep, sgd_step>, each_step<MomentumStep, momentum_step>, each_step<AdamStep, adam_step>,
    all_squares_scratch, all_squares,
};

}}  // namespace nd::ND_ISA
