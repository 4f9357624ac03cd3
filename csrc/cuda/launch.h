// How the host starts a kernel, and what kernels share.
//
// Kernels are written once for nvcc and for the emulator of tests/cuda/simt.h, which a compiler of the host is given in
// front of them. An Executor of a device has a Stream for a pool; work on a stream is done in the order in which it was
// started, so memory that the host gives back may be handed out again at once.
#pragma once
#include "../nd/base.h"
#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

namespace nd {

#if defined(__CUDACC__)
// An array in the memory that the threads of a block share.
template <class T, int N>
class Shared {
public:
    __device__ T& operator[](int i) { return value_[i]; }
    __device__ float4 four(int i) const { return *reinterpret_cast<const float4*>(value_ + i); }  // i a multiple of 4

private:
    alignas(16) T value_[N];
};
#else
using simt::Shared;
#endif

// A device's stream, and which kernel on it failed first.
struct Stream {
    void* handle = nullptr;
    const char* failed = nullptr;
    int error = 0;
};

// What became of the start of a kernel: throws, or remembers, that the device answered `error`, which is 0 where all is well.
void launched(const Executor& on, const char* kernel, int error);

// kernel(given...) by blocks of that many threads, after what was started before; nothing where the grid is empty.
template <class... Parameters, class... Given>
void launch(const Executor& on, const char* name, void (*kernel)(Parameters...), dim3 grid, int threads, const Given&... given) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#if defined(__CUDACC__)
    kernel<<<grid, static_cast<unsigned>(threads), 0, static_cast<cudaStream_t>(static_cast<Stream*>(on.pool)->handle)>>>(static_cast<Parameters>(given)...);
    launched(on, name, static_cast<int>(cudaGetLastError()));
#else
    (simt::check_argument(given), ...);
    simt::start(grid, static_cast<unsigned>(threads), [=] { kernel(given...); });
    (void)on, (void)name;
#endif
}

namespace ND_ISA {

constexpr int kThreads = 256;                    // of a block
constexpr int64_t kMostBlocks = int64_t(1) << 20;  // threads take several elements rather than more

// Blocks for n elements, a thread each, as far as that goes.
inline dim3 grid_of(int64_t n, int threads = kThreads) {
    return dim3(static_cast<unsigned>(min(ceil_div(n, int64_t(threads)), kMostBlocks)));
}

// A kernel's loop over n elements: for (int64_t i = first_index(); i < n; i += index_step()).
__device__ __forceinline__ int64_t first_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t index_step() { return int64_t(gridDim.x) * blockDim.x; }

}  // namespace ND_ISA
}  // namespace nd
