#include <vector>
#include "../bind/fused.h"
#include "../bind/memory.h"
#include "optim.cuh"

namespace nd { namespace ND_ISA {
namespace {

void sgd_step(const Executor& on, int64_t count, const Update* updates, const SgdStep& step) {
    step_all(on, "sgd_step", count, updates, step);
}
void momentum_step(const Executor& on, int64_t count, const Update* updates, const MomentumStep& step) {
    step_all(on, "momentum_step", count, updates, step);
}
void adam_step(const Executor& on, int64_t count, const Update* updates, const AdamStep& step) {
    step_all(on, "adam_step", count, updates, step);
}

int64_t squared_norm_scratch(int64_t count, const Flat* arrays) {
    int64_t pieces = 0;
    for (int64_t i = 0; i < count; ++i) pieces += squares_of(arrays[i]);
    return pieces;
}

// Sums of one length in floats, and their sum, on the host, in doubles and in order: array by array.
double squared_norm(const Executor& on, int64_t count, const Flat* arrays, float* scratch) {
    squares(on, count, arrays, scratch);
    std::vector<float> sums(static_cast<std::size_t>(squared_norm_scratch(count, arrays)));
    copy_out(sums.data(), scratch, sizeof(float) * sums.size());
    double total = 0;
    const float* next = sums.data();
    for (int64_t i = 0; i < count; ++i) {
        double sum = 0;
        for (int64_t pieces = squares_of(arrays[i]); pieces > 0; --pieces) sum += *next++;
        total += sum;
    }
    return total;
}

}  // namespace

extern const OptimTable optim_kernels_table = {sgd_step, momentum_step, adam_step, squared_norm_scratch, squared_norm};

}}  // namespace nd::ND_ISA
