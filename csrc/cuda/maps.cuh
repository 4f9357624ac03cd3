// Maps, copies and folds as programs call them, by the names and with the arguments of csrc/nd.
#pragma once
#include "pointwise.cuh"
#include "reduce.cuh"

namespace nd { namespace ND_ISA {

template <class F, class... X>
void map(const Executor& on, int64_t n, F f, float* y, const X*... x) { map(on, "map", n, f, y, x...); }
template <class F, class... X>
void map(const Executor& on, const Nest<sizeof...(X) + 1>& nest, F f, float* y, const X*... x) { map(on, "map", nest, f, y, x...); }
inline void copy_strided(const Executor& on, const Nest<2>& nest, float* y, const float* x) { map(on, "copy", nest, Copy{}, y, x); }

// In one piece: how an axis is cut must not depend on the batch of a call.
template <class Fold>
void reduce(const Executor& on, int64_t outer, int64_t k, int64_t inner, const float* x, float* y, float*) {
    reduce_once<Fold>(on, "reduce", outer, k, inner, 1, x, y);
}

}}  // namespace nd::ND_ISA
