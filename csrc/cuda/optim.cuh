// Steps of optimizers, and the sums of squares by which gradients are clipped, of all parameters in one launch. What each
// computes is said in csrc/nd/optim.h.
#pragma once
#include "../nd/arguments.h"
#include "pieces.cuh"
#include "softmax.cuh"

namespace nd { namespace ND_ISA {

__device__ __forceinline__ void update(const Update& of, int64_t j, const SgdStep& s) {
    float u = fma(s.decay, of.param[j], of.grad[j]);
    if (of.first != nullptr) of.first[j] = u = fma(s.keep, of.first[j], s.take * u);
    of.out[j] = fma(-s.lr, u, of.param[j]);
}
__device__ __forceinline__ void update(const Update& of, int64_t j, const MomentumStep& s) {
    const float d = fma(s.decay, of.param[j], of.grad[j]), u = fma(s.momentum, of.first[j], d);
    of.first[j] = u;
    of.out[j] = fma(-s.lr, s.nesterov ? fma(s.momentum, u, d) : u, of.param[j]);
}
__device__ __forceinline__ void update(const Update& of, int64_t j, const AdamStep& s) {
    const float p = of.param[j] * s.shrink, g = fma(s.decay, p, of.grad[j]);
    const float m = fma(s.beta1, of.first[j], s.take1 * g), v = fma(s.beta2, of.second[j], s.take2 * (g * g));
    of.first[j] = m;
    of.second[j] = v;
    of.out[j] = p - s.rate * m / (square_root(v * s.correction) + s.eps);
}

constexpr int64_t kUpdates = 4 * kThreads;  // of one block
using UpdateList = PieceList<Update, kUpdates>;

template <class Step>
__global__ void step_kernel(UpdateList list, Step step) {
    const Piece<Update> piece = list.of_block(blockIdx.x);
    for (int64_t j = piece.first + threadIdx.x; j < piece.end; j += blockDim.x) update(piece.item, j, step);
}

// The step of all parameters.
template <class Step>
void step_all(const Executor& on, const char* name, int64_t count, const Update* updates, const Step& step) {
    in_pieces<kUpdates>(count, updates, [&](const UpdateList& list, int64_t) {
        launch(on, name, step_kernel<Step>, dim3(list.blocks), kThreads, list, step);
    });
}

constexpr int64_t kSquares = 4096;  // that are added up as floats, by one block
using SquaresList = PieceList<Flat, kSquares>;

inline int64_t squares_of(const Flat& array) { return ceil_div(array.count, kSquares); }

template <int Threads>
__global__ void squares_kernel(SquaresList list, float* sums) {
    const Piece<Flat> piece = list.of_block(blockIdx.x);
    const float* from = piece.item.data + piece.first;
    const float sum = row_sum<Threads>(piece.end - piece.first, [=](int64_t j) { return from[j] * from[j]; });
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The sums of squares of all pieces of the first array, then of the second, ...
inline void squares(const Executor& on, int64_t count, const Flat* arrays, float* sums) {
    in_pieces<kSquares>(count, arrays, [&](const SquaresList& list, int64_t before) {
        launch(on, "squared_norm", squares_kernel<kThreads>, dim3(list.blocks), kThreads, list, sums + before);
    });
}

}}  // namespace nd::ND_ISA
