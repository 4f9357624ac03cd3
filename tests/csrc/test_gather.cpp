// Slices and elements by number, and their gradients, against loops anyone can read; one thread and three.
#include "../../csrc/nd/gather.h"
#include "../../csrc/nd/pool_impl.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

int64_t at(float id, int64_t n) { return id < 0 ? int64_t(id) + n : int64_t(id); }

void slices(int64_t outer, int64_t n, int64_t count, int64_t inner) {
    const Floats x = random_floats(outer * n * inner), g = random_floats(outer * count * inner);
    Floats ids(count), y(g.size()), dx(x.size(), 7.0f), again = dx, expected(x.size());
    for (float& id : ids) id = float(int64_t(random_bits() % (2 * n)) - n);
    CHECK(nd::first_bad_place(count, ids.data(), n) == -1, "these numbers are good");
    nd::take(three_threads(), outer, n, count, inner, x.data(), ids.data(), y.data());
    nd::take_gradient(three_threads(), outer, n, count, inner, g.data(), ids.data(), dx.data());
    nd::take_gradient({}, outer, n, count, inner, g.data(), ids.data(), again.data());
    for (int64_t o = 0; o < outer; ++o)
        for (int64_t i = 0; i < count; ++i)
            for (int64_t j = 0; j < inner; ++j) {
                const int64_t from = (o * n + at(ids[i], n)) * inner + j, to = (o * count + i) * inner + j;
                CHECK(y[to] == x[from], "slice %d", int(i));
                expected[from] += g[to];
            }
    CHECK(dx == expected && again == expected, "the gradient of %d slices of %d", int(count), int(n));
}

void elements(int64_t outer, int64_t n, int64_t count, int64_t inner) {
    const Floats x = random_floats(outer * n * inner), g = random_floats(outer * count * inner);
    Floats ids(g.size()), y(g.size()), dx(x.size(), 7.0f), again = dx, expected(x.size());
    for (float& id : ids) id = float(int64_t(random_bits() % (2 * n)) - n);
    nd::gather(three_threads(), outer, n, count, inner, x.data(), ids.data(), y.data());
    nd::gather_gradient(three_threads(), outer, n, count, inner, g.data(), ids.data(), dx.data());
    nd::gather_gradient({}, outer, n, count, inner, g.data(), ids.data(), again.data());
    for (int64_t o = 0; o < outer; ++o)
        for (int64_t i = 0; i < count; ++i)
            for (int64_t j = 0; j < inner; ++j) {
                const int64_t to = (o * count + i) * inner + j, from = (o * n + at(ids[to], n)) * inner + j;
                CHECK(y[to] == x[from], "element %d", int(to));
                expected[from] += g[to];
            }
    CHECK(dx == expected && again == expected, "the gradient of %d elements of %d", int(count), int(n));
}

}  // namespace

int main() {
    const int64_t sizes[][4] = {{1, 5, 3, 1}, {1, 1, 1, 1}, {3, 4, 7, 5}, {2, 9, 0, 3}, {0, 3, 2, 2}, {2, 3, 4, 0}, {1, 2000, 700, 64},
                                {40, 11, 6, 33}, {5, 300, 2, 700}, {9000, 7, 1, 1}};
    for (const auto& [outer, n, count, inner] : sizes) {
        slices(outer, n, count, inner);
        elements(outer, n, count, inner);
    }
    const float bad[] = {0, -3, 2, 3, 0.5f, -4, __builtin_nanf(""), 1e30f};
    for (int i = 3; i < 8; ++i) {
        const float ids[] = {bad[0], bad[1], bad[2], bad[i]};
        CHECK(nd::first_bad_place(4, ids, 3) == 3, "%g is no place in three", bad[i]);
    }
    return finish("test_gather");
}
