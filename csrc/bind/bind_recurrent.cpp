#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

void lstm(Array& gates, Array& h0, Array& c0, Array& w_hh, Array& out, Array& cells, Array& act, int64_t steps, int64_t batch,
          int64_t hidden) {
    Arguments check("lstm");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const int64_t all_gates = check.count({steps, batch, hidden, 4}), weights = check.count({hidden, hidden, 4});
    const float *z = check.in(gates, all_gates), *h = check.in(h0, state), *c = check.in(c0, state), *w = check.in(w_hh, weights);
    float *to = check.out(out, outputs), *to_cells = check.out(cells, outputs), *to_act = check.out(act, all_gates);
    if (state == 0) return;
    py::gil_scoped_release unlocked;
    Scratch scratch(sequence_kernels().lstm_scratch(hidden));
    sequence_kernels().lstm(threads(), steps, batch, hidden, z, h, c, w, to, to_cells, to_act, scratch.floats());
}

void lstm_gradient(Array& d_out, Array& d_c_last, Array& out, Array& cells, Array& act, Array& h0, Array& c0, Array& w_hh,
                   Array& d_gates, Array& dh0, Array& dc0, Array& dw_hh, int64_t steps, int64_t batch, int64_t hidden) {
    Arguments check("lstm_gradient");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const int64_t all_gates = check.count({steps, batch, hidden, 4}), weights = check.count({hidden, hidden, 4});
    const LstmGradientInputs in{check.in(d_out, outputs), check.in(d_c_last, state), check.in(out, outputs), check.in(cells, outputs),
                                check.in(act, all_gates), check.in(h0, state), check.in(c0, state), check.in(w_hh, weights)};
    float *to_gates = check.out(d_gates, all_gates), *dh = check.out(dh0, state), *dc = check.out(dc0, state);
    float* dw = check.out(dw_hh, weights);
    if (hidden == 0) return;
    py::gil_scoped_release unlocked;
    const Executor on = threads();
    Scratch scratch(sequence_kernels().lstm_gradient_scratch(steps, batch, hidden, on.threads));
    sequence_kernels().lstm_gradient(on, steps, batch, hidden, in, to_gates, dh, dc, dw, scratch.floats());
}

void gru(Array& gates, Array& h0, Array& w_hh, Array& bias_hh, Array& out, Array& act, int64_t steps, int64_t batch,
         int64_t hidden) {
    Arguments check("gru");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const int64_t all_gates = check.count({steps, batch, hidden, 3}), weights = check.count({hidden, hidden, 3});
    const float *z = check.in(gates, all_gates), *h = check.in(h0, state), *w = check.in(w_hh, weights);
    const float* bias = check.in(bias_hh, check.count({hidden, 3}));
    float *to = check.out(out, outputs), *to_act = check.out(act, check.count({steps, batch, hidden, 4}));
    if (state == 0) return;
    py::gil_scoped_release unlocked;
    Scratch scratch(sequence_kernels().gru_scratch(hidden));
    sequence_kernels().gru(threads(), steps, batch, hidden, z, h, w, bias, to, to_act, scratch.floats());
}

void gru_gradient(Array& d_out, Array& out, Array& act, Array& h0, Array& w_hh, Array& d_gates, Array& dh0, Array& dw_hh,
                  Array& dbias_hh, int64_t steps, int64_t batch, int64_t hidden) {
    Arguments check("gru_gradient");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const int64_t weights = check.count({hidden, hidden, 3});
    const GruGradientInputs in{check.in(d_out, outputs), check.in(out, outputs),
                               check.in(act, check.count({steps, batch, hidden, 4})), check.in(h0, state), check.in(w_hh, weights)};
    float *to_gates = check.out(d_gates, check.count({steps, batch, hidden, 3})), *dh = check.out(dh0, state);
    float *dw = check.out(dw_hh, weights), *dbias = check.out(dbias_hh, check.count({hidden, 3}));
    if (hidden == 0) return;
    py::gil_scoped_release unlocked;
    const Executor on = threads();
    Scratch scratch(sequence_kernels().gru_gradient_scratch(steps, batch, hidden, on.threads));
    sequence_kernels().gru_gradient(on, steps, batch, hidden, in, to_gates, dh, dw, dbias, scratch.floats());
}

void rnn(Array& gates, Array& h0, Array& w_hh, Array& out, int64_t steps, int64_t batch, int64_t hidden, bool relu) {
    Arguments check("rnn");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const float *z = check.in(gates, outputs), *h = check.in(h0, state), *w = check.in(w_hh, check.count({hidden, hidden}));
    float* to = check.out(out, outputs);
    if (state == 0) return;
    py::gil_scoped_release unlocked;
    Scratch scratch(sequence_kernels().rnn_scratch(hidden));
    sequence_kernels().rnn(threads(), steps, batch, hidden, relu, z, h, w, to, scratch.floats());
}

void rnn_gradient(Array& d_out, Array& out, Array& h0, Array& w_hh, Array& d_gates, Array& dh0, Array& dw_hh, int64_t steps,
                  int64_t batch, int64_t hidden, bool relu) {
    Arguments check("rnn_gradient");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const int64_t weights = check.count({hidden, hidden});
    const float *g = check.in(d_out, outputs), *y = check.in(out, outputs), *h = check.in(h0, state), *w = check.in(w_hh, weights);
    float *to_gates = check.out(d_gates, outputs), *dh = check.out(dh0, state), *dw = check.out(dw_hh, weights);
    if (hidden == 0) return;
    py::gil_scoped_release unlocked;
    const Executor on = threads();
    Scratch scratch(sequence_kernels().rnn_gradient_scratch(steps, batch, hidden, on.threads));
    sequence_kernels().rnn_gradient(on, steps, batch, hidden, relu, g, y, h, w, to_gates, dh, dw, scratch.floats());
}

}  // namespace

void bind_recurrent(py::module_& m) {
    m.def("lstm", &lstm);
    m.def("lstm_gradient", &lstm_gradient);
    m.def("gru", &gru);
    m.def("gru_gradient", &gru_gradient);
    m.def("rnn", &rnn);
    m.def("rnn_gradient", &rnn_gradient);
}

}  // namespace nd
