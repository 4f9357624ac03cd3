// Winograd's convolution and its two gradients against sums in double precision: within a few roundings of the direct kernels,
// and the same bits for one thread and three; odd sizes, every padding, maps in planes, several rounds of tiles.
#include "../../csrc/nd/pool_impl.h"
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
    for (int64_t n = 0; n < c.images; ++n)
        for (int64_t i = 0; i < c.rows() * c.columns(); ++i)
            for (int64_t t = 0; t < s.kernel * s.kernel; ++t) {
                const int64_t r = i / c.columns(), u = r * s.stride + t / s.kernel - s.padding;
                const int64_t q = i % c.columns(), v = q * s.stride + t % s.kernel - s.padding;
                if (u < 0 || u >= s.height || v < 0 || v >= s.width) continue;
                for (int64_t a = 0; a < s.in; ++a)
                    for (int64_t b = 0; b < s.out; ++b) {
                        const double input = at(x, xs, n, u, v, a), grad = at(g, gs, n, r, q, b), weight = w[(t * s.in + a) * s.out + b];
                        y[((n * c.rows() + r) * c.columns() + q) * s.out + b] += input * weight;
                        dx[((n * s.height + u) * s.width + v) * s.in + a] += grad * weight;
                        dw[(t * s.in + a) * s.out + b] += input * grad;
                    }
            }
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

}  // namespace

int main() {
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
