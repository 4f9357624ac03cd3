// Depthwise convolution and its two gradients against plain loops: kernels, strides, paddings and dilations of every kind,
// views, channels that fill no vector, one thread and three. Values and the input's gradient are compared bit for bit.
#include "../../csrc/nd/depthwise_weight.h"
#include "../../csrc/nd/pool_impl.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

// A map with a gap behind each row.
struct Map {
    int64_t h, w, c, row;
    Floats floats;
    Map(int64_t n, int64_t h, int64_t w, int64_t c) : h(h), w(w), c(c), row(w * c + 3), floats(random_floats(n * h * row)) {}
    nd::Planes planes() const { return {floats.data(), h * row, row, c}; }
    float at(int64_t i, int64_t y, int64_t x, int64_t k) const { return floats[(i * h + y) * row + x * c + k]; }
};

// Calls f(n, output row, output column, tap row, tap column, input row, input column) for every meeting of a tap and the map.
template <class F>
void each_meeting(const nd::DepthwiseShape& s, const F& f) {
    for (int64_t n = 0; n < s.images; ++n)
        for (int64_t i = 0; i < s.rows(); ++i)
            for (int64_t j = 0; j < s.columns(); ++j)
                for (int64_t u = 0; u < s.kernel; ++u)
                    for (int64_t v = 0; v < s.kernel; ++v) {
                        const int64_t y = i * s.stride + u * s.dilation - s.top, x = j * s.stride + v * s.dilation - s.left;
                        if (y >= 0 && y < s.height && x >= 0 && x < s.width) f(n, i, j, u, v, y, x);
                    }
}

void check(const nd::DepthwiseShape& s) {
    const Map x(s.images, s.height, s.width, s.channels), g(s.images, s.rows(), s.columns(), s.channels);
    const Floats w = random_floats(s.kernel * s.kernel * s.channels);
    Floats y(s.images * s.rows() * s.columns() * s.channels), dx(s.images * s.height * s.width * s.channels);
    std::vector<double> dw(w.size());
    each_meeting(s, [&](int64_t n, int64_t i, int64_t j, int64_t u, int64_t v, int64_t row, int64_t column) {
        for (int64_t c = 0; c < s.channels; ++c) {
            const int64_t tap = (u * s.kernel + v) * s.channels + c;
            float& sum = y[((n * s.rows() + i) * s.columns() + j) * s.channels + c];
            sum = nd::fma(x.at(n, row, column, c), w[tap], sum);
            float& back = dx[((n * s.height + row) * s.width + column) * s.channels + c];
            back = nd::fma(g.at(n, i, j, c), w[tap], back);
            dw[tap] += double(x.at(n, row, column, c)) * g.at(n, i, j, c);
        }
    });
    const char* shape = "%d maps %d x %d x %d, kernel %d, stride %d, padding %d and %d, dilation %d: element %d is %g, not %g";
    const auto say = [&](const char* what, std::size_t i, double got, double expected) {
        std::printf("%s of ", what);
        std::printf(shape, int(s.images), int(s.height), int(s.width), int(s.channels), int(s.kernel), int(s.stride), int(s.top),
                    int(s.left), int(s.dilation), int(i), got, expected);
        std::printf("\n");
    };
    Floats alone;
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats scratch(nd::depthwise_scratch(s)), result(y.size(), -7.0f), back(dx.size(), -7.0f), weight(w.size(), -7.0f);
        nd::depthwise(on, s, x.planes(), w.data(), result.data(), scratch.data(), nd::Steps{});
        for (std::size_t i = 0; i < y.size(); ++i)
            if (result[i] != y[i] && ++failures < 20) say("output", i, result[i], y[i]);
        nd::depthwise(on, s, x.planes(), w.data(), result.data(), scratch.data(), nd::then(nd::Apply<nd::Relu>{}));
        for (std::size_t i = 0; i < y.size(); ++i)
            if (const float positive = y[i] > 0 ? y[i] : 0; result[i] != positive && ++failures < 20) say("output behind relu", i, result[i], positive);
        nd::depthwise_input_gradient(on, s, g.planes(), w.data(), back.data(), scratch.data());
        for (std::size_t i = 0; i < dx.size(); ++i)
            if (back[i] != dx[i] && ++failures < 20) say("input gradient", i, back[i], dx[i]);
        scratch.resize(nd::depthwise_weight_scratch(s));
        nd::depthwise_weight_gradient(on, s, x.planes(), g.planes(), weight.data(), scratch.data());
        for (std::size_t i = 0; i < w.size(); ++i)
            if (std::fabs(weight[i] - dw[i]) > 1e-5 * (3 + std::fabs(dw[i])) && ++failures < 20) say("weight gradient", i, weight[i], dw[i]);
        CHECK(alone.empty() || alone == weight, "the weight's gradient depends on threads");
        alone = weight;
    }
}

}  // namespace

int main() {
    for (int64_t channels : {1, 5, 16, 39})
        for (int64_t kernel : {1, 2, 3, 5})
            for (int64_t stride : {1, 2, 3})
                for (int64_t padding : {0, 1, 3})
                    for (int64_t dilation : {1, 2}) {
                        const nd::DepthwiseShape s{2, 6, 9, channels, kernel, stride, padding, padding / 2, dilation};
                        if (s.rows() > 0 && s.columns() > 0) check(s);
                    }
    check({1, 1, 1, 20, 3, 1, 1, 1, 1});
    check({0, 4, 4, 3, 3, 1, 1, 1, 1});
    check({5, 30, 31, 70, 3, 1, 1, 1, 1});  // several chunks of rows
    check({3, 17, 16, 33, 4, 2, 1, 1, 3});
    return finish("depthwise");
}
