#include "../bind/fused.h"
#include "answer.h"
#include "softmax.cuh"
#include "stream.h"

namespace nd { namespace ND_ISA {
namespace {

struct BadLabel {
    Labels labels;
    int64_t cols;
    __device__ bool operator()(int64_t row) const {
        const float label = labels.at[row];
        const bool whole = label >= 0 && static_cast<double>(label) < static_cast<double>(cols) && truncate(label) == label;
        return !whole && label != labels.ignored;
    }
};
struct Counts {
    Labels labels;
    __device__ bool operator()(int64_t row) const { return labels.at[row] != labels.ignored; }
};

int64_t first_bad_label(int64_t rows, int64_t cols, const Labels& labels) {
    return first_of(the_device(), "first_bad_label", rows, BadLabel{labels, cols});
}
int64_t counted(int64_t rows, const Labels& labels) { return count_of(the_device(), "counted", rows, Counts{labels}); }

void cross_entropy(const Executor& on, int64_t rows, int64_t cols, const float* x, const Labels& labels, float* losses) {
    each_row(on, "cross_entropy", rows, cols, CrossEntropyRow{x, labels, losses});
}
void mean_loss(const Executor& on, int64_t rows, const float* losses, float divisor, float* loss) {
    launch(on, "mean_loss", mean_loss_kernel<kThreads>, dim3(1), kThreads, rows, losses, divisor, loss);
}
void cross_entropy_gradient(const Executor& on, int64_t rows, int64_t cols, const float* g, int64_t step, float divisor,
                            const float* x, const Labels& labels, float* dx) {
    each_row(on, "cross_entropy_gradient", rows, cols,
             CrossEntropyGradientRow{g, step, x, labels, dx, static_cast<int64_t>(divisor)});
}

}  // namespace

extern const SoftmaxTable softmax_kernels_table = {
    softmax, logsoftmax, logsumexp, softmax_gradient, logsoftmax_gradient, first_bad_label, counted, cross_entropy, mean_loss,
    cross_entropy_gradient,
};

}}  // namespace nd::ND_ISA
