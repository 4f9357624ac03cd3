#include "../conv.h"
#include "../../nd/grouped_conv.h"

namespace nd { namespace ND_ISA {
namespace {

GroupedConv plan_of(const ConvSizes& s, int64_t groups, bool back = false) {
    return {{s.height, s.width, s.in, s.out, s.kernel, s.stride, s.padding}, s.images, groups, back};
}

int64_t scratch_size(const ConvSizes& s, int64_t groups, int threads) { return grouped_conv_scratch(plan_of(s, groups), threads); }

void finished(const Executor& executor, const ConvSizes& s, int64_t groups, const Map& x, const float* w, float* y, float* scratch,
              const Steps& steps) {
    grouped_conv(executor, plan_of(s, groups), x.p, x.strides, w, y, scratch, steps);
}

void run(const Executor& executor, const ConvSizes& s, int64_t groups, const Map& x, const float* w, float* y, float* scratch) {
    finished(executor, s, groups, x, w, y, scratch, Steps{});
}

int64_t input_gradient_scratch(const ConvSizes& s, int64_t groups, int threads) {
    return grouped_input_gradient_scratch(plan_of(s, groups, true), threads);
}

void input_gradient(const Executor& executor, const ConvSizes& s, int64_t groups, const Map& g, const float* w, float* dx,
                    float* scratch) {
    grouped_input_gradient(executor, plan_of(s, groups, true), g.p, g.strides, w, dx, scratch);
}

int64_t weight_gradient_scratch(const ConvSizes& s, int64_t groups, int threads) {
    return grouped_weight_gradient_scratch(plan_of(s, groups), threads);
}

void weight_gradient(const Executor& executor, const ConvSizes& s, int64_t groups, const Map& x, const Map& g, float* dw,
                     float* scratch) {
    grouped_weight_gradient(executor, plan_of(s, groups), x.p, x.strides, g.p, g.strides, dw, scratch);
}

}  // namespace

extern const GroupedConvTable grouped_conv_table = {scratch_size,           run,
                                                    finished,
                                                    input_gradient_scratch, input_gradient,
                                                    weight_gradient_scratch, weight_gradient};

}}  // namespace nd::ND_ISA
