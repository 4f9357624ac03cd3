// The fused kernels against loops in double that anyone can read: odd sizes, buffers without slack, one thread and three,
// sizes known when compiling.
#include "../../csrc/nd/attention.h"
#include "../../csrc/nd/embedding.h"
#include "../../csrc/nd/gru.h"
#include "../../csrc/nd/lstm.h"
#include "../../csrc/nd/norm.h"
#include "../../csrc/nd/optim.h"
#include "../../csrc/nd/pool_impl.h"
#include "../../csrc/nd/rnn.h"
#include "../../csrc/nd/softmax.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

void close(const char* what, const Floats& got, const std::vector<double>& expected, double tolerance) {
    CHECK(got.size() == expected.size(), "%s", what);
    double largest = 1;
    for (double e : expected) largest = std::fmax(largest, std::fabs(e));
    for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i)
        CHECK(std::fabs(got[i] - expected[i]) <= tolerance * largest, "%s: element %d is %g, not %g", what, int(i), got[i], expected[i]);
}

void softmax_rows(int64_t rows, int64_t cols) {
    Floats x = random_floats(rows * cols), labels(rows), y(rows * cols), logs(rows * cols), dx(rows * cols), losses(rows), loss(1);
    for (float& v : x) v *= 30;
    for (float& label : labels) label = float(random_bits() % cols);
    if (rows > 2) labels[0] = -1;  // ignored
    const double counted = double(rows - (rows > 2));
    std::vector<double> p(rows * cols), log_p(rows * cols), slope(rows * cols), mean(1);
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (int64_t c = 0; c < cols; ++c) sum += std::exp(double(x[r * cols + c]));
        for (int64_t c = 0; c < cols; ++c) {
            const int64_t i = r * cols + c;
            const double target = 0.1 / cols + (c == int64_t(labels[r]) ? 0.9 : 0);
            log_p[i] = x[i] - std::log(sum);
            p[i] = std::exp(log_p[i]);
            if (labels[r] < 0) continue;
            mean[0] -= target * log_p[i] / counted;
            slope[i] = (p[i] - target) / counted;
        }
    }
    nd::softmax(three_threads(), rows, cols, x.data(), y.data());
    nd::logsoftmax(three_threads(), rows, cols, x.data(), logs.data());
    const nd::Labels compared{labels.data(), 0.1f, -1.0f};
    const float one = 1;
    nd::cross_entropy(three_threads(), rows, cols, x.data(), compared, losses.data());
    CHECK(nd::counted(rows, compared) == counted && nd::first_bad_label(rows, cols, compared) < 0, "labels that count");
    loss[0] = nd::total_loss(rows, losses.data(), float(counted));
    nd::cross_entropy_gradient(three_threads(), rows, cols, &one, 0, float(counted), x.data(), compared, dx.data());
    close("softmax", y, p, 1e-6);
    close("logsoftmax", logs, log_p, 1e-6);
    close("cross entropy", loss, mean, 1e-6);
    close("cross entropy gradient", dx, slope, 1e-6);
    nd::softmax(nd::Executor{}, rows, cols, x.data(), x.data());
    CHECK(x == y, "softmax in place, one thread");
}

void exp_below_zero() {
    for (float from = -90; from < 1e-6f; from += 0.37f) {
        const float e = nd::exp_below_zero(nd::splat(from))[0], expected = std::exp(from);
        CHECK(from < -86.5f ? e == 0 : std::fabs(e - expected) <= 2e-7f * expected, "exp(%g) is %g", from, e);
    }
    CHECK(nd::exp_below_zero(nd::splat(-INFINITY))[0] == 0, "exp of -inf");
    CHECK(std::isnan(nd::exp_below_zero(nd::splat(NAN))[0]), "exp of NaN");
}

