// Products on tensor cores: tiles for product.cuh whose slices hold operands rounded to TF32 or bfloat16, and whose sums, float32,
// are made by the instructions mma.sync.m16n8k8 and m16n8k16 (compute capability 8.0 and later).
//
// A warp multiplies 16 rows of A by 8 columns of B, eight words deep: words of one TF32 or two bfloat16. By the PTX ISA's layout
// of the fragments, which is the same for both in words, the lane 4 g + t holds
//   of A   words t and t + 4 of rows g and g + 8:      a = (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)
//   of B   words t and t + 4 of column g:              b = (t, g), (t + 4, g)
//   of C   columns 2 t and 2 t + 1 of rows g and g + 8: c = (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1)
#pragma once
#include "precision.h"
#include "slices.cuh"

namespace nd { namespace ND_ISA {

#if !defined(__CUDACC__)
using simt::mma_bf16, simt::mma_tf32, simt::to_bf16_pair, simt::to_tf32;
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// To the nearest, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
    uint32_t word;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(x));
    return word;
}
// To the nearest, ties to even; the first in the lower half.
__device__ __forceinline__ uint32_t to_bf16_pair(float first, float second) {
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}
// c += a b
__device__ __forceinline__ void mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else  // no such instructions: product_precision() keeps these kernels from being started
__device__ __forceinline__ uint32_t to_tf32(float) { return __trap(), 0; }
__device__ __forceinline__ uint32_t to_bf16_pair(float, float) { return __trap(), 0; }
__device__ __forceinline__ void mma_tf32(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2]) { __trap(); }
__device__ __forceinline__ void mma_bf16(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2]) { __trap(); }
#endif

struct Tf32 {  // what a slice holds
    using Word = uint32_t;
    static constexpr int elements = 1;  // of a word
    static __device__ __forceinline__ Word word(const float (&x)[1]) { return to_tf32(x[0]); }
    static __device__ __forceinline__ void mma(float (&c)[4], const Word (&a)[4], const Word (&b)[2]) { mma_tf32(c, a, b); }
};
struct Bfloat16 {
    using Word = uint32_t;
    static constexpr int elements = 2;
    static __device__ __forceinline__ Word word(const float (&x)[2]) { return to_bf16_pair(x[0], x[1]); }
    static __device__ __forceinline__ void mma(float (&c)[4], const Word (&a)[4], const Word (&b)[2]) { mma_bf16(c, a, b); }
};

// A tile of M x N, of which each of the block's warps, 2 down and 4 across, multiplies its part.
template <class Type, int M, int N>
struct MmaTile {
    using Operand = Type;
    static constexpr int m = M, n = N, k = 16, pad = 8;
    static constexpr int high = M / 2, wide = N / 4, down = high / 16, across = wide / 8;
    static_assert(kThreads == 2 * 4 * 32 && high % 16 == 0 && wide % 8 == 0 && M % 32 == 0 && N % 32 == 0);

    // The words of one depth begin 8 banks behind those of the depth before, and every other four depths exchange their lines in
    // fours: what a warp reads for its fragments lies in 32 banks, and so does what it stores, 32 lines at one depth or 4 at 8.
    template <int Width>
    static __device__ __forceinline__ int place(int k, int line) {
        return k * (Width + pad) + (line ^ (k & 4));
    }

    class Sums {
    public:
        // Adds the product of two slices, which begin at those places.
        template <class Left, class Right>
        __device__ __forceinline__ void add(Left& left, int left_at, Right& right, int right_at) {
            const int g = lane() / 4, t = lane() % 4;
#pragma unroll
            for (int first = 0; first < k; first += 8) {
                uint32_t a[down][4], b[across][2];
#pragma unroll
                for (int i = 0; i < down; ++i)
#pragma unroll
                    for (int r = 0; r < 4; ++r)
                        a[i][r] = left[left_at + top() + i * 16 + r % 2 * 8 + place<M>(first + r / 2 * 4 + t, g)];
#pragma unroll
                for (int j = 0; j < across; ++j)
#pragma unroll
                    for (int r = 0; r < 2; ++r) b[j][r] = right[right_at + side() + j * 8 + place<N>(first + r * 4 + t, g)];
#pragma unroll
                for (int i = 0; i < down; ++i)
#pragma unroll
                    for (int j = 0; j < across; ++j) Operand::mma(sum_[i][j], a[i], b[j]);
            }
        }
        // f(row, column, value) for what this thread has of the tile.
        template <class F>
        __device__ __forceinline__ void each(const F& f) const {
#pragma unroll
            for (int i = 0; i < down; ++i)
#pragma unroll
                for (int j = 0; j < across; ++j)
#pragma unroll
                    for (int r = 0; r < 4; ++r)
                        f(top() + i * 16 + r / 2 * 8 + lane() / 4, side() + j * 8 + lane() % 4 * 2 + r % 2, sum_[i][j][r]);
        }

    private:
        static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }
        static __device__ int warp() { return static_cast<int>(threadIdx.x) / 32; }
        static __device__ int top() { return warp() % 2 * high; }
        static __device__ int side() { return warp() / 2 * wide; }
        float sum_[down][across][4] = {};
    };
};
template <class Type>
using WideMma = MmaTile<Type, 128, 128>;
template <class Type>
using SmallMma = MmaTile<Type, 64, 64>;

}}  // namespace nd::ND_ISA
