// Convolution and its two gradients against plain loops over the same chains of multiply-adds, bit for bit: kernels, strides and
// paddings of every kind, views, buffers without slack, one thread and three, few images and many.
#include "../../csrc/nd/conv_gradients.h"
#include "../../csrc/nd/conv_scatter.h"
#include "../../csrc/nd/direct_conv.h"
#include "../../csrc/nd/grouped_conv.h"
#include "../../csrc/nd/pool_impl.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

// An NHWC map stored in that order, in planes, or with gaps between its rows.
struct Stored {
    int64_t n, h, w, c;
    nd::Strides4 strides;
    Floats floats;
    Stored(int64_t n, int64_t h, int64_t w, int64_t c, int layout) : n(n), h(h), w(w), c(c) {
        if (layout == 0) strides = {h * w * c, w * c, c, 1};
        if (layout == 1) strides = {h * w * c, w, 1, h * w};
        if (layout == 2) strides = {h * (w * c + 3), w * c + 3, c, 1};
        const bool empty = n * h * w * c == 0;
        floats = random_floats(empty ? 0 : (n - 1) * strides.n + (h - 1) * strides.h + (w - 1) * strides.w + (c - 1) * strides.c + 1);
    }
    float at(int64_t i, int64_t y, int64_t x, int64_t k) const {
        return floats[i * strides.n + y * strides.h + x * strides.w + k * strides.c];
    }
};

struct Case {
    nd::ConvShape<> s;
    int64_t images;
    int layout;
    int64_t rows() const { return nd::conv_outputs(s.height, s.kernel, s.stride, s.padding); }
    int64_t columns() const { return nd::conv_outputs(s.width, s.kernel, s.stride, s.padding); }
};

// Calls f(n, output row, output column, kernel row, kernel column, input row, input column) in ascending order for every
// meeting of a tap and an input pixel.
template <class F>
void each_meeting(const Case& c, const F& f) {
    for (int64_t n = 0; n < c.images; ++n)
        for (int64_t i = 0; i < c.rows(); ++i)
            for (int64_t j = 0; j < c.columns(); ++j)
                for (int64_t k = 0; k < c.s.kernel; ++k)
                    for (int64_t l = 0; l < c.s.kernel; ++l) {
                        const int64_t y = i * c.s.stride + k - c.s.padding, x = j * c.s.stride + l - c.s.padding;
                        if (y >= 0 && y < c.s.height && x >= 0 && x < c.s.width) f(n, i, j, k, l, y, x);
                    }
}

void same(const char* what, const Case& c, const Floats& got, const Floats& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK(got[i] == expected[i], "%s of %d maps %d x %d x %d -> %d, kernel %d, stride %d, padding %d, layout %d: element %d is %g, not %g",
              what, int(c.images), int(c.s.height), int(c.s.width), int(c.s.in), int(c.s.out), int(c.s.kernel), int(c.s.stride),
              int(c.s.padding), c.layout, int(i), got[i], expected[i]);
}

// The input gradient by windows adds up in another order: near the chains, and the same for every number of threads.
void check_scatter(const Case& c, const Stored& g, const Floats& w, const Floats& dx) {
    Floats first;
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats scratch(nd::Scatter(c.s).scratch(on.threads)), result(dx.size(), -7.0f);
        nd::conv_scatter(on, c.s, c.images, g.floats.data(), g.strides, w.data(), result.data(), scratch.data());
        for (std::size_t i = 0; i < dx.size(); ++i)
            CHECK(std::abs(result[i] - dx[i]) <= 1e-4f, "windows: element %d is %g, not %g", int(i), result[i], dx[i]);
        if (first.empty()) first = result;
        same("windows", c, result, first);
    }
}

void check(const Case& c) {
    const nd::ConvShape<>& s = c.s;
    const Stored x(c.images, s.height, s.width, s.in, c.layout), g(c.images, c.rows(), c.columns(), s.out, c.layout);
    const Floats w = random_floats(s.kernel * s.kernel * s.in * s.out);
    Floats y(c.images * c.rows() * c.columns() * s.out), dx(c.images * s.height * s.width * s.in), dw(w.size());
    each_meeting(c, [&](int64_t n, int64_t i, int64_t j, int64_t k, int64_t l, int64_t row, int64_t column) {
        for (int64_t a = 0; a < s.in; ++a)
            for (int64_t b = 0; b < s.out; ++b) {
                const int64_t at = ((k * s.kernel + l) * s.in + a) * s.out + b;
                float& sum = y[((n * c.rows() + i) * c.columns() + j) * s.out + b];
                sum = nd::fma(x.at(n, row, column, a), w[at], sum);
                dw[at] = nd::fma(x.at(n, row, column, a), g.at(n, i, j, b), dw[at]);
                float& back = dx[((n * s.height + row) * s.width + column) * s.in + a];
                back = nd::fma(g.at(n, i, j, b), w[at], back);
            }
    });
    check_scatter(c, g, w, dx);
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats packed(nd::conv_packed_size(s)), scratch(nd::conv_scratch(s, c.images, on.threads)), result(y.size(), -7.0f);
        nd::conv_pack(on, s, w.data(), packed.data());
        nd::conv(on, s, c.images, x.floats.data(), x.strides, packed.data(), result.data(), scratch.data());
        same("output", c, result, y);

        scratch.resize(nd::InputGradient(s, c.images).scratch(on.threads));
        result.assign(dx.size(), -7.0f);
        nd::conv_input_gradient(on, s, c.images, g.floats.data(), g.strides, w.data(), result.data(), scratch.data());
        same("input gradient", c, result, dx);

        scratch.resize(nd::WeightGradient(s, c.images).scratch());
        result.assign(dw.size(), -7.0f);
        nd::conv_weight_gradient(on, s, c.images, x.floats.data(), x.strides, g.floats.data(), g.strides, result.data(), scratch.data());
        same("weight gradient", c, result, dw);
    }
}

