// A plain recurrent network over a whole sequence, forward and back through time: h = f(gates + h_before W), f tanh or relu.
#pragma once
#include "recurrent.h"

namespace nd { namespace ND_ISA {

// Floats of scratch for `rnn`: the recurrent weights, packed.
constexpr int64_t rnn_scratch(int64_t hidden) { return packed_size(hidden, hidden); }

// gates (T, B, H) = x W_ih + biases, h0 (B, H), w_hh (H, H) -> out (T, B, H).
template <class Steps, class Batch, class Hidden>
void rnn(const Executor& executor, Steps steps, Batch batch, Hidden hidden, bool relu, const float* gates, const float* h0,
         const float* w_hh, float* out, float* scratch) {
    gemm_pack(executor, hidden, hidden, {w_hh, hidden, 1}, scratch);
    const Right weights = packed_right(hidden, hidden, scratch);
    parallel_batch(executor, batch, [&](int64_t first, int64_t end) {
        const int64_t rows = end - first, floats = rows * hidden;
        for (int64_t t = 0; t < steps; ++t) {
            float* y = out + (t * batch + first) * hidden;
            std::memcpy(y, gates + (t * batch + first) * hidden, sizeof(float) * floats);
            const float* h = state_before(t, first, batch, hidden, out, h0);
            small_product(rows, hidden, hidden, {h, hidden, 1}, weights, y, hidden, true);
            each_vector(floats, [&](int64_t i, auto n) {
                const Vec z = load_some(y + i, n);
                store_some(y + i, relu ? select(z < 0.0f, Vec{}, z) : tanh(z), n);
            });
        }
    });
}

inline int64_t rnn_gradient_scratch(int64_t steps, int64_t batch, int64_t hidden, int threads) {
    return packed_size(hidden, hidden) + steps * batch * hidden + gemm_scratch(hidden, hidden, steps * batch, threads);
}

// d_gates = (d_out + dh) f'(gates), from step to step dh = d_gates W^T; dh0 (B, H), dw_hh = sum of h_before^T d_gates.
template <class Steps, class Batch, class Hidden>
void rnn_gradient(const Executor& executor, Steps steps, Batch batch, Hidden hidden, bool relu, const float* d_out,
                  const float* out, const float* h0, const float* w_hh, float* d_gates, float* dh0, float* dw_hh,
                  float* scratch) {
    gemm_pack(executor, hidden, hidden, {w_hh, 1, hidden}, scratch);
    const Right weights = packed_right(hidden, hidden, scratch);
    float* h_before = scratch + packed_size(hidden, hidden);
    parallel_batch(executor, batch, [&](int64_t first, int64_t end) {
        const int64_t rows = end - first, floats = rows * hidden;
        float* dh = dh0 + first * hidden;
        std::memset(dh, 0, sizeof(float) * floats);
        for (int64_t t = steps - 1; t >= 0; --t) {
            const int64_t at = (t * batch + first) * hidden;
            std::memcpy(h_before + at, state_before(t, first, batch, hidden, out, h0), sizeof(float) * floats);
            each_vector(floats, [&](int64_t i, auto n) {
                const Vec y = load_some(out + at + i, n), d = load_some(dh + i, n) + load_some(d_out + at + i, n);
                store_some(d_gates + at + i, relu ? select(y > 0.0f, d, Vec{}) : d * (splat(1.0f) - y * y), n);
            });
            small_product(rows, hidden, hidden, {d_gates + at, hidden, 1}, weights, dh, hidden, false);
        }
    });
    gemm(executor, hidden, hidden, steps * batch, {h_before, 1, hidden}, {d_gates, hidden, 1}, dw_hh, hidden,
         h_before + steps * batch * hidden);
}

}}  // namespace nd::ND_ISA
