#include "fused.h"
#include "view.h"

namespace nd {
namespace {

// T, B and H: those of something for every step, (T, B, ...), and of the first state, (B, H).
struct Sequence {
    Sequence(const char* where, int64_t gates, const View& x, const View& h0, const View& w_hh) : where(where), gates(gates) {
        if (x.dims != 3 || h0.dims != 2) misfit({&x, &h0, &w_hh});
        steps = x.shape[0], batch = h0.shape[0], hidden = h0.shape[1];
        if (!w_hh.is({hidden, wide(gates)})) misfit({&x, &h0, &w_hh});
    }

    int64_t wide(int64_t parts) const { return count_of(where, {parts, hidden}); }
    Sizes each(int64_t parts) const { return {steps, batch, wide(parts)}; }

    // Every one of these is (T, B, parts H); these are states.
    void check(int64_t parts, Views given) const {
        for (const View* x : given)
            if (!x->is({steps, batch, wide(parts)})) misfit(given);
    }
    void check_states(Views given) const {
        for (const View* x : given)
            if (!x->is({batch, hidden})) misfit(given);
    }

    [[noreturn]] void misfit(Views got) const {
        const std::string width = gates == 1 ? "H" : std::to_string(gates) + "H";
        nd::misfit(where, "gates (T, B, " + width + "), outputs (T, B, H), states (B, H), W_hh (H, " + width + ")", got);
    }

    const char* where;
    int64_t gates, steps, batch, hidden;
};

py::object lstm(const Dense& gates, const Dense& h0, const Dense& c0, const Dense& w_hh) {
    const Sequence s("lstm", 4, gates, h0, w_hh);
    s.check(4, {&gates});
    s.check_states({&c0, &h0});
    Result out(gates, s.each(1)), cells(gates, s.each(1)), act(gates);
    if (h0.size > 0)
        unlocked(kAlways, sequence_kernels().lstm_scratch(s.hidden), [&](float* scratch) {
            sequence_kernels().lstm(threads(), s.steps, s.batch, s.hidden, gates.p, h0.p, c0.p, w_hh.p, out.p, cells.p, act.p,
                                    scratch);
        });
    return py::make_tuple(out.array(), cells.array(), act.array());
}

py::object lstm_gradient(const Dense& d_out, const Dense& d_c_last, const Dense& out, const Dense& cells, const Dense& act,
                         const Dense& h0, const Dense& c0, const Dense& w_hh) {
    const Sequence s("lstm_gradient", 4, out, h0, w_hh);
    s.check(1, {&d_out, &out, &cells});
    s.check(4, {&act});
    s.check_states({&d_c_last, &h0, &c0});
    const LstmGradientInputs in{d_out.p, d_c_last.p, out.p, cells.p, act.p, h0.p, c0.p, w_hh.p};
    Result d_gates(act), dh0(h0), dc0(c0), dw_hh(w_hh);
    const Executor on = threads();
    if (s.hidden > 0)
        unlocked(kAlways, sequence_kernels().lstm_gradient_scratch(s.steps, s.batch, s.hidden, on.threads), [&](float* scratch) {
            sequence_kernels().lstm_gradient(on, s.steps, s.batch, s.hidden, in, d_gates.p, dh0.p, dc0.p, dw_hh.p, scratch);
        });
    return py::make_tuple(d_gates.array(), dh0.array(), dc0.array(), dw_hh.array());
}

py::object gru(const Dense& gates, const Dense& h0, const Dense& w_hh, const Dense& bias_hh) {
    const Sequence s("gru", 3, gates, h0, w_hh);
    s.check(3, {&gates});
    if (!bias_hh.is({s.wide(3)})) misfit("gru", "bias_hh (3H,)", {&gates, &bias_hh});
    Result out(gates, s.each(1)), act(gates, s.each(4));
    if (h0.size > 0)
        unlocked(kAlways, sequence_kernels().gru_scratch(s.hidden), [&](float* scratch) {
            sequence_kernels().gru(threads(), s.steps, s.batch, s.hidden, gates.p, h0.p, w_hh.p, bias_hh.p, out.p, act.p,
                                   scratch);
        });
    return py::make_tuple(out.array(), act.array());
}

py::object gru_gradient(const Dense& d_out, const Dense& out, const Dense& act, const Dense& h0, const Dense& w_hh) {
    const Sequence s("gru_gradient", 3, out, h0, w_hh);
    s.check(1, {&d_out, &out});
    s.check(4, {&act});
    const GruGradientInputs in{d_out.p, out.p, act.p, h0.p, w_hh.p};
    Result d_gates(out, s.each(3)), dh0(h0), dw_hh(w_hh), dbias(out, {s.wide(3)});
    const Executor on = threads();
    if (s.hidden > 0)
        unlocked(kAlways, sequence_kernels().gru_gradient_scratch(s.steps, s.batch, s.hidden, on.threads), [&](float* scratch) {
            sequence_kernels().gru_gradient(on, s.steps, s.batch, s.hidden, in, d_gates.p, dh0.p, dw_hh.p, dbias.p, scratch);
        });
    return py::make_tuple(d_gates.array(), dh0.array(), dw_hh.array(), dbias.array());
}

py::object rnn(const Dense& gates, const Dense& h0, const Dense& w_hh, bool relu) {
    const Sequence s("rnn", 1, gates, h0, w_hh);
    s.check(1, {&gates});
    Result out(gates);
    if (h0.size > 0)
        unlocked(kAlways, sequence_kernels().rnn_scratch(s.hidden), [&](float* scratch) {
            sequence_kernels().rnn(threads(), s.steps, s.batch, s.hidden, relu, gates.p, h0.p, w_hh.p, out.p, scratch);
        });
    return out.array();
}

py::object rnn_gradient(const Dense& d_out, const Dense& out, const Dense& h0, const Dense& w_hh, bool relu) {
    const Sequence s("rnn_gradient", 1, out, h0, w_hh);
    s.check(1, {&d_out, &out});
    Result d_gates(out), dh0(h0), dw_hh(w_hh);
    const Executor on = threads();
    if (s.hidden > 0)
        unlocked(kAlways, sequence_kernels().rnn_gradient_scratch(s.steps, s.batch, s.hidden, on.threads), [&](float* scratch) {
            sequence_kernels().rnn_gradient(on, s.steps, s.batch, s.hidden, relu, d_out.p, out.p, h0.p, w_hh.p, d_gates.p,
                                            dh0.p, dw_hh.p, scratch);
        });
    return py::make_tuple(d_gates.array(), dh0.array(), dw_hh.array());
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
