// The largest error of nd/math.h over a dense sweep of all floats, against the C library in double; that a float alone gives the bits of a
// lane; and the special cases.
#include "../../csrc/nd/math.h"
#include "check.h"
#include <cstdlib>

namespace {

// |got - exact| in units in the last place of a float near `exact`.
double ulps(float got, double exact) {
    const float rounded = static_cast<float>(exact);
    if (std::isnan(exact)) return std::isnan(got) ? 0 : 1e9;
    if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0 : std::fabs(exact) > 3.4028235e38 ? 1 : 1e9;
    if (rounded == 0 && got == 0) return std::signbit(got) == std::signbit(rounded) ? 0 : 1e9;
    const int exponent = std::max(std::ilogb(exact), -126);
    return std::fabs(got - exact) / std::ldexp(1.0, exponent - 23);
}

template <class F, class Exact>
void sweep(const char* name, double bound, F f, Exact exact, uint32_t step) {
    double worst = 0;
    float at = 0;
    for (uint64_t bits = 0; bits < (1ull << 32); bits += static_cast<uint64_t>(step) * nd::kLanes) {
        float x[nd::kLanes], y[nd::kLanes];
        for (int i = 0; i < nd::kLanes; ++i) x[i] = float_of(static_cast<uint32_t>(bits + static_cast<uint64_t>(i) * step));
        nd::store(y, f(nd::load(x)));
        for (int i = 0; i < nd::kLanes; ++i) {
            const double error = ulps(y[i], exact(x[i]));
            const float alone = f(x[i]);
            CHECK(same_bits(alone, y[i]), "%s(%.9g): a lane %.9g, a float alone %.9g", name, x[i], y[i], alone);
            if (error > worst) worst = error, at = x[i];
        }
    }
    std::printf("  %-8s %.3f ulp at %.9g\n", name, worst, at);
    CHECK(worst <= bound, "%s: %.3f ulp at %.9g, at most %.1f are promised", name, worst, at, bound);
}

void powers() {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const float edge[] = {0.0f, -0.0f, 1, -1, 2, -2, 0.5f, -0.5f, 3, -3, 1e-45f, -1e-45f, 3.4e38f, -3.4e38f, 16777217.0f,
                          8388607.5f, 1.5f, -1.5f, inf, -inf, nan};
    for (float x : edge)
        for (float y : edge) {
            const float got = nd::pow(x, y), wanted = std::pow(x, y);
            const bool close = same_bits(got, wanted) || ulps(got, std::pow(double(x), double(y))) <= 1;
            CHECK(close, "pow(%g, %g) = %g, wanted %g", x, y, got, wanted);
            CHECK(same_bits(got, nd::pow(nd::splat(x), nd::splat(y))[0]), "pow(%g, %g): a float and a lane differ", x, y);
        }
    double worst = 0;
    for (int i = 0; i < 1000000; ++i) {
        const float x = std::ldexp(1 + std::fabs(uniform()), static_cast<int>(random_bits() % 252) - 126);
        const float y = uniform() * std::pow(10.0f, 3 * uniform());
        const float got = nd::pow(nd::splat(x), nd::splat(y))[0];
        CHECK(same_bits(got, nd::pow(x, y)), "pow(%.9g, %.9g): a float and a lane differ", x, y);
        worst = std::max(worst, ulps(got, std::pow(double(x), double(y))));
    }
    std::printf("  %-8s %.3f ulp\n", "pow", worst);
    CHECK(worst <= 0.6, "pow: %.3f ulp", worst);
}

}  // namespace

int main(int argc, char** argv) {
    const uint32_t step = argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : 509;  // 1: every float there is
    sweep("exp", 1.1, [](auto x) { return nd::exp(x); }, [](double x) { return std::exp(x); }, step);
    sweep("log", 1, [](auto x) { return nd::log(x); }, [](double x) { return std::log(x); }, step);
    sweep("tanh", 1.5, [](auto x) { return nd::tanh(x); }, [](double x) { return std::tanh(x); }, step);
    sweep("sigmoid", 2.5, [](auto x) { return nd::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }, step);
    sweep("erf", 1.5, [](auto x) { return nd::erf(x); }, [](double x) { return std::erf(x); }, step);
    sweep("normal_cdf", 70, [](auto x) { return nd::normal_cdf(x, nd::bell(x)); },
          [](double x) { return x < 0 && float(x) * float(x) * 0.5f > 87 ? 0 : 0.5 * std::erfc(-x * std::sqrt(0.5)); }, step);
    sweep("upper cdf", 7, [](auto x) { return nd::select(x > -3.0f, nd::normal_cdf(x, nd::bell(x)), x); },
          [](double x) { return x > -3 ? 0.5 * std::erfc(-x * std::sqrt(0.5)) : x; }, step);
    sweep("log1p_exp", 3, [](auto x) { return nd::log1p_exp(x); },
          [](double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }, step);
    sweep("sqrt", 0.5, [](auto x) { return nd::square_root(x); }, [](double x) { return std::sqrt(x); }, step);
    powers();
    return finish("test_math");
}
