// An LSTM over a whole sequence, forward and back through time. Gates lie in the order i, f, g, o; W_hh is (H, 4H).
#pragma once
#include "recurrent.h"

namespace nd { namespace ND_ISA {

// c = sigmoid(f) c_before + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c) for one row; `act` holds the gates and keeps them
// activated.
template <class Hidden>
ND_INLINE void lstm_cell(Hidden hidden, float* act, const float* c_before, float* c, float* h) {
    each_vector(hidden, [&](int64_t j, auto n) {
        const Vec i = sigmoid(load_some(act + j, n)), f = sigmoid(load_some(act + hidden + j, n));
        const Vec g = tanh(load_some(act + 2 * hidden + j, n)), o = sigmoid(load_some(act + 3 * hidden + j, n));
        const Vec cell = fma(f, load_some(c_before + j, n), i * g);
        store_some(act + j, i, n);
        store_some(act + hidden + j, f, n);
        store_some(act + 2 * hidden + j, g, n);
        store_some(act + 3 * hidden + j, o, n);
        store_some(c + j, cell, n);
        store_some(h + j, o * tanh(cell), n);
    });
}

// Floats of scratch for `lstm`: the recurrent weights, packed.
constexpr int64_t lstm_scratch(int64_t hidden) { return packed_size(hidden, 4 * hidden); }

// gates (T, B, 4H) = x W_ih + biases, h0 and c0 (B, H) -> out and cells (T, B, H), act (T, B, 4H) the activated gates.
template <class Steps, class Batch, class Hidden>
void lstm(const Executor& executor, Steps steps, Batch batch, Hidden hidden, const float* gates, const float* h0,
          const float* c0, const float* w_hh, float* out, float* cells, float* act, float* scratch) {
    const int64_t wide = 4 * hidden;
    gemm_pack(executor, hidden, wide, {w_hh, wide, 1}, scratch);
    const Right weights = packed_right(hidden, wide, scratch);
    parallel_batch(executor, batch, [&](int64_t first, int64_t end) {
        for (int64_t t = 0; t < steps; ++t) {
            const int64_t row = t * batch + first;
            const float* h = state_before(t, first, batch, hidden, out, h0);
            const float* c = state_before(t, first, batch, hidden, cells, c0);
            std::memcpy(act + row * wide, gates + row * wide, sizeof(float) * (end - first) * wide);
            small_product(end - first, wide, hidden, {h, hidden, 1}, weights, act + row * wide, wide, true);
            for (int64_t b = 0; b < end - first; ++b)
                lstm_cell(hidden, act + (row + b) * wide, c + b * hidden, cells + (row + b) * hidden, out + (row + b) * hidden);
        }
    });
}

// The gradient of lstm_cell for one row: dh arrives, dc is replaced by that of the cell before.
template <class Hidden>
ND_INLINE void lstm_cell_gradient(Hidden hidden, const float* act, const float* c_before, const float* c, const float* d_out,
                                  const float* dh, float* dc, float* d_gates) {
    const Vec one = splat(1.0f);
    each_vector(hidden, [&](int64_t j, auto n) {
        const Vec i = load_some(act + j, n), f = load_some(act + hidden + j, n);
        const Vec g = load_some(act + 2 * hidden + j, n), o = load_some(act + 3 * hidden + j, n);
        const Vec tanh_c = tanh(load_some(c + j, n));
        const Vec d_h = load_some(dh + j, n) + load_some(d_out + j, n);
        const Vec d_c = load_some(dc + j, n) + d_h * o * (one - tanh_c * tanh_c);
        store_some(d_gates + j, d_c * g * i * (one - i), n);
        store_some(d_gates + hidden + j, d_c * load_some(c_before + j, n) * f * (one - f), n);
        store_some(d_gates + 2 * hidden + j, d_c * i * (one - g * g), n);
        store_some(d_gates + 3 * hidden + j, d_h * tanh_c * o * (one - o), n);
        store_some(dc + j, d_c * f, n);
    });
}

inline int64_t lstm_gradient_scratch(int64_t steps, int64_t batch, int64_t hidden, int threads) {
    return packed_size(4 * hidden, hidden) + steps * batch * hidden +
           gemm_scratch(hidden, 4 * hidden, steps * batch, threads);
}

// d_gates (T, B, 4H), dh0 and dc0 (B, H), dw_hh (H, 4H) = sum over steps of h_before^T d_gates.
template <class Steps, class Batch, class Hidden>
void lstm_gradient(const Executor& executor, Steps steps, Batch batch, Hidden hidden, const LstmGradientInputs& in,
                   float* d_gates, float* dh0, float* dc0, float* dw_hh, float* scratch) {
    const int64_t wide = 4 * hidden;
    gemm_pack(executor, wide, hidden, {in.w_hh, 1, wide}, scratch);
    const Right weights = packed_right(wide, hidden, scratch);
    float* h_before = scratch + packed_size(wide, hidden);
    parallel_batch(executor, batch, [&](int64_t first, int64_t end) {
        const int64_t rows = end - first, floats = rows * hidden;
        float *dh = dh0 + first * hidden, *dc = dc0 + first * hidden;
        std::memset(dh, 0, sizeof(float) * floats);
        std::memcpy(dc, in.d_c_last + first * hidden, sizeof(float) * floats);
        for (int64_t t = steps - 1; t >= 0; --t) {
            const int64_t row = t * batch + first, at = row * hidden;
            const float* c_before = state_before(t, first, batch, hidden, in.cells, in.c0);
            const float* h = state_before(t, first, batch, hidden, in.out, in.h0);
            std::memcpy(h_before + at, h, sizeof(float) * floats);
            for (int64_t b = 0; b < rows; ++b) {
                const int64_t i = b * hidden;
                lstm_cell_gradient(hidden, in.act + (row + b) * wide, c_before + i, in.cells + at + i, in.d_out + at + i,
                                   dh + i, dc + i, d_gates + (row + b) * wide);
            }
            small_product(rows, hidden, wide, {d_gates + row * wide, wide, 1}, weights, dh, hidden, false);
        }
    });
    gemm(executor, hidden, wide, steps * batch, {h_before, 1, hidden}, {d_gates, wide, 1}, dw_hh, wide,
         h_before + steps * batch * hidden);
}

}}  // namespace nd::ND_ISA
