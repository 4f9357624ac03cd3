#include "../gemm.h"
#include "../../nd/epilogue.h"
#include "../../nd/gemm.h"

namespace nd { namespace ND_ISA {
namespace {

int64_t scratch(int64_t m, int64_t n, int64_t k, int threads) {
    return round_up(n, kBlock) + gemm_batched_scratch(m, n, k, threads);
}

void run(const Executor& executor, const Products& p, float* c, float* scratch) {
    const auto products = [&](const auto& epilogue) {
        gemm_batched(executor, p.batch, p.a_offset, p.b_offset, p.m, p.n, p.k, p.a, p.b, c, scratch + round_up(p.n, kBlock),
                     epilogue);
    };
    if (!p.bias) return products(Keep{});
    std::memcpy(scratch, p.bias, sizeof(float) * p.n);
    std::memset(scratch + p.n, 0, sizeof(float) * (round_up(p.n, kBlock) - p.n));
    products(Bias{scratch});
}

void tiled(const Executor& executor, int64_t m, int64_t n, int64_t p, const float* a, const float* b, float* c) {
    constexpr int64_t T = 8;
    parallel(executor, m * p, [&](int64_t task) {
        const int64_t i = task / p, j = task % p;
        float sum[T * T] = {};
        for (int64_t k = 0; k < n; ++k) {
            const float *left = a + (i * n + k) * T * T, *right = b + (k * p + j) * T * T;
            for (int64_t row = 0; row < T; ++row)
                for (int64_t depth = 0; depth < T; ++depth)
                    for (int64_t column = 0; column < T; ++column)
                        sum[row * T + column] = fma(left[row * T + depth], right[depth * T + column], sum[row * T + column]);
        }
        std::memcpy(c + task * T * T, sum, sizeof sum);
    });
}

}  // namespace

extern const GemmTable gemm_table = {scratch, run, batched_matmul, tiled};

}}  // namespace nd::ND_ISA
