// LSTM, GRU and plain recurrent networks over whole sequences, forward and back through time: each step is a product with the
// recurrent weights and one kernel for the cells. What each computes is said in csrc/nd/lstm.h, gru.h and rnn.h.
#pragma once
#include "columns.cuh"
#include "pointwise.cuh"
#include "product.cuh"

namespace nd { namespace ND_ISA {

// c = a b + what is there already, in rows `pitch` apart.
struct AddStore {
    float* c;
    int64_t pitch;
    const float* before;
    int64_t before_pitch;
    __device__ void operator()(int64_t, int64_t row, int64_t column, float value) const {
        c[row * pitch + column] = before[row * before_pitch + column] + value;
    }
};

// c (rows, n) = before + h (rows, k) w, or its transpose's.
inline void step_product(const Executor& on, const char* name, int64_t rows, int64_t n, int64_t k, const Matrix& h, const Matrix& w,
                         const AddStore& to) {
    product(on, name, {1, rows, n, {1, k}}, rows_of(h, rows, 0), columns_of(w, n, 0), to);
}
inline const float* state_before(int64_t t, int64_t batch, int64_t hidden, const float* out, const float* h0) {
    return t > 0 ? out + (t - 1) * batch * hidden : h0;
}
// The states before every step, one after the other: h0 and all of out but the last.
inline void copy_states(const Executor& on, const char* name, int64_t steps, int64_t floats, const float* out, const float* h0, float* to) {
    if (steps == 0) return;
    map(on, name, floats, Copy{}, to, h0);
    map(on, name, (steps - 1) * floats, Copy{}, to + floats, out);
}
// dw (hidden, wide) = h_before^T d over all rows; `scratch` holds weight_scratch(...) floats.
inline ProductSize weight_size(int64_t rows, int64_t hidden, int64_t wide) { return {1, hidden, wide, {1, rows}}; }
inline int64_t weight_scratch(int64_t rows, int64_t hidden, int64_t wide) {
    const ProductSize size = weight_size(rows, hidden, wide);
    return product_scratch(size, product_parts(size));
}
inline void weight_product(const Executor& on, const char* name, int64_t rows, int64_t hidden, int64_t wide, const float* h_before,
                           const float* d, float* dw, float* scratch) {
    const ProductSize size = weight_size(rows, hidden, wide);
    if (rows == 0) return fill(on, hidden * wide, 0.0f, dw);
    product_in_parts(on, name, size, product_parts(size), rows_of({h_before, 1, hidden}, hidden, 0),
                     columns_of({d, wide, 1}, wide, 0), Store{dw, hidden, wide}, scratch);
}

// ---- LSTM: gates in the order i, f, g, o ----------------------------------------------------------------------------------------
struct LstmCell {
    float* act;
    const float* c_before;
    float *c, *h;
    int64_t hidden;
    __device__ void operator()(int64_t at) const {
        const int64_t j = at % hidden;
        float* a = act + at / hidden * 4 * hidden + j;
        const float i = sigmoid(a[0]), f = sigmoid(a[hidden]), g = tanh(a[2 * hidden]), o = sigmoid(a[3 * hidden]);
        a[0] = i, a[hidden] = f, a[2 * hidden] = g, a[3 * hidden] = o;
        const float cell = fma(f, c_before[at], i * g);
        c[at] = cell;
        h[at] = o * tanh(cell);
    }
};
struct LstmCellGradient {
    const float *act, *c_before, *c, *d_out, *dh;
    float *dc, *d_gates;
    int64_t hidden;
    __device__ void operator()(int64_t at) const {
        const int64_t first = at / hidden * 4 * hidden + at % hidden;
        const float i = act[first], f = act[first + hidden], g = act[first + 2 * hidden], o = act[first + 3 * hidden];
        const float tanh_c = tanh(c[at]), d_h = dh[at] + d_out[at];
        const float d_c = dc[at] + d_h * o * (1 - tanh_c * tanh_c);
        d_gates[first] = d_c * g * i * (1 - i);
        d_gates[first + hidden] = d_c * c_before[at] * f * (1 - f);
        d_gates[first + 2 * hidden] = d_c * i * (1 - g * g);
        d_gates[first + 3 * hidden] = d_h * tanh_c * o * (1 - o);
        dc[at] = d_c * f;
    }
};

inline void lstm(const Executor& on, int64_t steps, int64_t batch, int64_t hidden, const float* gates, const float* h0, const float* c0,
                 const float* w_hh, float* out, float* cells, float* act, float*) {
    const int64_t wide = 4 * hidden, floats = batch * hidden;
    for (int64_t t = 0; t < steps; ++t) {
        float* a = act + t * batch * wide;
        step_product(on, "lstm", batch, wide, hidden, {state_before(t, batch, hidden, out, h0), hidden, 1}, {w_hh, wide, 1},
                     {a, wide, gates + t * batch * wide, wide});
        each(on, "lstm", floats, LstmCell{a, state_before(t, batch, hidden, cells, c0), cells + t * floats, out + t * floats, hidden});
    }
}
inline int64_t lstm_gradient_scratch(int64_t steps, int64_t batch, int64_t hidden, int) {
    return steps * batch * hidden + weight_scratch(steps * batch, hidden, 4 * hidden);
}
inline void lstm_gradient(const Executor& on, int64_t steps, int64_t batch, int64_t hidden, const LstmGradientInputs& in, float* d_gates,
                          float* dh0, float* dc0, float* dw_hh, float* scratch) {
    const char* name = "lstm_gradient";
    const int64_t wide = 4 * hidden, floats = batch * hidden;
    fill(on, floats, 0.0f, dh0);
    map(on, name, floats, Copy{}, dc0, in.d_c_last);
    for (int64_t t = steps - 1; t >= 0; --t) {
        float* d = d_gates + t * batch * wide;
        each(on, name, floats,
             LstmCellGradient{in.act + t * batch * wide, state_before(t, batch, hidden, in.cells, in.c0), in.cells + t * floats,
                              in.d_out + t * floats, dh0, dc0, d, hidden});
        product(on, name, {1, batch, hidden, {1, wide}}, rows_of({d, wide, 1}, batch, 0), columns_of({in.w_hh, 1, wide}, hidden, 0),
                Store{dh0, batch, hidden});
    }
    copy_states(on, name, steps, floats, in.out, in.h0, scratch);
    weight_product(on, name, steps * batch, hidden, wide, scratch, d_gates, dw_hh, scratch + steps * floats);
}

// ---- GRU: gates in the order r, z, n; `act` keeps r, z, m = h W_n + b_n and n ---------------------------------------------------
struct GruStart {  // the biases, and the inputs' share of r and z
    const float *gates, *bias;
    float* act;
    int64_t hidden;
    __device__ void operator()(int64_t at) const {
        const int64_t wide = 3 * hidden, row = at / wide, j = at - row * wide;
        act[row * 4 * hidden + j] = bias[j] + (j < 2 * hidden ? gates[at] : 0.0f);
    }
};
struct GruCell {
    const float *gates, *h_before;
    float *act, *h;
    int64_t hidden;
    __device__ void operator()(int64_t at) const {
        const int64_t row = at / hidden, j = at - row * hidden;
        float* a = act + row * 4 * hidden + j;
        const float r = sigmoid(a[0]), z = sigmoid(a[hidden]);
        const float fresh = tanh(fma(r, a[2 * hidden], gates[row * 3 * hidden + 2 * hidden + j]));
        a[0] = r, a[hidden] = z, a[3 * hidden] = fresh;
        h[at] = fma(z, h_before[at] - fresh, fresh);
    }
};
struct GruCellGradient {
    const float *act, *h_before, *d_out;
    float *d_h, *d_gates, *d_own;
    int64_t hidden;
    __device__ void operator()(int64_t at) const {
        const int64_t row = at / hidden, j = at - row * hidden, to = row * 3 * hidden + j;
        const float* a = act + row * 4 * hidden + j;
        const float r = a[0], z = a[hidden], m = a[2 * hidden], fresh = a[3 * hidden], d = d_h[at] + d_out[at];
        const float d_n = d * (1 - z) * (1 - fresh * fresh), d_r = d_n * m * r * (1 - r);
        const float d_z = d * (h_before[at] - fresh) * z * (1 - z);
        d_gates[to] = d_own[to] = d_r;
        d_gates[to + hidden] = d_own[to + hidden] = d_z;
        d_gates[to + 2 * hidden] = d_n;
        d_own[to + 2 * hidden] = d_n * r;
        d_h[at] = d * z;
    }
};

inline void gru(const Executor& on, int64_t steps, int64_t batch, int64_t hidden, const float* gates, const float* h0, const float* w_hh,
                const float* bias_hh, float* out, float* act, float*) {
    const int64_t wide = 3 * hidden, floats = batch * hidden;
    for (int64_t t = 0; t < steps; ++t) {
        const float *x = gates + t * batch * wide, *h = state_before(t, batch, hidden, out, h0);
        float* a = act + t * batch * 4 * hidden;
        each(on, "gru", batch * wide, GruStart{x, bias_hh, a, hidden});
        step_product(on, "gru", batch, wide, hidden, {h, hidden, 1}, {w_hh, wide, 1}, {a, 4 * hidden, a, 4 * hidden});
        each(on, "gru", floats, GruCell{x, h, a, out + t * floats, hidden});
    }
}
struct AddBias {
    const float* d;
    int64_t wide;
    __device__ void operator()(int64_t row, int64_t j, float* sum) const { sum[0] += d[row * wide + j]; }
};
struct KeepSum {
    float* to;
    __device__ void operator()(int64_t j, const float* sum) const { to[j] = sum[0]; }
};
inline int64_t gru_gradient_scratch(int64_t steps, int64_t batch, int64_t hidden, int) {
    const int64_t rows = steps * batch;
    return 4 * rows * hidden + max(weight_scratch(rows, hidden, 3 * hidden), column_scratch(rows, 3 * hidden, 1));
}
inline void gru_gradient(const Executor& on, int64_t steps, int64_t batch, int64_t hidden, const GruGradientInputs& in, float* d_gates,
                         float* dh0, float* dw_hh, float* dbias_hh, float* scratch) {
    const char* name = "gru_gradient";
    const int64_t wide = 3 * hidden, floats = batch * hidden, rows = steps * batch;
    float *h_before = scratch, *d_own = scratch + steps * floats, *rest = d_own + rows * wide;
    fill(on, floats, 0.0f, dh0);
    for (int64_t t = steps - 1; t >= 0; --t) {
        float* d = d_own + t * batch * wide;
        each(on, name, floats,
             GruCellGradient{in.act + t * batch * 4 * hidden, state_before(t, batch, hidden, in.out, in.h0), in.d_out + t * floats,
                             dh0, d_gates + t * batch * wide, d, hidden});
        step_product(on, name, batch, hidden, wide, {d, wide, 1}, {in.w_hh, 1, wide}, {dh0, hidden, dh0, hidden});
    }
    copy_states(on, name, steps, floats, in.out, in.h0, h_before);
    weight_product(on, name, rows, hidden, wide, h_before, d_own, dw_hh, rest);
    column_sums<1>(on, name, rows, wide, AddBias{d_own, wide}, KeepSum{dbias_hh}, rest);
}

// ---- a plain network: h = f(gates + h_before W), f tanh or relu -----------------------------------------------------------------
struct RnnStore {
    float* h;
    const float* gates;
    int64_t hidden;
    bool relu;
    __device__ void operator()(int64_t, int64_t row, int64_t column, float value) const {
        const float z = gates[row * hidden + column] + value;
        h[row * hidden + column] = relu ? (z < 0.0f ? 0.0f : z) : tanh(z);
    }
};
struct RnnCellGradient {
    const float *out, *d_out, *dh;
    float* d_gates;
    bool relu;
    __device__ void operator()(int64_t at) const {
        const float y = out[at], d = dh[at] + d_out[at];
        d_gates[at] = relu ? (y > 0.0f ? d : 0.0f) : d * (1 - y * y);
    }
};
inline void rnn(const Executor& on, int64_t steps, int64_t batch, int64_t hidden, bool relu, const float* gates, const float* h0,
                const float* w_hh, float* out, float*) {
    const int64_t floats = batch * hidden;
    for (int64_t t = 0; t < steps; ++t)
        product(on, "rnn", {1, batch, hidden, {1, hidden}}, rows_of({state_before(t, batch, hidden, out, h0), hidden, 1}, batch, 0),
                columns_of({w_hh, hidden, 1}, hidden, 0), RnnStore{out + t * floats, gates + t * floats, hidden, relu});
}
inline int64_t rnn_gradient_scratch(int64_t steps, int64_t batch, int64_t hidden, int) {
    return steps * batch * hidden + weight_scratch(steps * batch, hidden, hidden);
}
inline void rnn_gradient(const Executor& on, int64_t steps, int64_t batch, int64_t hidden, bool relu, const float* d_out, const float* out,
                         const float* h0, const float* w_hh, float* d_gates, float* dh0, float* dw_hh, float* scratch) {
    const char* name = "rnn_gradient";
    const int64_t floats = batch * hidden;
    fill(on, floats, 0.0f, dh0);
    for (int64_t t = steps - 1; t >= 0; --t) {
        float* d = d_gates + t * floats;
        each(on, name, floats, RnnCellGradient{out + t * floats, d_out + t * floats, dh0, d, relu});
        product(on, name, {1, batch, hidden, {1, hidden}}, rows_of({d, hidden, 1}, batch, 0), columns_of({w_hh, 1, hidden}, hidden, 0),
                Store{dh0, batch, hidden});
    }
    copy_states(on, name, steps, floats, out, h0, scratch);
    weight_product(on, name, steps * batch, hidden, hidden, scratch, d_gates, dw_hh, scratch + steps * floats);
}

}}  // namespace nd::ND_ISA
