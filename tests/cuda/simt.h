// A CUDA device for a compiler of the host: kernels of csrc/cuda run on the processor, as they are written.
//
// Given to the compiler in front of a .cu file (-x c++ -include simt.h), this header is the device. Blocks run one after
// the other, and the threads of a block in the order of their numbers until they wait: for __syncthreads(), or for their
// warp in a shuffle. A thread that waits keeps its stack (a fiber) and another goes on. SIMT_REVERSED runs blocks and
// threads in the opposite order: what depends on an order that the device does not promise shows there.
//
// With SIMT_CHECK every access of shared memory (Shared) is written down with its thread and the number of barriers
// before it: two threads that meet at an element without a barrier between them, one of which writes, are a race; that and
// what lies outside ends the process with a message. Shared memory is NaN when a block begins.
// There are two devices, whose memory cannot be touched but by their own kernels and by copies: a function of the host that reads
// it ends the process, and so does a kernel that is handed an address of the host or of the other device. With
// AddressSanitizer it is ordinary memory, so that every access outside of a block is found instead.
// __syncthreads() must be reached by every thread of a block, a shuffle or an mma by every thread of a warp: else the same.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include "simt_fibers.h"
#include "simt_memory.h"

#define SIMT 1
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline dim3 threadIdx(0, 0, 0), blockIdx(0, 0, 0), blockDim, gridDim;
constexpr int warpSize = 32;

namespace simt {

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "[simt] %s in thread %u of block (%u, %u, %u)\n", what, threadIdx.x, blockIdx.x, blockIdx.y, blockIdx.z);
    std::abort();
}

// ---- a block: its threads, each running, waiting or done --------------------------------------------------------------------
constexpr unsigned kMostThreads = 1024;

struct SharedMemory {
    virtual void begin_block() = 0;

protected:
    ~SharedMemory() = default;
};

struct Device {
    enum State : char { running, at_barrier, in_warp, done };
    std::mutex mutex;  // one kernel at a time
    std::vector<SharedMemory*> shared;
    Fiber scheduler;
    std::vector<std::unique_ptr<Fiber>> fibers;  // as many as ever waited at once
    std::vector<unsigned> idle;
    void (*body)(void*) = nullptr;
    void* arguments = nullptr;
    unsigned threads = 0, started = 0, current = 0, fiber = 0;
    bool finished = false;     // whether the fiber that ran last has no thread left to run
    uint32_t epoch = 0;        // barriers so far
    uint64_t launches = 0;     // kernels so far
    uint64_t captures = 0;     // lists of launches that were written down so far
    State state[kMostThreads];
    unsigned home[kMostThreads];  // the fiber of a thread that waits
    uint64_t slot[kMostThreads];  // what it shows to its warp

    unsigned numbered(unsigned i) const {
#if defined(SIMT_REVERSED)
        return threads - 1 - i;
#else
        return i;
#endif
    }

    void work() {  // of a fiber: threads that nobody runs yet, as long as there are some
        while (started < threads) {
            const unsigned mine = numbered(started++);
            current = threadIdx.x = mine;
            state[mine] = running;
            body(arguments);
            state[mine] = done;
        }
        finished = true;
    }

    void wait(State why) {
        const unsigned mine = current, own = fiber;
        state[mine] = why;
        home[mine] = own;
        go(*fibers[own], scheduler);
        current = threadIdx.x = mine;
        fiber = own;
    }

    void resume(unsigned index) {
        fiber = index;
        finished = false;
        go(scheduler, *fibers[index]);
        if (finished) idle.push_back(fiber);
    }

    bool release_warps() {
        bool some = false;
        for (unsigned first = 0; first < threads; first += warpSize) {
            const unsigned end = first + warpSize < threads ? first + warpSize : threads;
            unsigned waiting = 0;
            for (unsigned t = first; t < end; ++t) waiting += state[t] == in_warp;
            if (waiting != end - first) continue;
            some = true;
            for (unsigned t = first; t < end; ++t) state[t] = running;
            for (unsigned t = first; t < end; ++t) resume(home[t]);
        }
        return some;
    }

    void run_block(unsigned count);
};

inline Device& device() {
    static Device* one = new Device;
    return *one;
}

inline void enter() {
    Device& d = device();
    arrived(*d.fibers[d.fiber], &d.scheduler);
    for (;;) {
        d.work();
        const unsigned own = d.fiber;
        go(*d.fibers[own], d.scheduler);  // until there is more to do
        d.fiber = own;
    }
}

