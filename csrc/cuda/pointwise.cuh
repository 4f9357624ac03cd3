// Pointwise maps over contiguous memory and over loop nests with any strides (0 broadcasts).
#pragma once
#include <utility>
#include "../nd/nest.h"
#include "../nd/scalar.h"
#include "launch.h"

namespace nd { namespace ND_ISA {

template <class F, class... X>
__global__ void map_kernel(int64_t n, F f, float* y, const X*... x) {
    for (int64_t i = first_index(); i < n; i += index_step()) y[i] = f(x[i]...);
}

// rest = the quotient by size; returns the remainder. In 32 bits where both fit, for divisions of 64 take many instructions.
__device__ __forceinline__ int64_t divided(int64_t& rest, int64_t size) {
    if (static_cast<uint64_t>(rest | size) >> 32 == 0) {
        const auto a = static_cast<uint32_t>(rest), b = static_cast<uint32_t>(size), quotient = a / b;
        rest = quotient;
        return a - quotient * b;
    }
    const int64_t all = rest;
    rest = all / size;
    return all - rest * size;
}

// Where element `index` of a nest lies in each operand.
template <int K>
__device__ __forceinline__ void place_of(const Nest<K>& nest, int64_t index, int64_t (&at)[K]) {
    for (int k = 0; k < K; ++k) at[k] = 0;
    for (int d = nest.dims - 1; d >= 0; --d) {
        const int64_t place = divided(index, nest.size[d]);
        for (int k = 0; k < K; ++k) at[k] += place * nest.stride[k][d];
    }
}

template <class F, std::size_t... K, class Y, class... X>
__device__ __forceinline__ void map_place(F f, std::index_sequence<K...>, const int64_t* at, Y* y, const X*... x) {
    y[at[0]] = f(x[at[K + 1]]...);
}

template <class F, class Y, class... X>
__global__ void map_nest_kernel(int64_t n, Nest<sizeof...(X) + 1> nest, F f, Y* y, const X*... x) {
    for (int64_t i = first_index(); i < n; i += index_step()) {
        int64_t at[sizeof...(X) + 1];
        place_of(nest, i, at);
        map_place(f, std::index_sequence_for<X...>{}, at, y, x...);
    }
}

// y[i] = f(x[i]...) for n elements in a row; y may be one of the x.
template <class F, class... X>
void map(const Executor& on, const char* name, int64_t n, F f, float* y, const X*... x) {
    launch(on, name, map_kernel<F, X...>, grid_of(n), kThreads, n, f, y, x...);
}

// The same over a nest (y, x...). Where it writes an element twice, one thread does, so that the last one stays.
template <class F, class Y, class... X>
void map(const Executor& on, const char* name, Nest<sizeof...(X) + 1> nest, F f, Y* y, const X*... x) {
    const int64_t n = nest.count();
    if (n == 0) return;
    simplify(nest);
    launch(on, name, map_nest_kernel<F, Y, X...>, overlaps(nest) ? dim3(1) : grid_of(n), overlaps(nest) ? 1 : kThreads, n, nest,
           f, y, x...);
}

template <class T>
__global__ void fill_kernel(int64_t n, T value, T* y) {
    for (int64_t i = first_index(); i < n; i += index_step()) y[i] = value;
}
template <class T>
void fill(const Executor& on, int64_t n, T value, T* y) {
    launch(on, "fill", fill_kernel<T>, grid_of(n), kThreads, n, value, y);
}

}}  // namespace nd::ND_ISA
