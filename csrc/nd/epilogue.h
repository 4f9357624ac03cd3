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

// An activation of n floats.
template <class F>
ND_INLINE void activate(int64_t n, float* p, F&& f) {
    each_vector(n, [&](int64_t i, auto count) { store_some(p + i, f(load_some(p + i, count)), count); });
}
inline ND_NOINLINE void activate(Step::Kind kind, int64_t n, float* p) {
    if (kind == Step::relu) activate(n, p, Relu{});
    else if (kind == Step::relu6) activate(n, p, Clip{0, 6});
    else if (kind == Step::silu) activate(n, p, Silu{});
    else if (kind == Step::hard_sigmoid) activate(n, p, [](Vec x) { return hard_sigmoid(x); });
    else activate(n, p, [](Vec x) { return x * hard_sigmoid(x); });
}

// The steps behind some pixels of compact maps that are stored already, from element `offset` of y on.
inline void finish_pixels(const Steps& steps, int64_t pixels, int64_t channels, float* y, int64_t offset) {
    float* p = y + offset;
    for (int64_t s = 0; s < steps.count; ++s) {
        const Step& step = steps.step[s];
        if (step.kind == Step::bias)
            for (int64_t i = 0; i < pixels; ++i)
                each_vector(channels, [&](int64_t c, auto count) {
                    float* to = p + i * channels + c;
                    store_some(to, load_some(to, count) + load_some(step.with + c, count), count);
                });
        else if (step.kind == Step::add)
            each_vector(pixels * channels, [&](int64_t i, auto count) {
                store_some(p + i, load_some(p + i, count) + load_some(step.with + offset + i, count), count);
            });
        else activate(step.kind, pixels * channels, p);
    }
}

}}  // namespace nd::ND_ISA
