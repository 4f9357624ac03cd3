// What a host asks of a device beside starting kernels: memory, copies, a stream. Errors are numbers, 0 where all is well. Behind
// the emulator (tests/cuda/simt.h) they are the processor's.
#pragma once
#include <cstddef>
#include <cstdlib>
#include "launch.h"

namespace nd {

#if defined(__CUDACC__)

inline int device_count() noexcept {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}
// The device of this thread, for what has no stream to say so.
inline int device_in_use(int* device) { return static_cast<int>(cudaGetDevice(device)); }
inline int use_device(int device) { return static_cast<int>(cudaSetDevice(device)); }
inline const char* error_text(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

inline int open_stream(void** stream) {
    cudaStream_t made = nullptr;
    const int error = static_cast<int>(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    *stream = made;
    return error;
}
inline void close_stream(void* stream) { static_cast<void>(cudaStreamDestroy(static_cast<cudaStream_t>(stream))); }
inline int wait_for(void* stream) { return static_cast<int>(cudaStreamSynchronize(static_cast<cudaStream_t>(stream))); }

// Null where there is none.
inline void* take_memory(std::size_t bytes) noexcept {
    void* block = nullptr;
    if (cudaMalloc(&block, bytes) == cudaSuccess) return block;
    static_cast<void>(cudaGetLastError());  // which the next launch would be taken to have caused
    return nullptr;
}
inline void give_memory(void* block, std::size_t) noexcept { static_cast<void>(cudaFree(block)); }

inline int copy_to_device(void* stream, void* to, const void* from, std::size_t bytes) {
    return static_cast<int>(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(stream)));
}
// Memory of the host that the device reads by itself, and what says whether it has: an event.
inline void* take_pinned(std::size_t bytes) {
    void* block = nullptr;
    if (cudaMallocHost(&block, bytes) == cudaSuccess) return block;
    static_cast<void>(cudaGetLastError());
    return nullptr;
}
inline int record_event(void** event, void* stream) {
    auto* given = static_cast<cudaEvent_t>(*event);
    if (given == nullptr) {
        const cudaError_t error = cudaEventCreateWithFlags(&given, cudaEventDisableTiming);
        if (error != cudaSuccess) return static_cast<int>(error);
        *event = given;
    }
    return static_cast<int>(cudaEventRecord(given, static_cast<cudaStream_t>(stream)));
}
inline int wait_for_event(void* event) {
    return event == nullptr ? 0 : static_cast<int>(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}
inline int copy_from_device(void* stream, void* to, const void* from, std::size_t bytes) {
    return static_cast<int>(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(stream)));
}

#else

inline int device_count() noexcept { return simt::kDevices; }
inline int device_in_use(int* device) { return *device = simt::in_use, 0; }
inline int use_device(int device) { return simt::in_use = device, 0; }
inline const char* error_text(int) { return ""; }
inline int open_stream(void** stream) { return *stream = nullptr, 0; }
inline void close_stream(void*) {}
inline int wait_for(void*) { return 0; }
inline void* take_memory(std::size_t bytes) noexcept { return simt::allocate(bytes); }
inline void give_memory(void* block, std::size_t bytes) noexcept { simt::release(block, bytes); }
inline int copy_to_device(void*, void* to, const void* from, std::size_t bytes) { return simt::copy(to, from, bytes), 0; }
inline void* take_pinned(std::size_t bytes) { return std::malloc(bytes); }
inline int record_event(void**, void*) { return 0; }
inline int wait_for_event(void*) { return 0; }
inline int copy_from_device(void*, void* to, const void* from, std::size_t bytes) { return simt::copy(to, from, bytes), 0; }

#endif

// While it lives, this thread's device; then that is what it was before. `error` says whether it could be.
class UseDevice {
public:
    explicit UseDevice(int device) : error(device_in_use(&before_)) {
        if (error == 0 && device != before_) error = use_device(device);
    }
    ~UseDevice() {
        if (error == 0) static_cast<void>(use_device(before_));
    }
    UseDevice(const UseDevice&) = delete;
    UseDevice& operator=(const UseDevice&) = delete;

private:
    int before_ = 0;

public:
    int error;
};

}  // namespace nd
