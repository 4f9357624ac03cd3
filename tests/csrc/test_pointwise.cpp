// Maps, strided copies and reductions against loops anyone can read: random shapes, permutations, negative and zero strides,
// one thread and three.
#include "../../csrc/nd/map.h"
#include "../../csrc/nd/pool_impl.h"
#include "../../csrc/nd/reduce.h"
#include "check.h"
#include <algorithm>

namespace {

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

void maps() {
    for (int64_t n : {0, 1, 3, 4, 15, 16, 17, 63, 64, 1000, 100003}) {
        const std::vector<float> a = random_floats(n), b = random_floats(n);
        std::vector<float> y(a.size()), in_place = a;
        nd::map(three_threads(), n, nd::Subtract{}, y.data(), a.data(), b.data());
        nd::map(three_threads(), n, nd::Tanh{}, in_place.data(), in_place.data());
        for (std::size_t i = 0; i < y.size(); ++i) {
            CHECK(y[i] == a[i] - b[i], "element %d of %d", int(i), int(n));
            CHECK(in_place[i] == nd::tanh(a[i]), "element %d of %d: a tail differs from the body", int(i), int(n));
        }
    }
    float y[8], x[8] = {1, -2, 3, -4, 5, -6, 7, -8};
    nd::map(nd::Const<8>{}, nd::Relu{}, y, x);
    for (int i = 0; i < 8; ++i) CHECK(y[i] == (i % 2 ? 0 : x[i]), "a map of constant size");
}

// A random view: sizes, and strides of a permuted block with some axes reversed or, when allowed, broadcast.
struct View {
    int dims;
    int64_t size[5], stride[5], offset = 0, span = 1;
};

View random_view(int dims, const int64_t* size, bool broadcast) {
    View view{};
    view.dims = dims;
    view.span = 1;
    int order[5] = {0, 1, 2, 3, 4};
    for (int i = dims - 1; i > 0; --i) std::swap(order[i], order[random_bits() % (i + 1)]);
    for (int i = 0; i < dims; ++i) {
        const int d = order[i];
        view.size[d] = size[d];
        view.stride[d] = view.span * (random_bits() % 4 == 0 ? 2 : 1);
        if (broadcast && random_bits() % 5 == 0) { view.stride[d] = 0; continue; }
        view.span = view.stride[d] * std::max<int64_t>(1, size[d]);
        if (random_bits() % 4 == 0) {
            view.offset += (size[d] - 1) * view.stride[d];
            view.stride[d] = -view.stride[d];
        }
    }
    return view;
}

void row_major(int dims, const int64_t* size, int64_t* stride) {
    int64_t step = 1;
    for (int d = dims - 1; d >= 0; --d) { stride[d] = step; step *= size[d]; }
}

int64_t element(const View& view, int64_t index) {
    int64_t at = view.offset;
    for (int d = view.dims - 1; d >= 0; --d) { at += index % view.size[d] * view.stride[d]; index /= view.size[d]; }
    return at;
}

void nests(const nd::Executor& executor, int64_t largest) {
    const int dims = 1 + static_cast<int>(random_bits() % 5);
    int64_t size[5], dense[5], total = 1;
    for (int d = 0; d < dims; ++d) {
        size[d] = 1 + random_bits() % (random_bits() % 3 == 0 ? largest : 5);
        if (total * size[d] > 200000) size[d] = 1;
        total *= size[d];
    }
    row_major(dims, size, dense);
    const View from = random_view(dims, size, true), other = random_view(dims, size, true), to = random_view(dims, size, false);
    const std::vector<float> x = random_floats(from.span), z = random_floats(other.span);
    std::vector<float> y(static_cast<std::size_t>(total)), scattered(static_cast<std::size_t>(to.span), 7.0f), sum = y;
    nd::Nest<2> gather, scatter;
    nd::Nest<3> add;
    nd::Nest<4> choose;
    std::vector<float> chosen = y;
    for (int d = 0; d < dims; ++d) {
        gather.push(size[d], {dense[d], from.stride[d]});
        scatter.push(size[d], {to.stride[d], dense[d]});
        add.push(size[d], {dense[d], from.stride[d], other.stride[d]});
        choose.push(size[d], {dense[d], dense[d], from.stride[d], other.stride[d]});
    }
    nd::copy_strided(executor, gather, y.data(), x.data() + from.offset);
    nd::copy_strided(executor, scatter, scattered.data() + to.offset, y.data());
    nd::map(executor, add, nd::Add{}, sum.data(), x.data() + from.offset, z.data() + other.offset);
    for (int64_t i = 0; i < total; i += 3) y[i] = 0;
    nd::map(executor, choose, nd::Where{}, chosen.data(), y.data(), x.data() + from.offset, z.data() + other.offset);
    for (int64_t i = 0; i < total; ++i) {
        const float a = x[element(from, i)], b = z[element(other, i)];
        CHECK(chosen[i] == (y[i] != 0 ? a : b), "element %d of a choice of %d", int(i), int(total));
        if (i % 3 == 0) y[i] = a;
        CHECK(y[i] == a, "gathered element %d of %d", int(i), int(total));
        CHECK(scattered[element(to, i)] == a, "scattered element %d of %d", int(i), int(total));
        CHECK(sum[i] == a + b, "element %d of a strided sum of %d", int(i), int(total));
    }
    CHECK(int64_t(std::count(scattered.begin(), scattered.end(), 7.0f)) == to.span - total, "elements between were written");
}

template <class Fold>
std::vector<float> reduced(const nd::Executor& executor, int64_t outer, int64_t k, int64_t inner, const std::vector<float>& x) {
    std::vector<float> out(static_cast<std::size_t>(outer * inner));
    std::vector<float> scratch(static_cast<std::size_t>(nd::reduce_scratch(outer, k, inner)));
    nd::reduce<Fold>(executor, outer, k, inner, x.data(), out.data(), scratch.data());
    return out;
}

void reductions() {
    const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 1}, {1, 100000, 1}, {7, 4097, 1}, {1, 3, 100000}, {2, 1000, 33}, {5, 17, 16},
                                 {1, 70000, 3}, {100, 9, 1}, {4, 0, 3}, {3, 300, 64}};
    for (const auto& [outer, k, inner] : shapes) {
        const std::vector<float> x = random_floats(outer * k * inner);
        const std::vector<float> one = reduced<nd::SumFold>({}, outer, k, inner, x);
        const std::vector<float> most = reduced<nd::MaxFold>({}, outer, k, inner, x);
        const std::vector<float> least = reduced<nd::MinFold>(three_threads(), outer, k, inner, x);
        const std::vector<float> three = reduced<nd::SumFold>(three_threads(), outer, k, inner, x);
        for (int64_t o = 0; o < outer; ++o)
            for (int64_t i = 0; i < inner; ++i) {
                double sum = 0;
                float top = -std::numeric_limits<float>::infinity(), bottom = -top;
                for (int64_t j = 0; j < k; ++j) {
                    sum += x[(o * k + j) * inner + i];
                    top = std::max(top, x[(o * k + j) * inner + i]);
                    bottom = std::min(bottom, x[(o * k + j) * inner + i]);
                }
                const std::size_t at = static_cast<std::size_t>(o * inner + i);
                CHECK(std::fabs(one[at] - sum) <= 1e-6 * (1 + std::sqrt(double(k)) * 4), "sum %g, wanted %g", one[at], sum);
                CHECK(most[at] == top, "maximum %g, wanted %g", most[at], top);
                CHECK(least[at] == bottom, "minimum %g, wanted %g", least[at], bottom);
                CHECK(same_bits(one[at], three[at]), "one thread gives %.9g, three give %.9g", one[at], three[at]);
            }
    }
}

