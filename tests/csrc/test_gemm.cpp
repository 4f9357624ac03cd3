// Matrix products against one chain of multiply-adds per element, bit for bit: odd sizes, any strides, buffers without slack,
// one thread and three, batches, packed weights, an epilogue.
#include "../../csrc/nd/direct_conv.h"
#include "../../csrc/nd/pool_impl.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

// An m x n matrix laid out by rows, by columns, or with gaps both ways.
struct Stored {
    int64_t row, column;
    Floats floats;
    Stored(int64_t m, int64_t n, int layout) {
        row = layout == 0 ? n : layout == 1 ? 1 : 3 * n + 1;
        column = layout == 0 ? 1 : layout == 1 ? m : 3;
        floats = random_floats(m == 0 || n == 0 ? 0 : (m - 1) * row + (n - 1) * column + 1);
    }
    nd::Matrix matrix() const { return {floats.data(), row, column}; }
    float at(int64_t i, int64_t j) const { return floats[i * row + j * column]; }
};

float element(const Stored& a, const Stored& b, int64_t i, int64_t j, int64_t k) {
    float sum = 0;
    for (int64_t l = 0; l < k; ++l) sum = nd::fma(a.at(i, l), b.at(l, j), sum);
    return sum;
}

void product(int64_t m, int64_t n, int64_t k, int a_layout, int b_layout) {
    const Stored a(m, k, a_layout), b(k, n, b_layout);
    for (const nd::Executor& executor : {nd::Executor{}, three_threads()}) {
        Floats c(m * (n + 2), -7.0f), scratch(nd::gemm_scratch(m, n, k, executor.threads));
        nd::gemm(executor, m, n, k, a.matrix(), b.matrix(), c.data(), n + 2, scratch.data());
        for (int64_t i = 0; i < m; ++i) {
            for (int64_t j = 0; j < n; ++j)
                CHECK(c[i * (n + 2) + j] == element(a, b, i, j, k), "%d x %d x %d, layouts %d %d: (%d, %d)", int(m), int(n), int(k),
                      a_layout, b_layout, int(i), int(j));
            CHECK(c[i * (n + 2) + n] == -7.0f, "%d x %d x %d writes behind row %d", int(m), int(n), int(k), int(i));
        }
    }
}

void batched(int64_t batch) {
    const int64_t m = 5, n = 18, k = 7;
    const Stored a(batch * m, k, 0), b(k, n, 1);
    std::vector<int64_t> a_offset, b_offset(batch, 0);
    for (int64_t i = 0; i < batch; ++i) a_offset.push_back((batch - 1 - i) * m * k);  // in reverse; b is shared
    for (const nd::Executor& executor : {nd::Executor{}, three_threads()}) {
        Floats c(batch * m * n), scratch(nd::gemm_batched_scratch(m, n, k, executor.threads));
        nd::gemm_batched(executor, batch, a_offset.data(), b_offset.data(), m, n, k, a.matrix(), b.matrix(), c.data(), scratch.data());
        for (int64_t i = 0; i < batch * m * n; ++i) {
            const int64_t row = (batch - 1 - i / (m * n)) * m + i / n % m;
            CHECK(c[i] == element(a, b, row, i % n, k), "batch of %d: element %d", int(batch), int(i));
        }
    }
}

void packed_with_epilogue(int64_t m, int64_t n, int64_t k) {
    const Stored a(m, k, 0), b(k, n, 1);
    const Floats other = random_floats(m * n);
    Floats bias = random_floats(nd::round_up(n, nd::kBlock));
    Floats packed(nd::packed_size(k, n)), c(m * n), d(m * n), panels(nd::kPanelFloats);
    nd::gemm_pack(nd::Executor{}, k, n, b.matrix(), packed.data());
    const auto epilogue = nd::then(nd::Bias{bias.data()}, nd::Apply<nd::Relu>{}, nd::Residual{other.data()});
    nd::gemm_packed(nd::Executor{}, m, n, k, a.matrix(), packed.data(), c.data(), n, panels.data(), epilogue);
    nd::linear(three_threads(), m, k, n, a.floats.data(), packed.data(), d.data(), epilogue);
    for (int64_t i = 0; i < m * n; ++i) {
        const float sum = element(a, b, i / n, i % n, k) + bias[i % n];
        const float expected = (sum > 0 ? sum : 0) + other[i];
        CHECK(c[i] == expected && d[i] == expected, "packed %d x %d x %d: %g and %g, not %g", int(m), int(n), int(k), c[i], d[i], expected);
    }
}

}  // namespace

int main() {
    for (int64_t m : {0, 1, 2, 3, 7, 9, 50})
        for (int64_t n : {0, 1, 5, 16, 17, 49})
            for (int64_t k : {0, 1, 6, 33})
                for (int layouts = 0; layouts < 9; ++layouts) product(m, n, k, layouts / 3, layouts % 3);
    product(261, 300, 9, 0, 0);    // several chunks of rows and of columns
    product(61, 530, 1100, 1, 0);  // three blocks of the depth
    product(700, 40, 30, 0, 0);    // chunks of rows alone
    product(500, 3, 40, 0, 1);
    for (int64_t batch : {0, 1, 3, 40}) batched(batch);
    for (int64_t m : {1, 4, 13})
        for (int64_t n : {1, 16, 150}) packed_with_epilogue(m, n, 37);
    return finish("gemm");
}
