// Steps of optimizers, and the sums of squares by which gradients are clipped. What each computes is said in csrc/nd/optim.h.
#pragma once
#include "../nd/arguments.h"
#include "columns.cuh"
#include "softmax.cuh"

namespace nd { namespace ND_ISA {

struct SgdStep {
    const float *param, *grad;
    float *out, *velocity;
    float lr, keep, take, decay;
    __device__ void operator()(int64_t j) const {
        float u = fma(decay, param[j], grad[j]);
        if (velocity != nullptr) velocity[j] = u = fma(keep, velocity[j], take * u);
        out[j] = fma(-lr, u, param[j]);
    }
};
struct MomentumStep {
    const float *param, *grad;
    float *out, *velocity;
    float lr, momentum, decay;
    bool nesterov;
    __device__ void operator()(int64_t j) const {
        const float d = fma(decay, param[j], grad[j]), u = fma(momentum, velocity[j], d);
        velocity[j] = u;
        out[j] = fma(-lr, nesterov ? fma(momentum, u, d) : u, param[j]);
    }
};
struct AdamUpdate {
    const float *param, *grad;
    float *out, *m, *v;
    AdamStep s;
    __device__ void operator()(int64_t j) const {
        const float p = param[j] * s.shrink, g = fma(s.decay, p, grad[j]);
        const float first = fma(s.beta1, m[j], s.take1 * g), second = fma(s.beta2, v[j], s.take2 * (g * g));
        m[j] = first;
        v[j] = second;
        out[j] = p - s.rate * first / (square_root(second * s.correction) + s.eps);
    }
};

constexpr int64_t kSquares = 4096;  // that are added up as floats
struct SquaresRow {
    const float* x;
    float* sums;
    int64_t count;
    template <int Threads>
    __device__ void row(int64_t row, int64_t) const {
        const float* from = x + row * kSquares;
        const float sum = row_sum<Threads>(min(kSquares, count - row * kSquares), [=](int64_t j) { return from[j] * from[j]; });
        if (RowGroup<Threads>().rank() == 0) sums[row] = sum;
    }
};

}}  // namespace nd::ND_ISA
