// A GRU over a whole sequence, forward and back through time. Gates lie in the order r, z, n; W_hh is (H, 3H), bias_hh (3H).
// `act` keeps r, z, m = h W_n + b_n and n of every step, in this order, so that one product fills its first three quarters.
#pragma once
#include "recurrent.h"
#include "reduce.h"

namespace nd { namespace ND_ISA {

// r = sigmoid(r), z = sigmoid(z), n = tanh(x_n + r m), h = n + z (h_before - n) for one row; x_n is the inputs' share of n.
template <class Hidden>
ND_INLINE void gru_cell(Hidden hidden, const float* x_n, const float* h_before, float* act, float* h) {
    each_vector(hidden, [&](int64_t j, auto n) {
        const Vec r = sigmoid(load_some(act + j, n)), z = sigmoid(load_some(act + hidden + j, n));
        const Vec fresh = tanh(fma(r, load_some(act + 2 * hidden + j, n), load_some(x_n + j, n)));
        store_some(act + j, r, n);
        store_some(act + hidden + j, z, n);
        store_some(act + 3 * hidden + j, fresh, n);
        store_some(h + j, fma(z, load_some(h_before + j, n) - fresh, fresh), n);
    });
}

// Floats of scratch for `gru`: the recurrent weights, packed.
constexpr int64_t gru_scratch(int64_t hidden) { return packed_size(hidden, 3 * hidden); }

// gates (T, B, 3H) = x W_ih + bias_ih, h0 (B, H) -> out (T, B, H), act (T, B, 4H).
template <class Steps, class Batch, class Hidden>
void gru(const Executor& executor, Steps steps, Batch batch, Hidden hidden, const float* gates, const float* h0,
         const float* w_hh, const float* bias_hh, float* out, float* act, float* scratch) {
    const int64_t gate_width = 3 * hidden, act_width = 4 * hidden;
    gemm_pack(executor, hidden, gate_width, {w_hh, gate_width, 1}, scratch);
    const Right weights = packed_right(hidden, gate_width, scratch);
    parallel_batch(executor, batch, [&](int64_t first, int64_t end) {
        for (int64_t t = 0; t < steps; ++t) {
            const int64_t row = t * batch + first;
            const float* h = state_before(t, first, batch, hidden, out, h0);
            for (int64_t b = 0; b < end - first; ++b) {
                float* start = act + (row + b) * act_width;
                const float* x = gates + (row + b) * gate_width;
                std::memcpy(start, bias_hh, sizeof(float) * gate_width);
                each_vector(2 * hidden, [&](int64_t j, auto n) { store_some(start + j, load_some(start + j, n) + load_some(x + j, n), n); });
            }
            small_product(end - first, gate_width, hidden, {h, hidden, 1}, weights, act + row * act_width, act_width, true);
            for (int64_t b = 0; b < end - first; ++b)
                gru_cell(hidden, gates + (row + b) * gate_width + 2 * hidden, h + b * hidden, act + (row + b) * act_width, out + (row + b) * hidden);
        }
    });
}

// The gradient of gru_cell for one row: d_h arrives and is replaced by what goes straight to the state before; `d_gates` is
// that of the inputs' share of r, z, n, `d_own` that of the state's share, which differs in n, where r scales it.
template <class Hidden>
ND_INLINE void gru_cell_gradient(Hidden hidden, const float* act, const float* h_before, const float* d_out, float* d_h,
                                 float* d_gates, float* d_own) {
    const Vec one = splat(1.0f);
    each_vector(hidden, [&](int64_t j, auto n) {
        const Vec r = load_some(act + j, n), z = load_some(act + hidden + j, n);
        const Vec m = load_some(act + 2 * hidden + j, n), fresh = load_some(act + 3 * hidden + j, n);
        const Vec d = load_some(d_h + j, n) + load_some(d_out + j, n);
        const Vec d_n = d * (one - z) * (one - fresh * fresh);
        const Vec d_r = d_n * m * r * (one - r), d_z = d * (load_some(h_before + j, n) - fresh) * z * (one - z);
        store_some(d_gates + j, d_r, n);
        store_some(d_gates + hidden + j, d_z, n);
        store_some(d_gates + 2 * hidden + j, d_n, n);
        store_some(d_own + j, d_r, n);
        store_some(d_own + hidden + j, d_z, n);
        store_some(d_own + 2 * hidden + j, d_n * r, n);
        store_some(d_h + j, d * z, n);
    });
}

inline int64_t gru_gradient_scratch(int64_t steps, int64_t batch, int64_t hidden, int threads) {
    const int64_t rows = steps * batch;
    return packed_size(3 * hidden, hidden) + 4 * rows * hidden +
           max(gemm_scratch(hidden, 3 * hidden, rows, threads), reduce_scratch(1, rows, 3 * hidden));
}

// d_gates (T, B, 3H), dh0 (B, H), dw_hh (H, 3H) = sum over steps of h_before^T d_own, dbias_hh (3H) = sum of d_own.
template <class Steps, class Batch, class Hidden>
void gru_gradient(const Executor& executor, Steps steps, Batch batch, Hidden hidden, const GruGradientInputs& in,
                  float* d_gates, float* dh0, float* dw_hh, float* dbias_hh, float* scratch) {
    const int64_t gate_width = 3 * hidden, rows = steps * batch;
    gemm_pack(executor, gate_width, hidden, {in.w_hh, 1, gate_width}, scratch);
    const Right weights = packed_right(gate_width, hidden, scratch);
    float *h_before = scratch + packed_size(gate_width, hidden), *d_own = h_before + rows * hidden, *rest = d_own + rows * gate_width;
    parallel_batch(executor, batch, [&](int64_t first, int64_t end) {
        const int64_t floats = (end - first) * hidden;
        float* dh = dh0 + first * hidden;
        std::memset(dh, 0, sizeof(float) * floats);
        for (int64_t t = steps - 1; t >= 0; --t) {
            const int64_t row = t * batch + first;
            const float* h = state_before(t, first, batch, hidden, in.out, in.h0);
            std::memcpy(h_before + row * hidden, h, sizeof(float) * floats);
            for (int64_t b = 0; b < end - first; ++b)
                gru_cell_gradient(hidden, in.act + (row + b) * 4 * hidden, h + b * hidden, in.d_out + (row + b) * hidden,
                                  dh + b * hidden, d_gates + (row + b) * gate_width, d_own + (row + b) * gate_width);
            small_product(end - first, hidden, gate_width, {d_own + row * gate_width, gate_width, 1}, weights, dh, hidden, true);
        }
    });
    gemm(executor, hidden, gate_width, rows, {h_before, 1, hidden}, {d_own, gate_width, 1}, dw_hh, gate_width, rest);
    reduce<SumFold>(executor, 1, rows, gate_width, d_own, dbias_hh, rest);
}

}}  // namespace nd::ND_ISA
