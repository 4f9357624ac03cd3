// What finishes each value of a product before it is stored: a bias, another tensor, activations.
#pragma once
#include "arguments.h"
#include "rows.h"
#include "scalar.h"

namespace nd { namespace ND_ISA {

// Steps: a bias (zero-padded to whole blocks of 16), another tensor laid out like the output, a function of scalar.h.
struct Bias {
    const float* bias;
    ND_INLINE Vec operator()(Vec v, int64_t, int64_t column, int64_t) const { return v + load(bias + column); }
};
struct Residual {
    const float* other;
    ND_INLINE Vec operator()(Vec v, int64_t offset, int64_t, int64_t count) const {
        return v + (count == kLanes ? load(other + offset) : load_first(other + offset, count));
    }
};
template <class F>
struct Apply {
    F f;
    ND_INLINE Vec operator()(Vec v, int64_t, int64_t, int64_t) const { return f(v); }
};
template <Step::Kind kind> struct Activation {};

ND_INLINE Step step_of(const Bias& b) { return {Step::bias, b.bias}; }
ND_INLINE Step step_of(const Residual& r) { return {Step::add, r.other}; }
ND_INLINE Step step_of(const Apply<Relu>&) { return {Step::relu, nullptr}; }
template <Step::Kind kind> ND_INLINE Step step_of(const Activation<kind>&) { return {kind, nullptr}; }

// then(Bias{b}, Residual{r}, Apply<Relu>{}): one after the other.
template <class... Parts>
ND_INLINE Steps then(const Parts&... parts) {
    static_assert(sizeof...(parts) <= Steps::most);
    Steps steps;
    ((steps.step[steps.count++] = step_of(parts)), ...);
    return steps;
}

ND_INLINE Vec hard_sigmoid(Vec x) { return Clip{0, 1}(x * (1.0f / 6) + 0.5f); }

// Calls f with the function of an activation.
template <class F>
ND_INLINE void with_activation(Step::Kind kind, F&& f) {
    if (kind == Step::relu) f(Relu{});
    else if (kind == Step::relu6) f(Clip{0, 6});
    else if (kind == Step::silu) f(Silu{});
    else if (kind == Step::hard_sigmoid) f([](Vec x) { return hard_sigmoid(x); });
    else f([](Vec x) { return x * hard_sigmoid(x); });
}

// An activation of n floats.
inline ND_NOINLINE void activate(Step::Kind kind, int64_t n, float* p) {
    with_activation(kind, [&](auto f) {
        each_vector(n, [&](int64_t i, auto count) { store_some(p + i, f(load_some(p + i, count)), count); });
    });
}

// The steps behind some pixels of compact maps that are stored already, from element `offset` of y on: a bias, another
// tensor and an activation that follow each other are one pass.
inline ND_NOINLINE void finish_pixels(const Steps& steps, int64_t pixels, int64_t channels, float* y, int64_t offset) {
    for (int64_t s = 0; s < steps.count;) {
        const auto operand = [&](Step::Kind kind) {
            return s < steps.count && steps.step[s].kind == kind ? steps.step[s++].with : nullptr;
        };
        const float *bias = operand(Step::bias), *other = operand(Step::add);
        const auto pass = [&](auto f) {
            for (int64_t i = 0; i < pixels; ++i)
                each_vector(channels, [&](int64_t c, auto count) {
                    const int64_t at = offset + i * channels + c;
                    Vec v = load_some(y + at, count);
                    if (bias) v = v + load_some(bias + c, count);
                    if (other) v = v + load_some(other + at, count);
                    store_some(y + at, f(v), count);
                });
        };
        if (s < steps.count && !Step::reads(steps.step[s].kind)) with_activation(steps.step[s++].kind, pass);
        else pass([](Vec v) { return v; });
    }
}

}}  // namespace nd::ND_ISA
