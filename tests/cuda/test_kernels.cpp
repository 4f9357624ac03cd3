// Kernels of csrc/cuda in the emulator (simt.h), against plain loops in double, at sizes that take every way through them: several
// tiles and slices, products cut into parts, rows for a warp and rows for a block. check.sh compiles and runs it.
#include "kernel_check.h"
#include "product_cases.h"
#include "../../csrc/cuda/attention.cuh"
#include "../../csrc/cuda/gather.cuh"
#include "../../csrc/cuda/norm.cuh"
#include "../../csrc/cuda/pointwise.cuh"
#include "../../csrc/cuda/reduce.cuh"
#include "../../csrc/cuda/softmax.cuh"

namespace {

template <class F, class... X>
void pointwise_case(const char* name, F f, const X&... x) {
    const std::size_t n = std::get<0>(std::tie(x...)).size();
    const Floats y(static_cast<int64_t>(n));
    map(on, name, static_cast<int64_t>(n), f, y.p, Floats(x).p...);
    const std::vector<float> got = y.get();
    for (std::size_t i = 0; i < n; ++i) CHECK(same_bits(got[i], f(x[i]...)), "%s: element %zu", name, i);
}

void pointwise_maps() {
    const std::vector<float> a = random_floats(1000), b = random_floats(1000);
    pointwise_case("gelu", Gelu{}, a);
    pointwise_case("power", Power{}, a, b);
    pointwise_case("where", Where{}, a, b, a);
    // y (3, 5, 4) = x + row, x transposed and row broadcast.
    Nest<3> nest{};
    nest.push(3, {20, 1, 0}), nest.push(5, {4, 12, 0}), nest.push(4, {1, 3, 1});
    const std::vector<float> x = random_floats(60), row = random_floats(4);
    const Floats y(60);
    map(on, "add", nest, Add{}, y.p, static_cast<const float*>(Floats(x).p), static_cast<const float*>(Floats(row).p));
    compare("strided add", y, 0, [&](int64_t i) { return x[static_cast<std::size_t>(i / 20 + i / 4 % 5 * 12 + i % 4 * 3)] + row[static_cast<std::size_t>(i % 4)]; });
}

void reductions() {
    struct { int64_t outer, k, inner; } cases[] = {{3, 5, 1}, {2, 2000, 1}, {1, 20000, 1}, {2, 7, 6}, {1, 700, 3}};
    for (const auto& c : cases) {
        const std::vector<float> x = random_floats(c.outer * c.k * c.inner);
        const Floats in(x), out(c.outer * c.inner), scratch(reduce_scratch(c.outer, c.k, c.inner));
        const auto fold = [&](int64_t at, double start, auto f) {
            double v = start;
            for (int64_t j = 0; j < c.k; ++j) v = f(v, x[static_cast<std::size_t>((at / c.inner * c.k + j) * c.inner + at % c.inner)]);
            return v;
        };
        reduce<SumFold>(on, "sum", c.outer, c.k, c.inner, in.p, out.p, scratch.p);
        compare("sum", out, 2e-5, [&](int64_t i) { return fold(i, 0, [](double a, double b) { return a + b; }); });
        reduce<MaxFold>(on, "max", c.outer, c.k, c.inner, in.p, out.p, scratch.p);
        compare("max", out, 0, [&](int64_t i) { return fold(i, -9, [](double a, double b) { return a > b ? a : b; }); });
    }
}

void rows() {
    for (const int64_t cols : {7, 1500}) {  // a warp, and a block
        const int64_t count = 3;
        const std::vector<float> x = random_floats(count * cols);
        const Floats in(x), y(count * cols), mean(count), rstd(count), ones(std::vector<float>(std::size_t(cols), 1)), zeros(std::vector<float>(std::size_t(cols), 0));
        std::vector<double> sum(3), middle(3), squares(3);
        for (int64_t i = 0; i < count * cols; ++i) sum[std::size_t(i / cols)] += std::exp(double(x[std::size_t(i)])), middle[std::size_t(i / cols)] += x[std::size_t(i)] / double(cols);
        for (int64_t i = 0; i < count * cols; ++i) squares[std::size_t(i / cols)] += std::pow(x[std::size_t(i)] - middle[std::size_t(i / cols)], 2) / double(cols);
        each_row(on, "softmax", count, cols, SoftmaxRow{in.p, y.p});
        compare("softmax", y, 1e-6, [&](int64_t i) { return std::exp(double(x[std::size_t(i)])) / sum[std::size_t(i / cols)]; });
        layer_norm(on, count, cols, in.p, ones.p, zeros.p, 1e-5f, y.p, mean.p, rstd.p);
        compare("layer_norm", y, 1e-5, [&](int64_t i) { return (x[std::size_t(i)] - middle[std::size_t(i / cols)]) / std::sqrt(squares[std::size_t(i / cols)] + 1e-5); });
    }
    const std::vector<float> x = random_floats(300 * 5);
    const Floats in(x), y(1500), mean(5), var(5), ones(std::vector<float>(5, 1)), zeros(std::vector<float>(5, 0)), scratch(norm_scratch(300, 5));
    batch_norm(on, 300, 5, in.p, ones.p, zeros.p, 1e-5f, y.p, mean.p, var.p, scratch.p);
    compare("batch_norm", mean, 1e-6, [&](int64_t j) {
        double sum = 0;
        for (int64_t i = 0; i < 300; ++i) sum += x[std::size_t(i * 5 + j)] / 300.0;
        return sum;
    });
}

void attentions() {
    for (const bool causal : {false, true}) {
        const AttentionShape<> s{1, 2, 40, 70, 33, 0.3f, causal};
        const std::vector<float> q = random_floats(2 * 40 * 33), k = random_floats(2 * 70 * 33), v = random_floats(2 * 70 * 33);
        const Floats qs(q), ks(k), vs(v), out(2 * 40 * 33), lse(80), dq(2 * 40 * 33), dk(2 * 70 * 33), dv(2 * 70 * 33), delta(80);
        const Heads<const float> heads_q{qs.p, 2640, 1320, 33}, heads_k{ks.p, 4620, 2310, 33}, heads_v{vs.p, 4620, 2310, 33};
        attention(on, s, heads_q, heads_k, heads_v, {out.p, 2640, 1320, 33}, lse.p, nullptr);
        const auto exact = [&](int64_t at, const std::vector<float>& keys) {
            const int64_t c = at % 33, i = at / 33 % 40, h = at / 1320;
            double total = 0, sum = 0;
            for (int64_t j = 0; j < (causal ? i + 31 : 70); ++j) {
                double score = 0;
                for (int64_t d = 0; d < 33; ++d) score += double(q[std::size_t((h * 40 + i) * 33 + d)]) * keys[std::size_t((h * 70 + j) * 33 + d)];
                total += std::exp(score * s.scale), sum += std::exp(score * s.scale) * v[std::size_t((h * 70 + j) * 33 + c)];
            }
            return sum / total;
        };
        compare("attention", out, 1e-5, [&](int64_t at) { return exact(at, k); });
        // The slope of the sum of all outputs along a change of the keys.
        const Floats g(std::vector<float>(2 * 40 * 33, 1));
        const AttentionGradientInputs in{{g.p, 2640, 1320, 33}, heads_q, heads_k, heads_v, {out.p, 2640, 1320, 33}, lse.p};
        attention_gradient(on, s, in, {{dq.p, 2640, 1320, 33}, {dk.p, 4620, 2310, 33}, {dv.p, 4620, 2310, 33}}, delta.p);
        const std::vector<float> slope = dk.get(), along = random_floats(int64_t(k.size()));
        std::vector<float> up = k, down = k;
        double wanted = 0, got = 0;
        for (std::size_t i = 0; i < k.size(); ++i) up[i] += 1e-3f * along[i], down[i] -= 1e-3f * along[i], got += double(slope[i]) * along[i];
        for (int64_t at = 0; at < 2640; ++at) wanted += (exact(at, up) - exact(at, down)) / 2e-3;
        CHECK(std::fabs(got - wanted) < 1e-2 * (1 + std::fabs(wanted)), "attention_gradient: %g, wanted %g", got, wanted);
    }
}

void gathers() {
    std::vector<float> ids(100);
    for (float& id : ids) id = float(random_bits() % 7);
    const std::vector<float> g = random_floats(100 * 3);
    const Floats dweight(8 * 3);
    take_gradient(on, 1, 8, 100, 3, Floats(g).p, Floats(ids).p, dweight.p);
    compare("take_gradient", dweight, 1e-5, [&](int64_t at) {
        double sum = 0;
        for (int64_t i = 0; i < 100; ++i) sum += int64_t(ids[std::size_t(i)]) == at / 3 ? g[std::size_t(i * 3 + at % 3)] : 0;
        return sum;
    });
}

}  // namespace

int main() {
    pointwise_maps();
    reductions();
    for (const Precision each : {Precision::highest, Precision::high, Precision::medium}) {
        precision = each;
        products();
        convolutions();
    }
    precision = Precision::highest;
    rows();
    attentions();
    gathers();
    return finish("test_kernels");
}
