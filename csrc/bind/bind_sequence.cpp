#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

std::size_t bytes_of(int64_t floats) { return sizeof(float) * static_cast<std::size_t>(floats); }

void lstm(Array& gates, Array& h0, Array& c0, Array& w_hh, Array& out, Array& cells, Array& act, int64_t steps, int64_t batch,
          int64_t hidden) {
    Arguments check("lstm");
    const int64_t outputs = check.count({steps, batch, hidden}), state = check.count({batch, hidden});
    const int64_t all_gates = check.count({steps, batch, hidden, 4}), weights = check.count({hidden, hidden, 4});
    const float *z = check.in(gates, all_gates), *h = check.in(h0, state), *c = check.in(c0, state), *w = check.in(w_hh, weights);
    float *to = check.out(out, outputs), *to_cells = check.out(cells, outputs), *to_act = check.out(act, all_gates);
    if (state == 0) return;
    py::gil_scoped_release unlocked;
    Scratch scratch(bytes_of(sequence_kernels().lstm_scratch(hidden)));
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
    Scratch scratch(bytes_of(sequence_kernels().lstm_gradient_scratch(steps, batch, hidden, on.threads)));
    sequence_kernels().lstm_gradient(on, steps, batch, hidden, in, to_gates, dh, dc, dw, scratch.floats());
}

int64_t embedding(Array& ids, Array& weight, Array& y, int64_t count, int64_t rows, int64_t cols) {
    Arguments check("embedding");
    const float *id = check.in(ids, check.count({count})), *table = check.in(weight, check.count({rows, cols}));
    float* to = check.out(y, check.count({count, cols}));
    const int64_t bad = sequence_kernels().first_bad_index(count, id, rows);
    if (bad >= 0) return bad;
    py::gil_scoped_release unlocked;
    sequence_kernels().embedding(threads(), count, cols, id, table, to);
    return -1;
}

int64_t embedding_gradient(Array& g, Array& ids, Array& dweight, int64_t count, int64_t rows, int64_t cols) {
    Arguments check("embedding_gradient");
    const float *gradient = check.in(g, check.count({count, cols})), *id = check.in(ids, count);
    float* to = check.out(dweight, check.count({rows, cols}));
    const int64_t bad = sequence_kernels().first_bad_index(count, id, rows);
    if (bad >= 0) return bad;
    py::gil_scoped_release unlocked;
    sequence_kernels().embedding_gradient(threads(), count, cols, rows, id, gradient, to);
    return -1;
}

}  // namespace

void bind_sequence(py::module_& m) {
    m.def("lstm", &lstm);
    m.def("lstm_gradient", &lstm_gradient);
    m.def("embedding", &embedding, "-1, or the first place whose id is no whole number in 0..rows-1: then nothing was done.");
    m.def("embedding_gradient", &embedding_gradient, "As embedding.");
}

}  // namespace nd
