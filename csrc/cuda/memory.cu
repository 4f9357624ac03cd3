// Memory, copies and the stream of the device; behind the emulator of tests/cuda/simt.h the processor's own.
#include "../bind/memory.h"
#include "../bind/array.h"
#include "launch.h"
#include "stream.h"

namespace nd {

#if defined(__CUDACC__)

namespace {

void check(const char* what, cudaError_t error) {
    if (error != cudaSuccess) launched(what, static_cast<int>(error));
}

cudaStream_t the_stream() { return static_cast<cudaStream_t>(stream()); }

}  // namespace

void launched(const char* kernel, int error) {
    if (error == 0) return;
    const auto code = static_cast<cudaError_t>(error);
    throw DeviceError("[" + std::string(kernel) + "] the device answers " + cudaGetErrorName(code) + ": " + cudaGetErrorString(code));
}

int device_count() noexcept {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string device_name() {
    int device = 0;
    cudaDeviceProp properties;
    check("device_name", cudaGetDevice(&device));
    check("device_name", cudaGetDeviceProperties(&properties, device));
    return std::string(properties.name) + ", sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
}

void* stream() {
    static cudaStream_t one = [] {
        cudaStream_t made = nullptr;
        check("stream", cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
        return made;
    }();
    return one;
}

void synchronize() { check("synchronize", cudaStreamSynchronize(the_stream())); }

void* fresh(std::size_t size) noexcept {
    void* block = nullptr;
    if (cudaMalloc(&block, size) == cudaSuccess) return block;
    static_cast<void>(cudaGetLastError());  // which the next launch would be taken to have caused
    return nullptr;
}

void give_back(void* block, std::size_t) noexcept { static_cast<void>(cudaFree(block)); }

void copy_in(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check("copy to the device", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, the_stream()));
    check("copy to the device", cudaStreamSynchronize(the_stream()));
}

void copy_out(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check("copy from the device", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, the_stream()));
    check("copy from the device", cudaStreamSynchronize(the_stream()));
}

#else

void launched(const char*, int) {}
int device_count() noexcept { return 1; }
std::string device_name() { return "emulated"; }
void* stream() { return nullptr; }
void synchronize() {}
void* fresh(std::size_t size) noexcept { return simt::allocate(size); }
void give_back(void* block, std::size_t size) noexcept { simt::release(block, size); }
void copy_in(void* to, const void* from, std::size_t bytes) { simt::copy(to, from, bytes); }
void copy_out(void* to, const void* from, std::size_t bytes) { simt::copy(to, from, bytes); }

#endif

}  // namespace nd
