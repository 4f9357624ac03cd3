// Winograd's convolution and its two gradients against sums in double precision: within a few roundings of the direct kernels,
// and the same bits for one thread and three; odd sizes, every padding, maps in planes, several rounds of tiles.
#include "../../csrc/nd/pool_impl.h"
#include "../../csrc/nd/winograd_conv.h"
#include "../../csrc/nd/winograd_gradients.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

struct Case {
    nd::ConvShape<> s;
    int64_t images;
    bool planes;
    int64_t rows() const { return nd::conv_rows(s).outputs; }
    int64_t columns() const { return nd::conv_columns(s).outputs; }

    // Calls f(n, tap, row, column, y, x): output (row, column) of map n reads the input at (y, x) through this tap.
    template <class F>
    void each_meeting(const F& f) const {
        for (int64_t n = 0; n < images; ++n)
            for (int64_t i = 0; i < rows() * columns(); ++i)
                for (int64_t t = 0; t < s.kernel * s.kernel; ++t) {
                    const int64_t r = i / columns(), y = r * s.stride + t / s.kernel - s.padding;
                    const int64_t q = i % columns(), x = q * s.stride + t % s.kernel - s.padding;
                    if (y >= 0 && y < s.height && x >= 0 && x < s.width) f(n, t, r, q, y, x);
                }
    }
};

nd::Strides4 strides_of(int64_t h, int64_t w, int64_t c, bool planes) {
    return planes ? nd::Strides4{h * w * c, w, 1, h * w} : nd::Strides4{h * w * c, w * c, c, 1};
}

void near(const char* what, const Case& c, const Floats& got, const Doubles& expected) {
    double square = 0;
    for (double v : expected) square += v * v;
    const double size = std::sqrt(square / double(expected.size()));
    for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK(std::abs(got[i] - expected[i]) <= 2e-5 * size, "%s of %d maps %d x %d x %d -> %d, kernel %d, padding %d: element %d is %g, not %g",
              what, int(c.images), int(c.s.height), int(c.s.width), int(c.s.in), int(c.s.out), int(c.s.kernel), int(c.s.padding), int(i), got[i],
              expected[i]);
}

void check(const Case& c) {
    const nd::ConvShape<>& s = c.s;
    const nd::Strides4 xs = strides_of(s.height, s.width, s.in, c.planes), gs = strides_of(c.rows(), c.columns(), s.out, c.planes);
    const Floats x = random_floats(c.images * s.height * s.width * s.in), w = random_floats(s.kernel * s.kernel * s.in * s.out);
    const Floats g = random_floats(c.images * c.rows() * c.columns() * s.out);
    Doubles y(g.size()), dx(x.size()), dw(w.size());
    const auto at = [](const Floats& f, const nd::Strides4& t, int64_t n, int64_t i, int64_t j, int64_t k) {
        return double(f[n * t.n + i * t.h + j * t.w + k * t.c]);
    };
    c.each_meeting([&](int64_t n, int64_t t, int64_t r, int64_t q, int64_t u, int64_t v) {
        for (int64_t a = 0; a < s.in; ++a)
            for (int64_t b = 0; b < s.out; ++b) {
                const double input = at(x, xs, n, u, v, a), grad = at(g, gs, n, r, q, b), weight = w[(t * s.in + a) * s.out + b];
                y[((n * c.rows() + r) * c.columns() + q) * s.out + b] += input * weight;
                dx[((n * s.height + u) * s.width + v) * s.in + a] += grad * weight;
                dw[(t * s.in + a) * s.out + b] += input * grad;
            }
    });
    static nd::Pool* pool = nd::pool_create(3);
    Floats first;
    for (const nd::Executor& on : {nd::Executor{}, nd::pool_executor(pool)}) {
        Floats result(y.size() + dx.size() + dw.size(), -7.0f);
        float *out = result.data(), *back = out + y.size(), *weights = back + dx.size();
        Floats scratch(nd::winograd_scratch(s, c.images, on.threads));
        nd::winograd(on, s, c.images, x.data(), xs, w.data(), out, scratch.data());
        near("output", c, {out, back}, y);
        scratch = Floats(nd::winograd_input_gradient_scratch(s, c.images, on.threads));
        nd::winograd_input_gradient(on, s, c.images, g.data(), gs, w.data(), back, scratch.data());
        near("input gradient", c, {back, weights}, dx);
        scratch = Floats(nd::winograd_weight_gradient_scratch(s, c.images, on.threads));
        nd::winograd_weight_gradient(on, s, c.images, x.data(), xs, g.data(), gs, weights, scratch.data());
        near("weight gradient", c, {weights, weights + dw.size()}, dw);
        if (first.empty()) first = result;
        CHECK(std::memcmp(first.data(), result.data(), sizeof(float) * result.size()) == 0, "threads change the bits");
    }
}

// Weights at the points as winograd_conv.h has them, of taps (i, j) of channel k and column c.
template <class Filter, class Tap>
void at_points(int64_t in, int64_t out, const Tap& tap, float* packed) {
    constexpr int T = Filter::taps, P = Filter::points;
    const int64_t padded = nd::round_up(out, nd::kBlock);
    Floats w(T * T * in * padded), points(P * P * in * nd::kBlock);
    for (int64_t t = 0; t < T * T; ++t)
        for (int64_t k = 0; k < in; ++k)
            for (int64_t c = 0; c < out; ++c) w[(t * in + k) * padded + c] = tap(t / T, t % T, k, c);
    const nd::TapWeights weights{w.data(), T * in * padded, in * padded, 1, in, 0, 0, padded, 1};
    for (int64_t block = 0; block < padded / nd::kBlock; ++block, packed += P * P * in * nd::kBlock)
        nd::weights_to_points<Filter>(weights, in, block * nd::kBlock, 1, packed, in * nd::kBlock);
}

