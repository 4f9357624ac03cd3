#include "../fused.h"
#include "../../nd/softmax.h"

namespace nd { namespace ND_ISA {
namespace {

void mean_loss(const Executor&, int64_t rows, const float* losses, float divisor, float* loss) {
    *loss = total_loss(rows, losses, divisor);
}

}  // namespace

extern const SoftmaxTable softmax_kernels_table = {
    softmax<int64_t, int64_t>, logsoftmax<int64_t, int64_t>, logsumexp<int64_t, int64_t>,
    softmax_gradient<int64_t, int64_t>, logsoftmax_gradient<int64_t, int64_t>,
    first_bad_label, counted, cross_entropy<int64_t, int64_t>, mean_loss, cross_entropy_gradient<int64_t, int64_t>,
};

}}  // namespace nd::ND_ISA
