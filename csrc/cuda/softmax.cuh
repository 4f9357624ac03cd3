// Softmax, log-softmax, log-sum-exp and cross entropy along rows of memory, each with its gradient: a warp or a block for a
// row. x is (rows, cols), cols >= 1. What each computes is said in csrc/nd/softmax.h.
#pragma once
#include "../nd/arguments.h"
#include "group.cuh"

namespace nd { namespace ND_ISA {

// f(place in the row) for the columns of one thread.
template <int Threads, class F>
__device__ __forceinline__ void each_column(int64_t cols, F f) {
    for (int64_t j = RowGroup<Threads>().rank(); j < cols; j += Threads) f(j);
}
template <class Fold, int Threads, class F>
__device__ float row_fold(int64_t cols, F value) {
    float v = Fold::start();
    each_column<Threads>(cols, [&](int64_t j) { v = Fold::fold(v, value(j)); });
    return folded<Fold, Threads>(v);
}
template <int Threads, class F>
__device__ float row_sum(int64_t cols, F value) { return row_fold<SumFold, Threads>(cols, value); }
template <int Threads>
__device__ float row_max(int64_t cols, const float* x) { return row_fold<MaxFold, Threads>(cols, [=](int64_t j) { return x[j]; }); }
template <int Threads>
__device__ float row_exp_sum(int64_t cols, const float* x, float top) {
    return row_sum<Threads>(cols, [=](int64_t j) { return exp(x[j] - top); });
}

struct SoftmaxRow {
    const float* x;
    float* y;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        float* to = y + row * cols;
        const float top = row_max<Threads>(cols, from), scale = 1.0f / row_exp_sum<Threads>(cols, from, top);
        each_column<Threads>(cols, [&](int64_t j) { to[j] = exp(from[j] - top) * scale; });
    }
};
struct LogsoftmaxRow {
    const float* x;
    float* y;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        const float top = row_max<Threads>(cols, from), log_sum = log(row_exp_sum<Threads>(cols, from, top));
        each_column<Threads>(cols, [&](int64_t j) { y[row * cols + j] = from[j] - top - log_sum; });
    }
};
struct LogsumexpRow {
    const float* x;
    float* y;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        float top = row_max<Threads>(cols, from);
        if (top - top != 0) top = 0;  // an infinite maximum is the answer itself
        const float sum = log(row_exp_sum<Threads>(cols, from, top)) + top;
        if (RowGroup<Threads>().rank() == 0) y[row] = sum;
    }
};
struct SoftmaxGradientRow {
    const float *g, *y;
    float* dx;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float *gr = g + row * cols, *yr = y + row * cols;
        const float dot = row_sum<Threads>(cols, [=](int64_t j) { return gr[j] * yr[j]; });
        each_column<Threads>(cols, [&](int64_t j) { dx[row * cols + j] = yr[j] * (gr[j] - dot); });
    }
};
struct LogsoftmaxGradientRow {
    const float *g, *y;
    float* dx;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float *gr = g + row * cols, *yr = y + row * cols;
        const float sum = row_sum<Threads>(cols, [=](int64_t j) { return gr[j]; });
        each_column<Threads>(cols, [&](int64_t j) { dx[row * cols + j] = gr[j] - exp(yr[j]) * sum; });
    }
};
struct CrossEntropyRow {
    const float* x;
    Labels labels;
    float* losses;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        const float label = labels.at[row], top = row_max<Threads>(cols, from);
        float one = log(row_exp_sum<Threads>(cols, from, top));
        const float shifted = labels.smoothing == 0 ? 0 : row_sum<Threads>(cols, [=](int64_t j) { return from[j] - top; });
        if (RowGroup<Threads>().rank() != 0) return;
        if (label == labels.ignored) {
            losses[row] = 0;
            return;
        }
        one -= (1 - labels.smoothing) * (from[static_cast<int64_t>(label)] - top);
        if (labels.smoothing != 0) one -= labels.smoothing / static_cast<float>(cols) * shifted;
        losses[row] = one;
    }
};
struct CrossEntropyGradientRow {
    const float* g;
    int64_t step;
    const float* x;
    Labels labels;
    float* dx;
    int64_t counted;  // the divisor, a whole number
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        const float label = labels.at[row], top = row_max<Threads>(cols, from), sum = row_exp_sum<Threads>(cols, from, top);
        const bool counts = label != labels.ignored;
        const int64_t at = counts ? static_cast<int64_t>(label) : -1;
        const float each = g[row * step] / static_cast<float>(counted), base = -each * labels.smoothing / static_cast<float>(cols);
        each_column<Threads>(cols, [&](int64_t j) {
            const float value = fma(exp(from[j] - top), each / sum, base) - (j == at ? each * (1 - labels.smoothing) : 0.0f);
            dx[row * cols + j] = counts ? value : 0.0f;
        });
    }
};

template <int Threads, class Row>
__global__ void rows_kernel(int64_t rows, int64_t cols, Row work) {
    const RowGroup<Threads> group;
    for (int64_t row = group.first(); row < rows; row += group.step()) work.template row<Threads>(row, cols);
}

// work.row(row, cols) for every row.
template <class Row>
void each_row(const Executor& on, const char* name, int64_t rows, int64_t cols, const Row& work) {
    if (rows == 0) return;
    with_row_groups(rows, cols, [&](auto threads, dim3 grid) {
        launch(on, name, rows_kernel<decltype(threads)::value, Row>, grid, kThreads, rows, cols, work);
    });
}

inline void softmax(const Executor& on, int64_t rows, int64_t cols, const float* x, float* y) {
    each_row(on, "softmax", rows, cols, SoftmaxRow{x, y});
}
inline void logsoftmax(const Executor& on, int64_t rows, int64_t cols, const float* x, float* y) {
    each_row(on, "logsoftmax", rows, cols, LogsoftmaxRow{x, y});
}
inline void logsumexp(const Executor& on, int64_t rows, int64_t cols, const float* x, float* y) {
    each_row(on, "logsumexp", rows, cols, LogsumexpRow{x, y});
}
inline void softmax_gradient(const Executor& on, int64_t rows, int64_t cols, const float* g, const float* y, float* dx) {
    each_row(on, "softmax_gradient", rows, cols, SoftmaxGradientRow{g, y, dx});
}
inline void logsoftmax_gradient(const Executor& on, int64_t rows, int64_t cols, const float* g, const float* y, float* dx) {
    each_row(on, "logsoftmax_gradient", rows, cols, LogsoftmaxGradientRow{g, y, dx});
}

// loss = the sum of the losses / divisor, by one block.
template <int Threads>
__global__ void mean_loss_kernel(int64_t rows, const float* losses, float divisor, float* loss) {
    const float sum = row_sum<Threads>(rows, [=](int64_t j) { return losses[j]; });
    if (threadIdx.x == 0) *loss = sum / divisor;
}

}}  // namespace nd::ND_ISA