// In groups, each group gives what it gives alone.
void in_groups(const Case& c, int64_t groups) {
    const nd::ConvShape<>& s = c.s;
    const int64_t in = s.in / groups, out = s.out / groups, taps = s.kernel * s.kernel;
    const Stored x(c.images, s.height, s.width, s.in, c.layout), g(c.images, c.rows(), c.columns(), s.out, c.layout);
    const Floats w = random_floats(taps * in * s.out);
    Floats y(c.images * c.rows() * c.columns() * s.out), dx(c.images * s.height * s.width * s.in), dw(w.size());
    each_meeting(c, [&](int64_t n, int64_t i, int64_t j, int64_t k, int64_t l, int64_t row, int64_t column) {
        for (int64_t a = 0; a < s.in; ++a)
            for (int64_t b = a / in * out; b < (a / in + 1) * out; ++b) {
                const int64_t at = ((k * s.kernel + l) * in + a % in) * s.out + b;
                float& sum = y[((n * c.rows() + i) * c.columns() + j) * s.out + b];
                sum = nd::fma(x.at(n, row, column, a), w[at], sum);
                dw[at] = nd::fma(x.at(n, row, column, a), g.at(n, i, j, b), dw[at]);
                float& back = dx[((n * s.height + row) * s.width + column) * s.in + a];
                back = nd::fma(g.at(n, i, j, b), w[at], back);
            }
    });
    const nd::GroupedConv plan(s, c.images, groups, false), turned(s, c.images, groups, true);
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats scratch(nd::grouped_conv_scratch(plan, on.threads)), result(y.size(), -7.0f);
        nd::grouped_conv(on, plan, x.floats.data(), x.strides, w.data(), result.data(), scratch.data(), nd::Steps{});
        same("grouped output", c, result, y);
        nd::grouped_conv(on, plan, x.floats.data(), x.strides, w.data(), result.data(), scratch.data(), nd::then(nd::Apply<nd::Relu>{}));
        Floats positive(y);
        for (float& each : positive) each = each > 0 ? each : 0;
        same("grouped output behind relu", c, result, positive);
        scratch.assign(nd::grouped_input_gradient_scratch(turned, on.threads), 0);
        result.assign(dx.size(), -7.0f);
        nd::grouped_input_gradient(on, turned, g.floats.data(), g.strides, w.data(), result.data(), scratch.data());
        same("grouped input gradient", c, result, dx);
        scratch.assign(nd::grouped_weight_gradient_scratch(plan, on.threads), 0);
        result.assign(dw.size(), -7.0f);
        nd::grouped_weight_gradient(on, plan, x.floats.data(), x.strides, g.floats.data(), g.strides, result.data(), scratch.data());
        same("grouped weight gradient", c, result, dw);
    }
}

// Constant sizes give what integers give.
void constant_sizes() {
    const nd::ConvShape<> s{8, 8, 3, 20, 3, 2, 1};
    for (int64_t images : {1, 9}) {
        const Floats x = random_floats(images * 8 * 8 * 3), w = random_floats(9 * 3 * 20), bias = random_floats(32);
        Floats packed(nd::conv_packed_size(s)), y(images * 4 * 4 * 20), z(y.size());
        nd::conv_pack(nd::Executor{}, s, w.data(), packed.data());
        const auto epilogue = nd::then(nd::Bias{bias.data()}, nd::Apply<nd::Relu>{});
        Floats scratch(nd::direct_conv_scratch(images, 1, 8, 8, 3, 20, 3, 2, 1));
        nd::direct_conv(nd::Executor{}, images, 8, 8, 3, 20, 3, 2, 1, x.data(), packed.data(), y.data(), scratch.data(), epilogue);
        nd::direct_conv(nd::Executor{}, images, nd::Const<8>{}, nd::Const<8>{}, nd::Const<3>{}, nd::Const<20>{}, nd::Const<3>{},
                        nd::Const<2>{}, nd::Const<1>{}, x.data(), packed.data(), z.data(), scratch.data(), epilogue);
        CHECK(y == z, "constant sizes, %d images", int(images));
    }
}

