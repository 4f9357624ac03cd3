// Group and root-mean-square normalisation against loops in double: groups that fill no vector, many and few images, numbers
// far from zero, one thread and three, which must agree bit for bit.
#include "../../csrc/nd/group_norm.h"
#include "../../csrc/nd/pool_impl.h"
#include "../../csrc/nd/rms_norm.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

void close(const char* what, const nd::GroupShape& s, const Floats& got, const Doubles& expected, double tolerance) {
    double largest = 1;
    for (double e : expected) largest = std::fmax(largest, std::fabs(e));
    for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK(std::fabs(got[i] - expected[i]) <= tolerance * largest, "%s of %d x %d x %d in %d groups: element %d is %g, not %g",
              what, int(s.images), int(s.pixels), int(s.channels), int(s.groups), int(i), got[i], expected[i]);
}

void group_norm(const nd::GroupShape& s, float offset) {
    const int64_t count = s.images * s.pixels * s.channels, width = s.width(), parts = s.images * s.groups;
    Floats x = random_floats(count), g = random_floats(count), weight = random_floats(s.channels), bias = random_floats(s.channels);
    for (float& v : x) v += offset;
    Doubles y(count), mean(parts), rstd(parts), dx(count), dweight(s.channels), dbias(s.channels);
    for (int64_t n = 0; n < s.images; ++n)
        for (int64_t k = 0; k < s.groups; ++k) {
            const auto each = [&](auto f) {
                for (int64_t p = 0; p < s.pixels; ++p)
                    for (int64_t c = k * width; c < (k + 1) * width; ++c) f((n * s.pixels + p) * s.channels + c, c);
            };
            const double size = double(s.pixels * width);
            double sum = 0, squares = 0, flat = 0, tilt = 0;
            each([&](int64_t i, int64_t) { sum += x[i]; });
            const double m = sum / size;
            each([&](int64_t i, int64_t) { squares += (x[i] - m) * (x[i] - m); });
            const double r = 1 / std::sqrt(squares / size + 1e-3);
            mean[n * s.groups + k] = m;
            rstd[n * s.groups + k] = r;
            each([&](int64_t i, int64_t c) {
                const double normal = (x[i] - m) * r, h = double(g[i]) * weight[c];
                y[i] = normal * weight[c] + bias[c];
                flat += h / size;
                tilt += h * normal / size;
                dweight[c] += g[i] * normal;
                dbias[c] += g[i];
            });
            each([&](int64_t i, int64_t c) { dx[i] = r * (double(g[i]) * weight[c] - flat - (x[i] - m) * r * tilt); });
        }
    const double tolerance = offset == 0 ? 1e-5 : 3e-4;  // offset loses digits of x itself
    Floats first;
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats a(count, -7.0f), b(parts), c(parts), d(count, -7.0f), e(s.channels), f(s.channels), scratch(nd::group_norm_scratch(s));
        nd::group_norm(on, s, x.data(), weight.data(), bias.data(), 1e-3f, a.data(), b.data(), c.data(), scratch.data());
        close("output", s, a, y, tolerance);
        close("mean", s, b, mean, tolerance);
        close("rstd", s, c, rstd, tolerance);
        nd::group_norm_gradient(on, s, g.data(), x.data(), weight.data(), b.data(), c.data(), d.data(), e.data(), f.data(), scratch.data());
        close("dx", s, d, dx, tolerance);
        close("dweight", s, e, dweight, tolerance);
        close("dbias", s, f, dbias, tolerance);
        for (const Floats* part : {&b, &c, &d, &e, &f}) a.insert(a.end(), part->begin(), part->end());
        CHECK(first.empty() || first == a, "the bits depend on threads");
        first = a;
    }
}

void rms_norm(int64_t rows, int64_t cols) {
    Floats x = random_floats(rows * cols), g = random_floats(rows * cols), weight = random_floats(cols);
    Doubles y(rows * cols), rstd(rows), dx(rows * cols), dweight(cols);
    for (int64_t row = 0; row < rows; ++row) {
        const float *from = x.data() + row * cols, *gradient = g.data() + row * cols;
        double squares = 0, tilt = 0;
        for (int64_t j = 0; j < cols; ++j) squares += double(from[j]) * from[j];
        const double r = rstd[row] = 1 / std::sqrt(squares / double(cols) + 1e-3);
        for (int64_t j = 0; j < cols; ++j) {
            y[row * cols + j] = from[j] * r * weight[j];
            tilt += double(gradient[j]) * weight[j] * from[j] * r / double(cols);
            dweight[j] += gradient[j] * from[j] * r;
        }
        for (int64_t j = 0; j < cols; ++j) dx[row * cols + j] = r * (double(gradient[j]) * weight[j] - from[j] * r * tilt);
    }
    const nd::GroupShape shape{rows, 1, cols, 1};
    Floats first;
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats a(rows * cols, -7.0f), b(rows), c(rows * cols, -7.0f), d(cols), scratch(nd::norm_scratch(rows, cols));
        nd::rms_norm(on, rows, cols, x.data(), weight.data(), 1e-3f, a.data(), b.data());
        close("rms norm", shape, a, y, 2e-6);
        nd::rms_norm_gradient(on, rows, cols, g.data(), x.data(), weight.data(), b.data(), c.data(), d.data(), scratch.data());
        close("dx of rms norm", shape, c, dx, 2e-6);
        close("dweight of rms norm", shape, d, dweight, 5e-6);
        for (const Floats* part : {&b, &c, &d}) a.insert(a.end(), part->begin(), part->end());
        CHECK(first.empty() || first == a, "the bits depend on threads");
        first = a;
    }
}

}  // namespace

int main() {
    for (int64_t images : {1, 2, 13})
        for (int64_t pixels : {1, 7, 300})
            for (float offset : {0.0f, 50.0f}) {
                for (int64_t groups : {1, 2, 3, 6}) group_norm({images, pixels, 6, groups}, offset);
                for (int64_t groups : {1, 4, 40}) group_norm({images, pixels, 40, groups}, offset);
                group_norm({images, pixels, 96, 32}, offset);
            }
    group_norm({1, 2000, 64, 32}, 0);  // one image is shared out by groups
    for (int64_t rows : {1, 9, 300})
        for (int64_t cols : {1, 5, 16, 70, 384}) rms_norm(rows, cols);
    return finish("group norm");
}