inline void Device::run_block(unsigned count) {
    threads = count, started = 0;
    for (SharedMemory* each : shared) each->begin_block();
    ++epoch;
    for (;;) {
        if (started < threads) {
            if (idle.empty()) {
                fibers.push_back(std::make_unique<Fiber>());
                prepare(*fibers.back(), enter);
                idle.push_back(static_cast<unsigned>(fibers.size() - 1));
            }
            const unsigned next = idle.back();
            idle.pop_back();
            resume(next);
            continue;
        }
        unsigned ended = 0, waiting = 0;
        for (unsigned t = 0; t < threads; ++t) ended += state[t] == done, waiting += state[t] == at_barrier;
        if (ended == threads) return;
        if (waiting == threads) {
            ++epoch;
            for (unsigned t = 0; t < threads; ++t) state[t] = running;
            for (unsigned i = 0; i < threads; ++i) resume(home[numbered(i)]);
        } else if (!release_warps()) {
            fail("__syncthreads() or a shuffle that some threads do not reach,");
        }
    }
}

// Runs a kernel, given as a call of it without arguments.
template <class Call>
void run(dim3 grid, unsigned threads, Call call) {
    Device& d = device();
    std::lock_guard<std::mutex> lock(d.mutex);
    [[maybe_unused]] const Open open{};
    ++d.launches;
    if (threads == 0 || threads > kMostThreads || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535)
        fail("a grid that no device takes,");
    d.body = [](void* arguments) { (*static_cast<Call*>(arguments))(); };
    d.arguments = &call;
    gridDim = grid, blockDim = dim3(threads);
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks; ++i) {
#if defined(SIMT_REVERSED)
        const uint64_t b = blocks - 1 - i;
#else
        const uint64_t b = i;
#endif
        blockIdx = dim3(unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y));
        d.run_block(threads);
    }
}

// ---- launches that are written down with their arguments, to be run later, as often as wanted --------------------------------
using Launches = std::vector<std::function<void()>>;
inline thread_local Launches* written = nullptr;  // where those of this thread go, instead of being run

inline void capture(Launches* into) { written = into; }
inline Launches* captured() {
    ++device().captures;
    return std::exchange(written, nullptr);
}

// Runs a kernel, given as a call of it that keeps its arguments, or writes it down.
template <class Call>
void start(dim3 grid, unsigned threads, Call call) {
    if (written == nullptr) return run(grid, threads, call);
    written->push_back([=] { run(grid, threads, call); });
}

// Between the host's memory and the device's.
inline void copy(void* to, const void* from, std::size_t bytes) {
    if (written != nullptr) fail("a copy among launches that are written down,");
    std::lock_guard<std::mutex> lock(device().mutex);
    [[maybe_unused]] const Open open{};
    if (bytes > 0) std::memcpy(to, from, bytes);
}

// What thread `from(lane)` of the warp has.
template <class T, class From>
T exchanged(unsigned mask, T value, From from) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "shuffles move 4 or 8 bytes");
    if (mask != 0xffffffffu) fail("a shuffle that is not of the whole warp");
    Device& d = device();
    const unsigned mine = threadIdx.x, first = mine / warpSize * warpSize;
    std::memcpy(&d.slot[mine], &value, sizeof value);
    d.wait(Device::in_warp);
    const unsigned source = first + from(mine - first) % warpSize;
    std::memcpy(&value, &d.slot[source < d.threads ? source : mine], sizeof value);
    d.wait(Device::in_warp);
    return value;
}

}  // namespace simt

inline void __syncthreads() { simt::device().wait(simt::Device::at_barrier); }
inline void __syncwarp(unsigned = 0xffffffffu) { simt::device().wait(simt::Device::in_warp); }
template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
    return simt::exchanged(mask, value, [=](unsigned) { return static_cast<unsigned>(from); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other) {
    return simt::exchanged(mask, value, [=](unsigned lane) { return lane ^ static_cast<unsigned>(other); });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned step) {
    return simt::exchanged(mask, value, [=](unsigned lane) { return lane + step < unsigned(warpSize) ? lane + step : lane; });
}
template <class T>
T __ldg(const T* p) { return *p; }
template <class T>
T atomicMin(T* at, T value) { const T old = *at; *at = value < old ? value : old; return old; }
template <class T>
T atomicAdd(T* at, T value) { const T old = *at; *at = old + value; return old; }
inline unsigned __ballot_sync(unsigned mask, bool holds) {
    unsigned votes = 0;
    for (int from = 0; from < warpSize; ++from) votes |= unsigned(__shfl_sync(mask, int(holds), from)) << from;
    return votes;
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }

struct alignas(16) float4 { float x, y, z, w; };

#include "simt_mma.h"
#include "simt_shared.h"
