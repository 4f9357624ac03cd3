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
// The device's memory cannot be touched but by kernels and by copies: a function of the host that reads it ends the process,
// and so does a kernel that is handed an address of the host. With AddressSanitizer it is ordinary memory, so that every
// access outside of a block is found instead.
// __syncthreads() must be reached by every thread of a block, a shuffle by every thread of a warp: else the same.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

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

// ---- memory: a range of addresses that is closed while no kernel runs ---------------------------------------------------------
#if defined(__SANITIZE_ADDRESS__)
inline void* allocate(std::size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }
inline void release(void* block, std::size_t) { std::free(block); }
struct Open {};
template <class T> void check_argument(const T&) {}
#else
struct Memory {
    static constexpr std::size_t kRange = std::size_t(16) << 30, kPage = std::size_t(1) << 16;
    char* base = static_cast<char*>(mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    std::size_t used = 0, opened = 0;
    std::mutex mutex;
    std::vector<std::pair<std::size_t, void*>> free;

    bool holds(std::uintptr_t address) const {
        const auto first = reinterpret_cast<std::uintptr_t>(base);
        return address >= first && address < first + kRange;
    }
    void* take(std::size_t bytes) {
        std::lock_guard<std::mutex> lock(mutex);
        for (std::size_t i = 0; i < free.size(); ++i)
            if (free[i].first == bytes) {
                void* block = free[i].second;
                free.erase(free.begin() + static_cast<std::ptrdiff_t>(i));
                return block;
            }
        const std::size_t size = (bytes + 63) / 64 * 64;
        if (base == MAP_FAILED || size > kRange - used) return nullptr;
        used += size;
        return base + used - size;
    }
    void close(int protection) { mprotect(base, (used + kPage - 1) / kPage * kPage, protection); }
};
inline Memory& memory() {
    static Memory* one = new Memory;
    return *one;
}
inline void* allocate(std::size_t bytes) { return memory().take(bytes); }
inline void release(void* block, std::size_t bytes) {
    std::lock_guard<std::mutex> lock(memory().mutex);
    memory().free.emplace_back(bytes, block);
}
struct Open {  // for as long as it lives; one at a time
    Open() { memory().close(PROT_READ | PROT_WRITE); }
    ~Open() { memory().close(PROT_NONE); }
};
// No word of a kernel's argument may look like an address of the host.
template <class T>
void check_argument(T argument) {
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&argument);
    if constexpr (sizeof(T) >= sizeof(void*))
        for (std::size_t at = 0; at + sizeof(void*) <= sizeof(T); at += sizeof(void*)) {
            std::uintptr_t word;
            std::memcpy(&word, reinterpret_cast<const char*>(&argument) + at, sizeof word);
            if (word >> 40 >= 0x55 && word >> 47 == 0 && !memory().holds(word)) fail("an address of the host among the arguments of the kernel,");
        }
#endif
}
#endif

// ---- fibers: stacks of their own, between which a switch saves what a call keeps -------------------------------------------
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = std::size_t(256) << 10;
#else
constexpr std::size_t kStack = std::size_t(64) << 10;
#endif

struct Fiber {
    std::unique_ptr<char[]> memory;  // none for the fiber that the process began with
    const void* bottom = nullptr;
    std::size_t size = 0;
    void* fake = nullptr;  // the sanitizer's
#if defined(__x86_64__)
    void* top = nullptr;
#else
    ucontext_t context;
#endif
};

#if defined(__x86_64__)
__attribute__((naked, noinline)) inline void exchange(void** /* kept */, void* /* next */) {
    __asm__ volatile(
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

inline void arrived(Fiber& here, Fiber* from) {
#if defined(__SANITIZE_ADDRESS__)
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(here.fake, &bottom, &size);
    if (from != nullptr && from->bottom == nullptr) from->bottom = bottom, from->size = size;
#else
    (void)here, (void)from;
#endif
}

inline void go(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.size);
#endif
#if defined(__x86_64__)
    exchange(&from.top, to.top);
#else
    swapcontext(&from.context, &to.context);
#endif
    arrived(from, nullptr);
}

inline void prepare(Fiber& fiber, void (*entry)()) {
    if (!fiber.memory) {
        fiber.memory.reset(new char[kStack]);
        fiber.bottom = fiber.memory.get(), fiber.size = kStack;
    }
#if defined(__x86_64__)
    auto end = reinterpret_cast<std::uintptr_t>(fiber.memory.get() + kStack) / 16 * 16;
    auto* top = reinterpret_cast<void**>(end);
    *--top = nullptr;  // where `entry` would return to
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    fiber.top = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.memory.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#endif
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

// Between the host's memory and the device's.
inline void copy(void* to, const void* from, std::size_t bytes) {
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

namespace simt {

// Shared memory: an array of N elements that knows who touches it. The device's own is in csrc/cuda/launch.h.
template <class T, int N>
class Shared : SharedMemory {
public:
    Shared() { device().shared.push_back(this); }

#if defined(SIMT_CHECK)
    class Element {
    public:
        Element(Shared& owner, int i) : owner_(owner), i_(i) {}
        operator T() const { return owner_.get(i_); }
        Element& operator=(T value) { owner_.set(i_, value); return *this; }
        Element& operator=(const Element& other) { return *this = T(other); }
        Element& operator+=(T value) { return *this = T(*this) + value; }

    private:
        Shared& owner_;
        int i_;
    };
    Element operator[](int i) { return {*this, i}; }
#else
    T& operator[](int i) { return value_[inside(i)]; }
#endif
    float4 four(int i) {  // elements i .. i + 3, of which i is a multiple of 4
        if (i % 4 != 0) fail("four elements of shared memory that are not aligned");
        return {(*this)[i], (*this)[i + 1], (*this)[i + 2], (*this)[i + 3]};
    }

private:
    int inside(int i) {
        if (i < 0 || i >= N) fail("an access outside of shared memory");
        return i;
    }
    void begin_block() override {
        std::memset(static_cast<void*>(value_), 0xff, sizeof value_);
#if defined(SIMT_CHECK)
        for (Trace& each : trace_) each = {};
#endif
    }

    T value_[N];
#if defined(SIMT_CHECK)
    // Who wrote and who read an element last, and at which barrier; `many`: more than one thread read it there.
    struct Trace {
        uint32_t written = 0, read = 0;
        uint16_t writer = 0, reader = 0;
        bool many = false;
    };
    T get(int i) {
        Trace& t = trace_[inside(i)];
        const uint32_t now = device().epoch;
        if (t.written == now && t.writer != threadIdx.x) fail("a race: shared memory read that another thread writes");
        if (t.read != now) t.read = now, t.reader = uint16_t(threadIdx.x), t.many = false;
        else t.many = t.many || t.reader != threadIdx.x;
        return value_[i];
    }
    void set(int i, T value) {
        Trace& t = trace_[inside(i)];
        const uint32_t now = device().epoch;
        if (t.written == now && t.writer != threadIdx.x) fail("a race: shared memory written by two threads");
        if (t.read == now && (t.many || t.reader != threadIdx.x)) fail("a race: shared memory written that another thread reads");
        t.written = now, t.writer = uint16_t(threadIdx.x);
        value_[i] = value;
    }
    Trace trace_[N];
#endif
};

}  // namespace simt
