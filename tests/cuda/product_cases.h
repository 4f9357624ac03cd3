// Products and convolutions at the precision that was chosen, against plain loops in double over operands that are rounded alike.
#pragma once
#include "../../csrc/cuda/conv.cuh"
#include "../../csrc/cuda/product.cuh"
#include "kernel_check.h"
#include "rounding.h"

namespace {

Precision precision = Precision::highest;

std::vector<double> operands(const std::vector<float>& x) {
    std::vector<double> y;
    for (const float value : x) y.push_back(rounded(precision, value));
    return y;
}

struct ProductCase {
    const char* name;
    ProductSize size;
    int64_t parts;
    bool transposed, wide;
};

void product_case(const ProductCase& given) {
    const ProductSize& s = given.size;
    const int64_t k = s.depth.length;
    const std::vector<float> a = random_floats(s.batch * s.m * k), b = random_floats(s.batch * k * s.n);
    const std::vector<double> x = operands(a), y = operands(b);
    const Floats left(a), right(b), scratch(product_scratch(s, given.parts));
    const Matrix left_matrix = given.transposed ? Matrix{left.p, 1, s.m} : Matrix{left.p, k, 1};
    const Matrix right_matrix = given.transposed ? Matrix{right.p, 1, k} : Matrix{right.p, s.n, 1};
    const auto rows = rows_of(left_matrix, s.m, s.m * k);
    const auto columns = columns_of(right_matrix, s.n, k * s.n);
    const auto run = [&](const Floats& c) {
        const Store store{c.p, s.m, s.n};
        const auto wide = [&](auto tile) {
            using T = decltype(tile);
            launch_tiles(T{}, on, given.name, s, 1, rows, columns, store);
        };
        if (!given.wide) product_in_parts(on, given.name, s, given.parts, rows, columns, store, scratch.p);
        else if (precision == Precision::high) wide(WideMma<Tf32>{});
        else if (precision == Precision::medium) wide(WideMma<Bfloat16>{});
        else wide(WideTile{});
    };
    const Floats c(s.batch * s.m * s.n), again(s.batch * s.m * s.n);
    run(c), run(again);
    compare(given.name, c, 1e-5, [&](int64_t at) {
        const int64_t batch = at / (s.m * s.n), i = at / s.n % s.m, j = at % s.n;
        double sum = 0;
        for (int64_t d = 0; d < k; ++d)
            sum += x[std::size_t(batch * s.m * k + (given.transposed ? d * s.m + i : i * k + d))] *
                   y[std::size_t(batch * k * s.n + (given.transposed ? j * k + d : d * s.n + j))];
        return sum;
    });
    const std::vector<float> first = c.get(), second = again.get();
    for (std::size_t i = 0; i < first.size(); ++i)
        CHECK(same_bits(first[i], second[i]), "%s: element %zu of another run", given.name, i);
}

void products() {
    for (const bool transposed : {false, true}) {
        product_case({"product", {2, 70, 65, {1, 35}}, 1, transposed, false});
        product_case({"product in parts", {1, 20, 10, {1, 333}}, 3, transposed, false});
        product_case({"wide product", {1, 130, 140, {1, 45}}, 1, transposed, true});
    }
}

void convolutions() {
    struct { ConvSizes s; int64_t groups; } cases[] = {
        {{2, 7, 6, 3, 5, 3, 1, 1}, 1}, {{1, 8, 8, 4, 6, 3, 2, 0}, 2}, {{1, 5, 5, 2, 2, 5, 3, 2}, 1},
        {{1, 9, 8, 35, 70, 3, 1, 1}, 1}};
    for (const auto& c : cases) {
        const ConvPlan p(c.s, c.groups);
        const ConvSizes& s = c.s;
        const std::vector<float> x = random_floats(s.images * s.height * s.width * s.in);
        const std::vector<float> w = random_floats(p.taps() * p.in * s.out), g = random_floats(p.outputs() * s.out);
        const std::vector<double> x_ = operands(x), w_ = operands(w), g_ = operands(g);
        std::vector<double> y(g.size()), dx(x.size()), dw(w.size());
        for (int64_t at = 0; at < p.outputs() * s.out; ++at) {
            const int64_t o = at % s.out, pixel = at / s.out;
            const int64_t j = pixel % p.columns, i = pixel / p.columns % p.rows, n = pixel / p.columns / p.rows;
            for (int64_t tap = 0; tap < p.taps(); ++tap)
                for (int64_t ci = 0; ci < p.in; ++ci) {
                    const int64_t h = i * s.stride + tap / s.kernel - s.padding, v = j * s.stride + tap % s.kernel - s.padding;
                    if (h < 0 || h >= s.height || v < 0 || v >= s.width) continue;
                    const auto from = std::size_t(((n * s.height + h) * s.width + v) * s.in + o / p.out * p.in + ci);
                    const auto weight = std::size_t((tap * p.in + ci) * s.out + o), to = std::size_t(at);
                    y[to] += x_[from] * w_[weight];
                    dx[from] += g_[to] * w_[weight];
                    dw[weight] += g_[to] * x_[from];
                }
        }
        const Floats dx_(int64_t(x.size())), dw_(int64_t(w.size())), y_(int64_t(y.size())), from(x), weight(w), gradient(g);
        const Floats scratch(weight_gradient_scratch(p));
        const Map map_x{from.p, {s.height * s.width * s.in, s.width * s.in, s.in, 1}};
        const Map map_g{gradient.p, {p.rows * p.columns * s.out, p.columns * s.out, s.out, 1}};
        conv_forward(on, p, map_x, weight.p, y_.p);
        compare("conv", y_, 1e-5, [&](int64_t i) { return y[std::size_t(i)]; });
        conv_input_gradient(on, p, map_g, weight.p, dx_.p);
        compare("conv_input_gradient", dx_, 1e-5, [&](int64_t i) { return dx[std::size_t(i)]; });
        conv_weight_gradient(on, p, map_x, map_g, dw_.p, scratch.p);
        compare("conv_weight_gradient", dw_, 1e-5, [&](int64_t i) { return dw[std::size_t(i)]; });
    }
}

}  // namespace

nd::Precision nd::product_precision() { return precision; }