void special_values() {
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (float other : {0.0f, 1.0f, -inf, inf}) {
        CHECK(std::isnan(nd::Maximum{}(nan, other)) && std::isnan(nd::Maximum{}(other, nan)), "the maximum of NaN and %g", other);
        CHECK(std::isnan(nd::Maximum{}(nd::splat(nan), nd::splat(other))[0]), "the maximum of NaN and %g, as vectors", other);
    }
    CHECK(std::isnan(nd::Relu{}(nan)), "relu of NaN");
    CHECK(std::isnan(nd::Minimum{}(nan, 1.0f)) && std::isnan(nd::Minimum{}(1.0f, nan)), "the minimum of NaN");
    CHECK(std::isnan(nd::Sign{}(nan)) && std::isnan(nd::Clip{0, 1}(nan)) && std::isnan(nd::Absolute{}(nan)), "NaN stays");
    CHECK(nd::Sign{}(-3.0f) == -1 && nd::Sign{}(0.0f) == 0 && nd::Sign{}(inf) == 1, "signs");
    CHECK(nd::LargerShare{}(2.0f, 1.0f) == 1 && nd::LargerShare{}(1.0f, 1.0f) == 0.5f && nd::LargerShare{}(1.0f, 2.0f) == 0, "shares");
    CHECK(nd::Softplus{}(-inf) == 0 && nd::Softplus{}(inf) == inf && nd::Gelu{}(inf) == inf, "at infinity");
    CHECK(nd::Gradient<nd::Relu>{}(inf, -1.0f) == 0, "no gradient flows where x <= 0");
    std::vector<float> x(100, 1.0f);
    x[37] = nan;
    CHECK(std::isnan(reduced<nd::MaxFold>({}, 1, 100, 1, x)[0]), "a maximum over NaN");
}

// The same numbers on every processor with fused multiply-add: a hash of results that exercises every kernel above.
void same_bits_everywhere() {
    uint64_t hash = 1469598103934665603u;
    float state = 0.37f;
    std::vector<float> x(5000);
    for (float& value : x) value = state = 3.7f * state * (1 - state);
    std::vector<float> y(x.size());
    auto mix = [&](const std::vector<float>& values) {
        for (float value : values) hash = (hash ^ bits_of(value)) * 1099511628211u;
    };
    nd::map(int64_t(5000), nd::Exp{}, y.data(), x.data());
    mix(y);
    nd::map(int64_t(5000), nd::Log{}, y.data(), x.data());
    mix(y);
    nd::map(int64_t(5000), nd::Tanh{}, y.data(), x.data());
    mix(y);
    nd::map(int64_t(5000), nd::Erf{}, y.data(), x.data());
    mix(y);
    nd::map(int64_t(5000), nd::PowerScalar{0.3f}, y.data(), x.data());
    mix(y);
    mix(reduced<nd::SumFold>({}, 1, 5000, 1, x));
    mix(reduced<nd::SumFold>({}, 1, 500, 10, x));
    nd::map(int64_t(5000), nd::Gelu{}, y.data(), x.data());
    mix(y);
    nd::map(int64_t(5000), nd::Gradient<nd::GeluTanh>{}, y.data(), x.data(), x.data());
    mix(y);
    nd::map(int64_t(5000), nd::Softplus{}, y.data(), x.data());
    mix(y);
#if defined(__FMA__) || defined(__ARM_NEON)
    CHECK(hash == 0xa3b382765ca5bffeu, "the hash is 0x%llxu", static_cast<unsigned long long>(hash));
#endif
}

}  // namespace

int main() {
    maps();
    for (int i = 0; i < 300; ++i) nests({}, 70);
    for (int i = 0; i < 100; ++i) nests(three_threads(), 700);
    reductions();
    special_values();
    same_bits_everywhere();
    return finish("test_pointwise");
}
