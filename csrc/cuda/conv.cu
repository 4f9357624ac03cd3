#include "../bind/conv.h"
#include "absent.h"
#include "conv.cuh"
#include "pointwise.cuh"

namespace nd { namespace ND_ISA {
namespace {

int64_t none(const ConvSizes&, int) { return 0; }
int64_t none(const ConvSizes&, int64_t, int) { return 0; }

void grouped(const Executor& on, const ConvSizes& s, int64_t groups, const Map& x, const float* w, float* y, float*) {
    const ConvPlan plan(s, groups);
    if (s.in == 0) return fill(on, plan.outputs() * s.out, 0.0f, y);
    conv_forward(on, plan, x, w, y);
}
void grouped_input_gradient(const Executor& on, const ConvSizes& s, int64_t groups, const Map& g, const float* w, float* dx, float*) {
    const ConvPlan plan(s, groups);
    if (s.out == 0) return fill(on, plan.inputs() * s.in, 0.0f, dx);
    conv_input_gradient(on, plan, g, w, dx);
}
int64_t grouped_weight_scratch(const ConvSizes& s, int64_t groups, int) { return weight_gradient_scratch(ConvPlan(s, groups)); }
void grouped_weight_gradient(const Executor& on, const ConvSizes& s, int64_t groups, const Map& x, const Map& g, float* dw, float* scratch) {
    const ConvPlan plan(s, groups);
    if (plan.outputs() == 0) return fill(on, plan.taps() * plan.in * s.out, 0.0f, dw);
    conv_weight_gradient(on, plan, x, g, dw, scratch);
}

void plain(const Executor& on, const ConvSizes& s, const Map& x, const float* w, float* y, float* scratch) {
    grouped(on, s, 1, x, w, y, scratch);
}
void plain_input_gradient(const Executor& on, const ConvSizes& s, const Map& g, const float* w, float* dx, float* scratch) {
    grouped_input_gradient(on, s, 1, g, w, dx, scratch);
}
int64_t plain_weight_scratch(const ConvSizes& s, int) { return weight_gradient_scratch(ConvPlan(s, 1)); }
void plain_weight_gradient(const Executor& on, const ConvSizes& s, const Map& x, const Map& g, float* dw, float* scratch) {
    grouped_weight_gradient(on, s, 1, x, g, dw, scratch);
}

ND_ABSENT(program_conv)

}  // namespace

extern const ConvTable conv_table = {
    none, plain, no_program_conv, no_program_conv, no_program_conv, no_program_conv,
    none, plain_input_gradient, no_program_conv, no_program_conv, no_program_conv,
    plain_weight_scratch, plain_weight_gradient,
};
extern const GroupedConvTable grouped_conv_table = {
    none, grouped, no_program_conv,
    none, grouped_input_gradient,
    grouped_weight_scratch, grouped_weight_gradient,
};

}}  // namespace nd::ND_ISA
