// What finishes each value of a product before it is stored: the steps of csrc/nd/epilogue.h, by the same names.
#pragma once
#include "../nd/arguments.h"
#include "../nd/scalar.h"
#include "launch.h"

namespace nd { namespace ND_ISA {

struct Keep {};
struct Bias {
    const float* bias;
};
struct Residual {
    const float* other;
};
template <class F>
struct Apply {
    F f;
};
template <Step::Kind kind> struct Activation {};

inline Step step_of(const Bias& b) { return {Step::bias, b.bias}; }
inline Step step_of(const Residual& r) { return {Step::add, r.other}; }
inline Step step_of(const Apply<Relu>&) { return {Step::relu, nullptr}; }
template <Step::Kind kind> Step step_of(const Activation<kind>&) { return {kind, nullptr}; }

// then(Bias{b}, Residual{r}, Apply<Relu>{}): one after the other.
template <class... Parts>
Steps then(const Parts&... parts) {
    static_assert(sizeof...(parts) <= Steps::most);
    Steps steps{};
    ((steps.step[steps.count++] = step_of(parts)), ...);
    return steps;
}
inline Steps steps_of(const Steps& given) {
    Steps steps{};
    for (int64_t s = 0; s < given.count; ++s) steps.step[steps.count++] = given.step[s];
    return steps;
}
inline Steps steps_of(const Keep&) { return Steps{}; }

ND_FN float hard_sigmoid(float x) { return Clip{0, 1}(x * (1.0f / 6) + 0.5f); }

// The value in `column` of a row, at `offset` of the result.
ND_FN float finished(const Steps& steps, float value, int64_t offset, int64_t column) {
    for (int64_t s = 0; s < steps.count; ++s) {
        const Step& step = steps.step[s];
        switch (step.kind) {
            case Step::bias: value = value + step.with[column]; break;
            case Step::add: value = value + step.with[offset]; break;
            case Step::relu: value = Relu{}(value); break;
            case Step::relu6: value = Clip{0, 6}(value); break;
            case Step::silu: value = Silu{}(value); break;
            case Step::hard_sigmoid: value = hard_sigmoid(value); break;
            case Step::hard_swish: value = value * hard_sigmoid(value); break;
            default: break;
        }
    }
    return value;
}

// Into a compact (rows, groups n); a product's batch counts the groups.
struct StoreFinished {
    float* y;
    int64_t n, groups;
    Steps steps;
    __device__ void operator()(int64_t group, int64_t row, int64_t column, float value) const {
        const int64_t at = group * n + column, offset = row * n * groups + at;
        y[offset] = finished(steps, value, offset, at);
    }
};

}}  // namespace nd::ND_ISA