template <class Rows, class Cols>
void norms(Rows rows, Cols cols) {
    Floats x = random_floats(rows * cols), g = random_floats(rows * cols), w = random_floats(cols), b = random_floats(cols);
    for (float& v : x) v += 50;
    Floats y(rows * cols), dx(rows * cols), mean(cols), var(cols), dw(cols), db(cols), scratch(nd::norm_scratch(rows, cols));
    nd::batch_norm(three_threads(), rows, cols, x.data(), w.data(), b.data(), 1e-3f, y.data(), mean.data(), var.data(), scratch.data());
    nd::batch_norm_gradient(three_threads(), rows, cols, g.data(), x.data(), w.data(), mean.data(), var.data(), 1e-3f, dx.data(),
                            dw.data(), db.data(), scratch.data());
    std::vector<double> ey(rows * cols), edx(rows * cols), edw(cols), edb(cols);
    for (int64_t c = 0; c < cols; ++c) {
        double m = 0, v = 0;
        for (int64_t r = 0; r < rows; ++r) m += double(x[r * cols + c]) / rows;
        for (int64_t r = 0; r < rows; ++r) v += (x[r * cols + c] - m) * (x[r * cols + c] - m) / rows;
        const double rstd = 1 / std::sqrt(v + 1e-3);
        for (int64_t r = 0; r < rows; ++r) {
            const double normal = (x[r * cols + c] - m) * rstd;
            ey[r * cols + c] = normal * w[c] + b[c];
            edw[c] += g[r * cols + c] * normal;
            edb[c] += g[r * cols + c];
        }
        for (int64_t r = 0; r < rows; ++r)
            edx[r * cols + c] = w[c] * rstd * (g[r * cols + c] - edb[c] / rows - (x[r * cols + c] - m) * rstd * edw[c] / rows);
    }
    close("batch norm", y, ey, 1e-4);
    close("batch norm dx", dx, edx, 1e-4);
    close("batch norm dweight", dw, edw, 1e-4);
    close("batch norm dbias", db, edb, 1e-5);
}