// An epilogue known at run time gives what the same one gives as a type, and constant sizes what integers give. Operands end
// where the output does, the bias at the end of its block.
template <int O, class Epilogue>
void one_epilogue(int64_t images, const std::vector<nd::Step>& step, const Floats& x, const Floats& w, const Epilogue& epilogue) {
    const nd::ConvShape<> s{5, 4, 7, O, 3, 2, 1};
    Floats packed(nd::conv_packed_size(s)), y(images * 3 * 2 * O), z(y.size());
    nd::conv_pack(nd::Executor{}, s, w.data(), packed.data());
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats scratch(nd::conv_scratch(s, images, on.threads));
        nd::Steps steps;
        for (const nd::Step& each : step) steps.step[steps.count++] = each;
        nd::conv(on, s, images, x.data(), {5 * 4 * 7, 4 * 7, 7, 1}, packed.data(), y.data(), scratch.data(), steps);
        nd::direct_conv(on, images, nd::Const<5>{}, nd::Const<4>{}, nd::Const<7>{}, nd::Const<O>{}, nd::Const<3>{}, nd::Const<2>{},
                        nd::Const<1>{}, x.data(), packed.data(), z.data(), scratch.data(), epilogue);
        CHECK(y == z, "%d steps, %d images, %d channels", int(step.size()), int(images), O);
    }
}

template <int O>
void epilogues(int64_t images) {
    const Floats x = random_floats(images * 5 * 4 * 7), w = random_floats(9 * 7 * O), r = random_floats(images * 3 * 2 * O);
    const Floats b = random_floats(nd::round_up(O, nd::kBlock));
    const nd::Step bias{nd::Step::bias, b.data()}, add{nd::Step::add, r.data()}, relu{nd::Step::relu, nullptr};
    one_epilogue<O>(images, {}, x, w, nd::Keep{});
    one_epilogue<O>(images, {relu}, x, w, nd::Apply<nd::Relu>{});
    one_epilogue<O>(images, {bias}, x, w, nd::Bias{b.data()});
    one_epilogue<O>(images, {add}, x, w, nd::Residual{r.data()});
    one_epilogue<O>(images, {add, relu, bias}, x, w,
                    nd::then(nd::Residual{r.data()}, nd::Apply<nd::Relu>{}, nd::Bias{b.data()}));
    one_epilogue<O>(images, {bias, relu, add, relu}, x, w,
                    nd::then(nd::Bias{b.data()}, nd::Apply<nd::Relu>{}, nd::Residual{r.data()}, nd::Apply<nd::Relu>{}));
}

}  // namespace

int main() {
    constant_sizes();
    for (int64_t images : {1, 9}) {
        epilogues<3>(images);
        epilogues<16>(images);
        epilogues<37>(images);
    }
    for (int64_t images : {1, 3, 9})
        for (int64_t kernel : {1, 2, 3, 5})
            for (int64_t stride : {1, 2, 3})
                for (int64_t padding : {0, 1, 2, 4})
                    for (int64_t size : {1, 2, 5}) {
                        if (size + 2 * padding < kernel) continue;
                        check({{size, size + 1, 3, 2, kernel, stride, padding}, images, int(images + size) % 3});
                    }
    for (int layout = 0; layout < 3; ++layout) {
        check({{9, 7, 5, 19, 3, 2, 1}, 3, layout});    // (H + 2 P - K) % stride != 0, columns that fill no block
        check({{4, 4, 33, 48, 3, 1, 1}, 11, layout});
        check({{1, 1, 20, 150, 3, 1, 1}, 20, layout});  // one tap is left
        check({{2, 2, 17, 70, 3, 2, 1}, 2, layout});
        check({{20, 20, 3, 16, 7, 4, 3}, 2, layout});   // colour planes longer than a vector
        check({{3, 3, 4, 4, 3, 1, 1}, 0, layout});
    }
    check({{16, 16, 8, 8, 3, 1, 1}, 17, 0});  // several passes of the weight gradient
    for (int layout = 0; layout < 3; ++layout) {
        in_groups({{5, 4, 6, 9, 3, 1, 1}, 2, layout}, 3);
        in_groups({{6, 5, 12, 12, 3, 2, 1}, 9, layout}, 6);    // several groups to a block, one of them alone
        in_groups({{4, 4, 40, 20, 1, 1, 0}, 3, layout}, 2);
        in_groups({{7, 7, 64, 32, 2, 3, 2}, 1, layout}, 16);   // blocks shared out to threads
        in_groups({{3, 3, 34, 38, 3, 1, 1}, 0, layout}, 2);
    }
    return finish("conv");
}
