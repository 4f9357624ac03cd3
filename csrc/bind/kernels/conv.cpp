#include "../conv.h"
#include "../../nd/direct_conv.h"
#include "../../nd/winograd_conv.h"
#include "../../nd/conv_scatter.h"
#include "../../nd/winograd_gradients.h"

namespace nd { namespace ND_ISA {
namespace {

ConvShape<> shape_of(const ConvSizes& s) { return {s.height, s.width, s.in, s.out, s.kernel, s.stride, s.padding}; }

bool fast(const ConvSizes& s) { return winograd_pays(shape_of(s), s.images); }

int64_t scratch_size(const ConvSizes& s, int threads) {
    if (fast(s)) return winograd_scratch(shape_of(s), s.images, threads);
    return conv_packed_size(shape_of(s)) + conv_scratch(shape_of(s), s.images, threads);
}

void direct(const Executor& executor, const ConvSizes& s, const Map& x, const float* packed, float* y, float* scratch,
            const Steps& steps) {
    conv(executor, shape_of(s), s.images, x.p, x.strides, packed, y, scratch, steps);
}

void linear_of(const Executor& executor, int64_t rows, int64_t in, int64_t out, const float* x, const float* packed, float* y,
               const Steps& steps) {
    if (rows >= kTallRows) tall_linear(executor, rows, in, out, x, packed, y, steps);
    else linear(executor, rows, in, out, x, packed, y, steps);
}

void by_winograd(const Executor& executor, const ConvSizes& s, int64_t outputs, int64_t round, const Map& x, const float* packed,
                 float* y, float* scratch, const Steps& steps) {
    const ConvShape<> shape = shape_of(s);
    if (outputs == 2) winograd_conv<ThreeTapsForTwo>(executor, shape, round, s.images, x.p, x.strides, packed, y, scratch, steps);
    else winograd_conv<ThreeTaps>(executor, shape, round, s.images, x.p, x.strides, packed, y, scratch, steps);
}

void transposed_by_winograd(const Executor& executor, const ConvSizes& s, int64_t outputs, int64_t round, const Map& g,
                            const float* packed, float* dx, float* scratch, const Steps& steps) {
    const ConvShape<> shape = shape_of(s);
    if (outputs == 2) winograd_transposed<TwoTapsForTwo>(executor, shape, round, s.images, g.p, g.strides, packed, dx, scratch, steps);
    else winograd_transposed<TwoTaps>(executor, shape, round, s.images, g.p, g.strides, packed, dx, scratch, steps);
}

void run(const Executor& executor, const ConvSizes& s, const Map& x, const float* w, float* y, float* scratch) {
    const ConvShape<> shape = shape_of(s);
    if (fast(s)) return winograd(executor, shape, s.images, x.p, x.strides, w, y, scratch);
    conv_pack(executor, shape, w, scratch);
    direct(executor, s, x, scratch, y, scratch + conv_packed_size(shape), {});
}

int64_t input_gradient_scratch(const ConvSizes& s, int threads) {
    if (fast(s)) return winograd_input_gradient_scratch(shape_of(s), s.images, threads);
    if (scatter_pays(shape_of(s))) return Scatter(shape_of(s)).scratch(threads);
    return InputGradient(shape_of(s), s.images).scratch(threads);
}

void input_gradient(const Executor& executor, const ConvSizes& s, const Map& g, const float* w, float* dx, float* scratch) {
    if (fast(s)) return winograd_input_gradient(executor, shape_of(s), s.images, g.p, g.strides, w, dx, scratch);
    if (scatter_pays(shape_of(s))) return conv_scatter(executor, shape_of(s), s.images, g.p, g.strides, w, dx, scratch);
    conv_input_gradient(executor, shape_of(s), s.images, g.p, g.strides, w, dx, scratch);
}

void direct_input_gradient(const Executor& executor, const ConvSizes& s, const Map& g, const float* w, float* dx,
                           float* scratch) {
    conv_input_gradient(executor, shape_of(s), s.images, g.p, g.strides, w, dx, scratch);
}

void transposed(const Executor& executor, const ConvSizes& s, const Map& g, const float* packed, float* dx, float* scratch,
                const Steps& steps) {
    transposed_conv(executor, shape_of(s), s.images, g.p, g.strides, packed, dx, scratch, steps);
}

void windows(const Executor& executor, const ConvSizes& s, const float* windows, float* dx) {
    add_windows(executor, shape_of(s), s.images, windows, dx);
}

int64_t weight_gradient_scratch(const ConvSizes& s, int threads) {
    if (fast(s)) return winograd_weight_gradient_scratch(shape_of(s), s.images, threads);
    return WeightGradient(shape_of(s), s.images).scratch();
}

void weight_gradient(const Executor& executor, const ConvSizes& s, const Map& x, const Map& g, float* dw, float* scratch) {
    if (fast(s))
        return winograd_weight_gradient(executor, shape_of(s), s.images, x.p, x.strides, g.p, g.strides, dw, scratch);
    conv_weight_gradient(executor, shape_of(s), s.images, x.p, x.strides, g.p, g.strides, dw, scratch);
}

}  // namespace

extern const ConvTable conv_table = {scratch_size,           run, direct, linear_of, by_winograd, transposed_by_winograd,
                                     input_gradient_scratch, input_gradient, direct_input_gradient, transposed, windows,
                                     weight_gradient_scratch, weight_gradient};

}}  // namespace nd::ND_ISA
