// Folds over the threads of a warp or of a block, in one fixed order.
#pragma once
#include "../nd/scalar.h"
#include "launch.h"

namespace nd { namespace ND_ISA {

inline constexpr unsigned kWholeWarp = 0xffffffffu;
inline constexpr int kWarp = 32;

struct SumFold {
    static ND_FN float start() { return 0; }
    template <class T> static ND_FN T fold(T a, T x) { return a + x; }
};
struct MaxFold {
    static ND_FN float start() { return -__builtin_inff(); }
    static ND_FN float fold(float a, float x) { return Maximum{}(a, x); }
};
struct MinFold {
    static ND_FN float start() { return __builtin_inff(); }
    static ND_FN float fold(float a, float x) { return Minimum{}(a, x); }
};

// The fold of v over a group of `Threads` neighbouring threads, a warp or the whole block; every thread of it must call.
template <class Fold, int Threads, class T>
__device__ T folded(T v) {
    for (int step = kWarp / 2; step > 0; step /= 2) v = Fold::fold(v, __shfl_xor_sync(kWholeWarp, v, step));
    if constexpr (Threads > kWarp) {
        __shared__ Shared<T, Threads / kWarp> warps;
        if (threadIdx.x % kWarp == 0) warps[static_cast<int>(threadIdx.x) / kWarp] = v;
        __syncthreads();
        v = warps[0];
        for (int w = 1; w < Threads / kWarp; ++w) v = Fold::fold(v, static_cast<T>(warps[w]));
        __syncthreads();
    }
    return v;
}
template <int Threads, class T>
__device__ T summed(T v) { return folded<SumFold, Threads>(v); }

// Rows that groups of threads work on: the group's first row, its step to the next, and a thread's place in the group.
template <int Threads>
struct RowGroup {
    __device__ int64_t first() const { return int64_t(blockIdx.x) * (blockDim.x / Threads) + threadIdx.x / Threads; }
    __device__ int64_t step() const { return int64_t(gridDim.x) * (blockDim.x / Threads); }
    __device__ int rank() const { return static_cast<int>(threadIdx.x) % Threads; }
};

// use(threads, grid): the threads that a row of so many columns gets, as a constant, and the grid for all rows.
template <class Use>
void with_row_groups(int64_t rows, int64_t cols, Use&& use) {
    if (cols <= 1024) use(Const<kWarp>{}, dim3(static_cast<unsigned>(min(ceil_div(rows, int64_t(kThreads / kWarp)), kMostBlocks))));
    else use(Const<kThreads>{}, dim3(static_cast<unsigned>(min(rows, kMostBlocks))));
}

}}  // namespace nd::ND_ISA
