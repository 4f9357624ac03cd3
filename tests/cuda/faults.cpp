// Faulty kernels, one for each thing that the emulator (simt.h) must find; the argument says which runs.
#define ND_ISA cuda
#include "../../csrc/cuda/launch.h"
#include <string>

namespace nd {
void launched(const Executor&, const char*, int) {}
}  // namespace nd

namespace {

using nd::Shared;

__global__ void reads_too_early(float* y) {
    __shared__ Shared<float, 64> memory;
    const int i = static_cast<int>(threadIdx.x);
    memory[i] = static_cast<float>(i);
    y[i] = memory[63 - i];  // without a barrier between
}
__global__ void writes_twice(float* y) {
    __shared__ Shared<float, 1> memory;
    memory[0] = static_cast<float>(threadIdx.x);
    __syncthreads();
    y[threadIdx.x] = memory[0];
}
__global__ void writes_what_is_read(float* y) {
    __shared__ Shared<float, 64> memory;
    const int i = static_cast<int>(threadIdx.x);
    memory[i] = 1;
    __syncthreads();
    y[i] = memory[63 - i];
    memory[i] = 2;  // another thread may still read it
}
__global__ void misses_a_barrier(float* y) {
    if (threadIdx.x < 40) __syncthreads();
    y[threadIdx.x] = 0;
}
__global__ void misses_a_shuffle(float* y) {
    if (threadIdx.x % 2 == 0) y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 2);
}
__global__ void reaches_outside(float* y) {
    __shared__ Shared<float, 32> memory;
    memory[static_cast<int>(threadIdx.x)] = 0;
    y[threadIdx.x] = 0;
}
__global__ void is_right(float* y) {
    __shared__ Shared<float, 64> memory;
    const int i = static_cast<int>(threadIdx.x);
    memory[i] = static_cast<float>(i);
    __syncthreads();
    y[i] = __shfl_xor_sync(0xffffffffu, static_cast<float>(memory[63 - i]), 1);
}

}  // namespace

int main(int, char** arguments) {
    const std::string fault = arguments[1];
    const nd::Executor on{};
    auto* y = static_cast<float*>(simt::allocate(64 * sizeof(float)));
    float host[64] = {};
    const auto run = [&](void (*kernel)(float*), float* to) { nd::launch(on, "fault", kernel, dim3(2), 64, to); };
    if (fault == "reads too early") run(reads_too_early, y);
    if (fault == "writes twice") run(writes_twice, y);
    if (fault == "writes what is read") run(writes_what_is_read, y);
    if (fault == "misses a barrier") run(misses_a_barrier, y);
    if (fault == "misses a shuffle") run(misses_a_shuffle, y);
    if (fault == "reaches outside") run(reaches_outside, y);
    if (fault == "an address of the host") run(is_right, host);
    if (fault == "an address of another device") simt::in_use = 1;
    if (fault == "the host reads") return *static_cast<volatile float*>(y) == 0 ? 2 : 3;
    run(is_right, y);
    simt::copy(host, y, sizeof host);
    for (int i = 0; i < 64; ++i)
        if (host[i] != static_cast<float>(63 - (i ^ 1))) return 1;
    return 0;
}
