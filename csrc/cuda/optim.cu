#include <vector>
#include "../bind/fused.h"
#include "../bind/memory.h"
#include "optim.cuh"

namespace nd { namespace ND_ISA {
namespace {

void sgd_step(const Executor& on, int64_t count, const float* param, float* out, const float* grad, float* velocity, float lr,
              float keep, float take, float decay) {
    each(on, "sgd_step", count, SgdStep{param, grad, out, velocity, lr, keep, take, decay});
}
void momentum_step(const Executor& on, int64_t count, const float* param, float* out, const float* grad, float* velocity, float lr,
                   float momentum, float decay, bool nesterov) {
    each(on, "momentum_step", count, MomentumStep{param, grad, out, velocity, lr, momentum, decay, nesterov});
}
void adam_step(const Executor& on, int64_t count, const float* param, float* out, const float* grad, float* m, float* v,
               const AdamStep& step) {
    each(on, "adam_step", count, AdamUpdate{param, grad, out, m, v, step});
}

int64_t squared_norm_scratch(int64_t count) { return ceil_div(count, kSquares); }

// Sums of one length in floats, and their sum, on the host, in doubles and in order.
double squared_norm(const Executor& on, int64_t count, const float* x, float* scratch) {
    const int64_t blocks = squared_norm_scratch(count);
    each_row(on, "squared_norm", blocks, kSquares, SquaresRow{x, scratch, count});
    std::vector<float> sums(static_cast<std::size_t>(blocks));
    copy_out(sums.data(), scratch, sizeof(float) * sums.size());
    double sum = 0;
    for (const float each : sums) sum += each;
    return sum;
}

}  // namespace

extern const OptimTable optim_kernels_table = {sgd_step, momentum_step, adam_step, squared_norm_scratch, squared_norm};

}}  // namespace nd::ND_ISA