void layer_norms(int64_t rows, int64_t cols) {
    const Floats x = random_floats(rows * cols), g = random_floats(rows * cols), w = random_floats(cols), b = random_floats(cols);
    Floats y(rows * cols), dx(rows * cols), mean(rows), rstd(rows), dw(cols), db(cols), scratch(nd::norm_scratch(rows, cols));
    nd::layer_norm(three_threads(), rows, cols, x.data(), w.data(), b.data(), 1e-3f, y.data(), mean.data(), rstd.data());
    nd::layer_norm_gradient(three_threads(), rows, cols, g.data(), x.data(), w.data(), mean.data(), rstd.data(), dx.data(), dw.data(),
                            db.data(), scratch.data());
    std::vector<double> ey(rows * cols), edx(rows * cols), edw(cols), edb(cols);
    for (int64_t r = 0; r < rows; ++r) {
        const float *xr = &x[r * cols], *gr = &g[r * cols];
        double m = 0, v = 0, flat = 0, tilt = 0;
        for (int64_t c = 0; c < cols; ++c) m += double(xr[c]) / cols;
        for (int64_t c = 0; c < cols; ++c) v += (xr[c] - m) * (xr[c] - m) / cols;
        const double s = 1 / std::sqrt(v + 1e-3);
        for (int64_t c = 0; c < cols; ++c) {
            flat += gr[c] * w[c] / cols;
            tilt += gr[c] * w[c] * (xr[c] - m) * s / cols;
            edw[c] += gr[c] * (xr[c] - m) * s;
            edb[c] += gr[c];
            ey[r * cols + c] = (xr[c] - m) * s * w[c] + b[c];
        }
        for (int64_t c = 0; c < cols; ++c) edx[r * cols + c] = s * (gr[c] * w[c] - flat - (xr[c] - m) * s * tilt);
    }
    close("layer norm", y, ey, 1e-5);
    close("layer norm dx", dx, edx, 1e-5);
    close("layer norm dweight", dw, edw, 1e-5);
    close("layer norm dbias", db, edb, 1e-5);
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// The sum of all outputs as a function of the gates and states, for finite differences of the gradient.
double lstm_sum(int64_t steps, int64_t batch, int64_t hidden, const Floats& gates, Floats h, Floats c, const Floats& w) {
    double total = 0;
    for (int64_t t = 0; t < steps; ++t) {
        const Floats before = h;
        for (int64_t b = 0; b < batch; ++b)
            for (int64_t j = 0; j < hidden; ++j) {
                double z[4];
                for (int gate = 0; gate < 4; ++gate) {
                    const int64_t column = gate * hidden + j;
                    z[gate] = gates[(t * batch + b) * 4 * hidden + column];
                    for (int64_t i = 0; i < hidden; ++i) z[gate] += double(before[b * hidden + i]) * w[i * 4 * hidden + column];
                }
                const double cell = logistic(z[1]) * c[b * hidden + j] + logistic(z[0]) * std::tanh(z[2]);
                c[b * hidden + j] = float(cell);
                h[b * hidden + j] = float(logistic(z[3]) * std::tanh(cell));
                total += logistic(z[3]) * std::tanh(cell);
            }
    }
    return total;
}

void lstms(int64_t steps, int64_t batch, int64_t hidden) {
    const int64_t outputs = steps * batch * hidden, state = batch * hidden;
    Floats gates = random_floats(4 * outputs), h = random_floats(state), c = random_floats(state), w = random_floats(4 * hidden * hidden);
    Floats out(outputs), cells(outputs), act(4 * outputs), scratch(nd::lstm_gradient_scratch(steps, batch, hidden, 3));
    nd::lstm(three_threads(), steps, batch, hidden, gates.data(), h.data(), c.data(), w.data(), out.data(), cells.data(), act.data(),
             scratch.data());
    double sum = 0;
    for (float value : out) sum += value;
    CHECK(std::fabs(sum - lstm_sum(steps, batch, hidden, gates, h, c, w)) < 1e-4 * (1 + outputs), "lstm %d", int(hidden));

    const Floats ones(outputs, 1.0f), nothing(state);
    Floats d_gates(4 * outputs), dh(state), dc(state), dw(4 * hidden * hidden);
    nd::lstm_gradient(three_threads(), steps, batch, hidden,
                      {ones.data(), nothing.data(), out.data(), cells.data(), act.data(), h.data(), c.data(), w.data()}, d_gates.data(),
                      dh.data(), dc.data(), dw.data(), scratch.data());
    auto slope = [&](const char* what, Floats& x, const Floats& gradient) {
        const std::size_t at = random_bits() % x.size();
        const float kept = x[at];
        x[at] = kept + 0.01f;
        const double up = lstm_sum(steps, batch, hidden, gates, h, c, w);
        x[at] = kept - 0.01f;
        const double down = lstm_sum(steps, batch, hidden, gates, h, c, w);
        x[at] = kept;
        const double expected = (up - down) / 0.02;
        CHECK(std::fabs(gradient[at] - expected) < 2e-3 * (1 + std::fabs(expected)), "%s: %g, not %g", what, gradient[at], expected);
    };
    slope("d_gates", gates, d_gates);
    slope("dh0", h, dh);
    slope("dc0", c, dc);
    slope("dw_hh", w, dw);
}

// The sum of all outputs of a GRU (`parts` 3) or a plain network with tanh (1).
double gated_sum(int64_t steps, int64_t batch, int64_t hidden, int64_t parts, const Floats& gates, Floats h, const Floats& w,
                 const Floats& bias) {
    double total = 0;
    for (int64_t t = 0; t < steps; ++t) {
        const Floats before = h;
        for (int64_t b = 0; b < batch; ++b)
            for (int64_t j = 0; j < hidden; ++j) {
                double x[3], own[3];
                for (int64_t part = 0; part < parts; ++part) {
                    const int64_t column = part * hidden + j;
                    x[part] = gates[(t * batch + b) * parts * hidden + column];
                    own[part] = bias[column];
                    for (int64_t i = 0; i < hidden; ++i) own[part] += double(before[b * hidden + i]) * w[i * parts * hidden + column];
                }
                double y = std::tanh(x[0] + own[0]);
                if (parts == 3) {
                    const double z = logistic(x[1] + own[1]), fresh = std::tanh(x[2] + logistic(x[0] + own[0]) * own[2]);
                    y = (1 - z) * fresh + z * before[b * hidden + j];
                }
                h[b * hidden + j] = float(y);
                total += y;
            }
    }
    return total;
}

void gated(int64_t steps, int64_t batch, int64_t hidden, int64_t parts) {
    const int64_t outputs = steps * batch * hidden, wide = parts * hidden;
    Floats gates = random_floats(parts * outputs), h = random_floats(batch * hidden), w = random_floats(hidden * wide);
    Floats bias = parts == 3 ? random_floats(wide) : Floats(wide), out(outputs), act(4 * outputs);
    Floats scratch(nd::gru_gradient_scratch(steps, batch, hidden, 3));
    Floats d_gates(gates.size()), dh(h.size()), dw(w.size()), dbias(wide);
    const Floats ones(outputs, 1.0f);
    if (parts == 3) {
        nd::gru(three_threads(), steps, batch, hidden, gates.data(), h.data(), w.data(), bias.data(), out.data(), act.data(), scratch.data());
        nd::gru_gradient(three_threads(), steps, batch, hidden, {ones.data(), out.data(), act.data(), h.data(), w.data()},
                         d_gates.data(), dh.data(), dw.data(), dbias.data(), scratch.data());
    } else {
        nd::rnn(three_threads(), steps, batch, hidden, false, gates.data(), h.data(), w.data(), out.data(), scratch.data());
        nd::rnn_gradient(three_threads(), steps, batch, hidden, false, ones.data(), out.data(), h.data(), w.data(), d_gates.data(),
                         dh.data(), dw.data(), scratch.data());
    }
    double sum = 0;
    for (float value : out) sum += value;
    CHECK(std::fabs(sum - gated_sum(steps, batch, hidden, parts, gates, h, w, bias)) < 1e-4 * (1 + outputs), "gated %d", int(parts));
    auto slope = [&](const char* what, Floats& x, const Floats& gradient) {
        const std::size_t at = random_bits() % x.size();
        const float kept = x[at];
        x[at] = kept + 0.01f;
        const double up = gated_sum(steps, batch, hidden, parts, gates, h, w, bias);
        x[at] = kept - 0.01f;
        const double expected = (up - gated_sum(steps, batch, hidden, parts, gates, h, w, bias)) / 0.02;
        x[at] = kept;
        CHECK(std::fabs(gradient[at] - expected) < 5e-3 * (1 + std::fabs(expected)), "%s: %g, not %g", what, gradient[at], expected);
    };
    slope("gated d_gates", gates, d_gates);
    slope("gated dh0", h, dh);
    slope("gated dw_hh", w, dw);
    if (parts == 3) slope("gated dbias_hh", bias, dbias);
}

void attentions(int64_t heads, int64_t queries, int64_t keys, int64_t depth, bool causal) {
    const Floats q = random_floats(heads * queries * depth), k = random_floats(heads * keys * depth), v = random_floats(heads * keys * depth);
    const Floats g = random_floats(heads * queries * depth);
    Floats out(q.size()), lse(heads * queries), dq(q.size()), dk(k.size()), dv(v.size());
    Floats scratch(nd::attention_scratch(queries, keys, depth, 3));
    const nd::AttentionShape<> shape{1, heads, queries, keys, depth, 0.5f, causal};
    auto from = [&](const Floats& x, int64_t rows) { return nd::Heads<const float>{x.data(), 0, rows * depth, depth}; };
    auto to = [&](Floats& x, int64_t rows) { return nd::Heads<float>{x.data(), 0, rows * depth, depth}; };
    nd::attention(three_threads(), shape, from(q, queries), from(k, keys), from(v, keys), to(out, queries), lse.data(), scratch.data());
    Floats apart(2 * k.size()), again(q.size()), again_lse(lse.size());  // a key and its value side by side
    for (size_t i = 0; i < k.size(); ++i) {
        const size_t at = (i / depth * 2) * depth + i % depth;
        apart[at] = k[i], apart[at + depth] = v[i];
    }
    const auto beside = [&](int64_t first) { return nd::Heads<const float>{apart.data() + first, 0, 2 * keys * depth, 2 * depth}; };
    nd::attention(three_threads(), shape, from(q, queries), beside(0), beside(depth), to(again, queries), again_lse.data(), scratch.data());
    CHECK(again == out && again_lse == lse, "keys and values that lie apart give other bits");
    scratch.assign(nd::attention_gradient_scratch(keys, depth, 3), 0);
    nd::attention_gradient(three_threads(), shape,
                           {from(g, queries), from(q, queries), from(k, keys), from(v, keys), from(out, queries), lse.data()},
                           {to(dq, queries), to(dk, keys), to(dv, keys)}, scratch.data());
    std::vector<double> eout(q.size()), edq(q.size()), edk(k.size()), edv(v.size());
    for (int64_t row = 0; row < heads * queries; ++row) {
        const int64_t first = row / queries * keys, sees = causal ? row % queries + keys - queries + 1 : keys;
        std::vector<double> p(sees), dp(sees);
        double sum = 0, dot = 0;
        for (int64_t j = 0; j < sees; ++j) {
            double score = 0;
            for (int64_t d = 0; d < depth; ++d) score += 0.5 * q[row * depth + d] * k[(first + j) * depth + d];
            sum += p[j] = std::exp(score);
        }
        for (int64_t j = 0; j < sees; ++j) {
            p[j] /= sum;
            for (int64_t d = 0; d < depth; ++d) {
                eout[row * depth + d] += p[j] * v[(first + j) * depth + d];
                dp[j] += double(g[row * depth + d]) * v[(first + j) * depth + d];
                edv[(first + j) * depth + d] += p[j] * g[row * depth + d];
            }
            dot += p[j] * dp[j];
        }
        for (int64_t j = 0; j < sees; ++j)
            for (int64_t d = 0; d < depth; ++d) {
                edq[row * depth + d] += 0.5 * p[j] * (dp[j] - dot) * k[(first + j) * depth + d];
                edk[(first + j) * depth + d] += 0.5 * p[j] * (dp[j] - dot) * q[row * depth + d];
            }
    }
    close("attention", out, eout, 1e-5);
    close("attention dq", dq, edq, 1e-5);
    close("attention dk", dk, edk, 1e-5);
    close("attention dv", dv, edv, 1e-5);
}

void embeddings(int64_t count, int64_t rows, int64_t cols) {
    const Floats table = random_floats(rows * cols);
    Floats ids(count), y(count * cols), sums(rows * cols, 9.0f);
    for (float& id : ids) id = float(random_bits() % rows);
    nd::embedding(three_threads(), count, cols, ids.data(), table.data(), y.data());
    nd::embedding_gradient(three_threads(), count, cols, rows, ids.data(), y.data(), sums.data());
    std::vector<double> expected(rows * cols);
    for (int64_t i = 0; i < count; ++i)
        for (int64_t j = 0; j < cols; ++j) expected[int64_t(ids[i]) * cols + j] += table[int64_t(ids[i]) * cols + j];
    close("embedding and its gradient", sums, expected, 1e-5);
    CHECK(nd::first_bad_index(count, ids.data(), rows) == -1, "all ids are good");
    for (float bad : {-1.0f, float(rows), 0.5f, NAN, INFINITY, 1e30f}) {
        ids.back() = bad;
        CHECK(nd::first_bad_index(count, ids.data(), rows) == count - 1, "%g is no id", bad);
    }
}

void optimizers(int64_t count) {
    const Floats g = random_floats(count);
    Floats p = random_floats(count), m = random_floats(count), v(count, 0.5f), u = m, q = p;
    Floats r = p, w = m;
    std::vector<double> ep(count), em(count), ev(count), eu(count), eq(count), ew(count), er(count);
    double squares = 0;
    for (int64_t i = 0; i < count; ++i) {
        em[i] = 0.9 * m[i] + 0.1 * g[i];
        ev[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
        ep[i] = p[i] * 0.95 - 0.3 * em[i] / (std::sqrt(ev[i] * 2) + 1e-3);
        eu[i] = 0.9 * u[i] + 0.1 * (g[i] + 0.2 * q[i]);
        eq[i] = q[i] - 0.3 * eu[i];
        const double d = g[i] + 0.2 * r[i];
        ew[i] = 0.9 * w[i] + d;
        er[i] = r[i] - 0.3 * (d + 0.9 * ew[i]);
        squares += double(g[i]) * g[i];
    }
    nd::adam_step(three_threads(), {count, p.data(), g.data(), p.data(), m.data(), v.data()}, {0.9f, 0.99f, 1e-3f, 0.1f, 0.01f, 0, 0.95f, 0.3f, 2});
    nd::sgd_step(three_threads(), {count, q.data(), g.data(), q.data(), u.data(), nullptr}, {0.3f, 0.9f, 0.1f, 0.2f});
    nd::momentum_step(three_threads(), {count, r.data(), g.data(), r.data(), w.data(), nullptr}, {0.3f, 0.9f, 0.2f, true});
    Floats scratch(nd::squared_norm_scratch(count));
    const double norm = nd::squared_norm(three_threads(), count, g.data(), scratch.data());
    CHECK(std::fabs(norm - squares) <= 1e-6 * squares, "squared norm %g, not %g", norm, squares);
    close("Nesterov p", r, er, 1e-6);
    close("Nesterov u", w, ew, 1e-6);
    close("Adam p", p, ep, 1e-6);
    close("Adam m", m, em, 1e-6);
    close("Adam v", v, ev, 1e-6);
    close("SGD p", q, eq, 1e-6);
    close("SGD u", u, eu, 1e-6);
}

}  // namespace

int main() {
    exp_below_zero();
    for (int64_t cols : {1, 3, 16, 17, 64, 100, 1003}) softmax_rows(cols > 500 ? 40 : 7, cols);
    norms(nd::Const<37>{}, nd::Const<5>{});
    for (int64_t cols : {1, 7, 16, 33, 70}) norms(int64_t(1), cols), norms(int64_t(1100), cols), layer_norms(67, cols);
    for (int64_t hidden : {1, 5, 16, 21}) lstms(3, 1, hidden), lstms(4, 11, hidden);
    for (int64_t parts : {1, 3})
        for (int64_t hidden : {1, 5, 16, 21}) gated(3, 1, hidden, parts), gated(4, 11, hidden, parts);
    for (bool causal : {false, true})
        for (int64_t depth : {1, 5, 16, 35}) attentions(2, 1, 1, depth, causal), attentions(3, 33, 50, depth, causal), attentions(2, 70, 70, depth, causal);
    for (int64_t count : {1, 19, 40000}) optimizers(count);
    embeddings(1, 1, 1);
    embeddings(200, 90, 1003);
    return finish("fused kernels");
}