// What programs call, with exactly the scratch that it asks for: `forward` convolutions of 3 x 3 taps and transposed ones of 4 x 4.
void check_programs(const Case& c, int64_t round) {
    const nd::ConvShape<>& s = c.s;
    const bool transposed = s.kernel == 2 * s.stride;
    const int64_t inner = transposed ? s.out : s.in, outer = transposed ? s.in : s.out;
    const int64_t high = transposed ? c.rows() : s.height, wide = transposed ? c.columns() : s.width;
    const Floats x = random_floats(c.images * high * wide * inner), w = random_floats(s.kernel * s.kernel * s.in * s.out);
    const nd::Strides4 xs = strides_of(high, wide, inner, c.planes);
    Doubles expected(c.images * (transposed ? s.height * s.width : c.rows() * c.columns()) * outer);
    c.each_meeting([&](int64_t n, int64_t t, int64_t r, int64_t q, int64_t u, int64_t v) {
        const int64_t from = transposed ? r * xs.h + q * xs.w : u * xs.h + v * xs.w;
        const int64_t to = transposed ? (n * s.height + u) * s.width + v : (n * c.rows() + r) * c.columns() + q;
        for (int64_t a = 0; a < inner; ++a)
            for (int64_t b = 0; b < outer; ++b)
                expected[to * outer + b] += double(x[n * xs.n + from + a * xs.c]) *
                                            w[(t * s.in + (transposed ? b : a)) * s.out + (transposed ? a : b)];
    });
    static nd::Pool* pool = nd::pool_create(3);
    Floats first;
    for (const nd::Executor& on : {nd::Executor{}, nd::pool_executor(pool)}) {
        Floats y(expected.size(), -7.0f);
        if (transposed) {
            using Filter = nd::TwoTaps;
            const nd::WinogradProduct<Filter> plan{s.out, s.in, round};
            const int64_t size = plan.blocks() * plan.weight_block();
            Floats packed(s.stride * s.stride * size), scratch(plan.scratch(on.threads));
            for (int64_t phase = 0; phase < s.stride * s.stride; ++phase)
                at_points<Filter>(s.out, s.in, [&](int64_t i, int64_t j, int64_t k, int64_t column) {
                    const int64_t down = (phase / s.stride + s.padding) % s.stride + s.stride * (1 - i);
                    const int64_t across = (phase % s.stride + s.padding) % s.stride + s.stride * (1 - j);
                    return w[((down * s.kernel + across) * s.in + column) * s.out + k];
                }, packed.data() + phase * size);
            nd::winograd_transposed<Filter>(on, s, round, c.images, x.data(), xs, packed.data(), y.data(), scratch.data());
        } else {
            using Filter = nd::ThreeTaps;
            const nd::WinogradProduct<Filter> plan{s.in, s.out, round};
            Floats packed(plan.blocks() * plan.weight_block()), scratch(plan.scratch(on.threads));
            at_points<Filter>(s.in, s.out, [&](int64_t i, int64_t j, int64_t k, int64_t column) {
                return w[((i * 3 + j) * s.in + k) * s.out + column];
            }, packed.data());
            nd::winograd_conv<Filter>(on, s, round, c.images, x.data(), xs, packed.data(), y.data(), scratch.data());
        }
        near(transposed ? "transposed" : "program", c, y, expected);
        if (first.empty()) first = y;
        CHECK(std::memcmp(first.data(), y.data(), sizeof(float) * y.size()) == 0, "threads change the bits");
    }
}

}  // namespace

int main() {
    check_programs({{13, 9, 32, 40, 3, 1, 1}, 3, false}, 5);
    check_programs({{6, 11, 16, 21, 3, 1, 2}, 2, true}, 40);
    check_programs({{14, 22, 40, 32, 4, 2, 1}, 3, false}, 5);
    check_programs({{9, 13, 21, 16, 4, 2, 0}, 2, true}, 64);
    check_programs({{2, 11, 16, 48, 6, 3, 2}, 2, false}, 4);
    for (int64_t padding : {0, 1, 2})
        for (bool planes : {false, true}) {
            check({{7, 6, 16, 32, 3, 1, padding}, 2, planes});
            check({{3, 9, 32, 48, 3, 1, padding}, 3, planes});
            check({{7, 10, 32, 16, 4, 2, padding}, 3, planes});
            check({{9, 4, 16, 32, 2, 1, padding}, 2, planes});
        }
    check({{16, 16, 16, 16, 3, 1, 1}, 17, false});  // several rounds
    check({{16, 18, 16, 16, 4, 2, 1}, 23, false});
    check({{13, 12, 16, 16, 6, 2, 2}, 2, false});
    check({{4, 4, 48, 80, 3, 1, 1}, 5, false});     // more panels than threads, the last one half full
    CHECK(nd::winograd_pays({8, 8, 64, 64, 3, 1, 1}, 2), "8 tiles");
    CHECK(!nd::winograd_pays({8, 8, 64, 64, 3, 1, 1}, 1), "4 tiles");
    CHECK(!nd::winograd_pays({8, 8, 64, 65, 3, 1, 1}, 2), "channels that fill no vector");
    CHECK(!nd::winograd_pays({8, 8, 64, 64, 3, 2, 1}, 2), "a stride");
    CHECK(!nd::winograd_pays({2, 2, 64, 64, 3, 1, 1}, 64), "maps smaller than a tile");
    CHECK(!nd::winograd_pays({1, 1, 64, 64, 3, 1, 0}, 64), "a kernel larger than the map");
    return finish("winograd");
}
