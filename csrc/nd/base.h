// Words shared by every kernel: the ISA namespace, sizes that are constants or integers, and the executor that runs tasks.
#pragma once
#include <cstdint>
#include <type_traits>

// A kernel is compiled once per instruction set, each time in a namespace of its own, so that the linker never
// merges an AVX-512 copy of an inline function into the baseline program. The build defines ND_ISA (v2, v3, v4, ...).
#ifndef ND_ISA
#define ND_ISA native
#endif

#define ND_INLINE inline __attribute__((always_inline))
#define ND_NOINLINE __attribute__((noinline))

#if defined(__CUDACC__)
#define ND_FN __host__ __device__ __forceinline__
#define ND_UNROLL  // nvcc does so by itself
#else
#define ND_FN ND_INLINE
#define ND_UNROLL _Pragma("GCC unroll 16")
#endif

namespace nd {

// Runs `count` independent tasks, in any order, on `threads` threads (the caller's among them), and returns when all are
// done. A plain pair of pointers, so that one pool serves kernels of every instruction set and generated programs too.
// A kernel must give the same bits for every number of threads: a task writes outputs that no other task writes.
struct Executor {
    void (*run)(void* pool, int64_t count, void (*task)(void* context, int64_t index), void* context) = nullptr;
    void* pool = nullptr;
    int threads = 1;
};

namespace ND_ISA {

// A size known at compile time: nd::conv(Const<32>{}, ...) lets the compiler unroll; plain int64_t works everywhere too.
template <int64_t V>
struct Const {
    static constexpr int64_t value = V;
    constexpr operator int64_t() const { return V; }
};

// Calls f(i) for i in [0, count) through the executor; a null executor or a single task runs in place.
template <class F>
ND_INLINE void parallel(const Executor& executor, int64_t count, F&& f) {
    if (executor.run == nullptr || executor.threads <= 1 || count <= 1) {
        for (int64_t i = 0; i < count; ++i) f(i);
        return;
    }
    using Task = std::remove_reference_t<F>;
    executor.run(executor.pool, count, [](void* context, int64_t i) { (*static_cast<Task*>(context))(i); },
                 const_cast<void*>(static_cast<const void*>(&f)));
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
template <class T>
constexpr T min(T a, T b) { return a < b ? a : b; }
template <class T>
constexpr T max(T a, T b) { return a < b ? b : a; }

ND_FN int64_t magnitude(int64_t x) { return x < 0 ? static_cast<int64_t>(-static_cast<uint64_t>(x)) : x; }

}  // namespace ND_ISA
using namespace ND_ISA;
}  // namespace nd
