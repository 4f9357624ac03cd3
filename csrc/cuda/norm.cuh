// Batch normalisation over rows, layer and root-mean-square normalisation along them, group normalisation, with their
// gradients. What each computes is said in csrc/nd/norm.h, rms_norm.h and group_norm.h.
#pragma once
#include "../nd/arguments.h"
#include "columns.cuh"
#include "softmax.cuh"

namespace nd { namespace ND_ISA {

inline int64_t norm_scratch(int64_t rows, int64_t cols) { return column_scratch(rows, cols, 2); }

ND_FN float reciprocal_root(float x) { return 1.0f / square_root(x); }

// ---- batch normalisation ------------------------------------------------------------------------------------------------------
struct TakeValue {
    const float* x;
    int64_t cols;
    __device__ void operator()(int64_t row, int64_t j, float* sum) const { sum[0] += x[row * cols + j]; }
};
struct TakeSquare {
    const float *x, *mean;
    int64_t cols;
    __device__ void operator()(int64_t row, int64_t j, float* sum) const {
        const float away = x[row * cols + j] - mean[j];
        sum[0] += away * away;
    }
};
struct KeepMean {
    float* mean;
    int64_t count;
    __device__ void operator()(int64_t j, const float* sum) const { mean[j] = sum[0] / static_cast<float>(count); }
};
struct ScaleColumns {
    const float *x, *weight, *bias, *mean, *var;
    float* y;
    int64_t cols;
    float eps;
    __device__ void operator()(int64_t i) const {
        const int64_t j = i % cols;
        y[i] = fma(x[i] - mean[j], weight[j] / square_root(var[j] + eps), bias[j]);
    }
};

inline void batch_norm_inference(const Executor& on, int64_t rows, int64_t cols, const float* x, const float* weight,
                                 const float* bias, const float* mean, const float* var, float eps, float* y, float*) {
    each(on, "batch_norm", rows * cols, ScaleColumns{x, weight, bias, mean, var, y, cols, eps});
}

inline void batch_norm(const Executor& on, int64_t rows, int64_t cols, const float* x, const float* weight, const float* bias,
                       float eps, float* y, float* mean, float* var, float* scratch) {
    column_sums<1>(on, "batch_norm", rows, cols, TakeValue{x, cols}, KeepMean{mean, rows}, scratch);
    column_sums<1>(on, "batch_norm", rows, cols, TakeSquare{x, mean, cols}, KeepMean{var, rows}, scratch);
    batch_norm_inference(on, rows, cols, x, weight, bias, mean, var, eps, y, scratch);
}

struct TakeGradient {
    const float *g, *x, *mean;
    int64_t cols;
    __device__ void operator()(int64_t row, int64_t j, float* sum) const {
        const float one = g[row * cols + j];
        sum[0] += one;
        sum[1] += one * (x[row * cols + j] - mean[j]);
    }
};
struct KeepBatchGradient {
    const float* var;
    float *dweight, *dbias;
    float eps;
    __device__ void operator()(int64_t j, const float* sum) const {
        dbias[j] = sum[0];
        dweight[j] = sum[1] * reciprocal_root(var[j] + eps);
    }
};
struct BatchNormGradient {
    const float *g, *x, *weight, *mean, *var, *dweight, *dbias;
    float* dx;
    int64_t rows, cols;
    float eps;
    __device__ void operator()(int64_t i) const {
        const int64_t j = i % cols;
        const float r = reciprocal_root(var[j] + eps), scale = weight[j] * r, count = static_cast<float>(rows);
        dx[i] = fma(x[i] - mean[j], -scale * r * dweight[j] / count, (g[i] - dbias[j] / count) * scale);
    }
};

inline void batch_norm_gradient(const Executor& on, int64_t rows, int64_t cols, const float* g, const float* x,
                                const float* weight, const float* mean, const float* var, float eps, float* dx,
                                float* dweight, float* dbias, float* scratch) {
    const char* name = "batch_norm_gradient";
    column_sums<2>(on, name, rows, cols, TakeGradient{g, x, mean, cols}, KeepBatchGradient{var, dweight, dbias, eps}, scratch);
    each(on, name, rows * cols, BatchNormGradient{g, x, weight, mean, var, dweight, dbias, dx, rows, cols, eps});
}

// ---- layer and root-mean-square normalisation ---------------------------------------------------------------------------------
struct LayerNormRow {
    const float *x, *weight, *bias;
    float *y, *mean, *rstd;
    float eps;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        const float count = static_cast<float>(cols);
        const float middle = row_sum<Threads>(cols, [=](int64_t j) { return from[j]; }) / count;
        const float squares = row_sum<Threads>(cols, [=](int64_t j) { return (from[j] - middle) * (from[j] - middle); });
        const float scale = reciprocal_root(squares / count + eps);
        each_column<Threads>(cols, [&](int64_t j) { y[row * cols + j] = fma((from[j] - middle) * scale, weight[j], bias[j]); });
        if (RowGroup<Threads>().rank() == 0) mean[row] = middle, rstd[row] = scale;
    }
};
struct LayerNormGradientRow {
    const float *g, *x, *weight, *mean, *rstd;
    float* dx;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float *from = x + row * cols, *gr = g + row * cols, *w = weight;
        const float middle = mean[row], scale = rstd[row], count = static_cast<float>(cols);
        const float flat = row_sum<Threads>(cols, [=](int64_t j) { return gr[j] * w[j]; }) / count;
        const float tilt = row_sum<Threads>(cols, [=](int64_t j) { return gr[j] * w[j] * ((from[j] - middle) * scale); }) / count;
        each_column<Threads>(cols, [&](int64_t j) {
            dx[row * cols + j] = (gr[j] * w[j] - flat - (from[j] - middle) * scale * tilt) * scale;
        });
    }
};
struct TakeNormal {  // g n and g, n = (x - mean) rstd; without a mean n = x rstd
    const float *g, *x, *mean, *rstd;
    int64_t cols;
    __device__ void operator()(int64_t row, int64_t j, float* sum) const {
        const float one = g[row * cols + j], value = x[row * cols + j];
        sum[0] += one * ((mean == nullptr ? value : value - mean[row]) * rstd[row]);
        sum[1] += one;
    }
};
struct KeepBoth {
    float *dweight, *dbias;
    __device__ void operator()(int64_t j, const float* sum) const {
        dweight[j] = sum[0];
        if (dbias != nullptr) dbias[j] = sum[1];
    }
};
struct RmsNormRow {
    const float *x, *weight;
    float *y, *rstd;
    float eps;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float* from = x + row * cols;
        const float squares = row_sum<Threads>(cols, [=](int64_t j) { return from[j] * from[j]; });
        const float scale = reciprocal_root(squares / static_cast<float>(cols) + eps);
        each_column<Threads>(cols, [&](int64_t j) { y[row * cols + j] = from[j] * scale * weight[j]; });
        if (RowGroup<Threads>().rank() == 0) rstd[row] = scale;
    }
};
struct RmsNormGradientRow {
    const float *g, *x, *weight, *rstd;
    float* dx;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const float *from = x + row * cols, *gr = g + row * cols, *w = weight;
        const float scale = rstd[row];
        const float tilt = scale * scale / static_cast<float>(cols) * row_sum<Threads>(cols, [=](int64_t j) { return gr[j] * w[j] * from[j]; });
        each_column<Threads>(cols, [&](int64_t j) { dx[row * cols + j] = (gr[j] * w[j] - from[j] * tilt) * scale; });
    }
};

inline void layer_norm(const Executor& on, int64_t rows, int64_t cols, const float* x, const float* weight, const float* bias,
                       float eps, float* y, float* mean, float* rstd) {
    each_row(on, "layer_norm", rows, cols, LayerNormRow{x, weight, bias, y, mean, rstd, eps});
}
inline void layer_norm_gradient(const Executor& on, int64_t rows, int64_t cols, const float* g, const float* x, const float* weight,
                                const float* mean, const float* rstd, float* dx, float* dweight, float* dbias, float* scratch) {
    each_row(on, "layer_norm_gradient", rows, cols, LayerNormGradientRow{g, x, weight, mean, rstd, dx});
    column_sums<2>(on, "layer_norm_gradient", rows, cols, TakeNormal{g, x, mean, rstd, cols}, KeepBoth{dweight, dbias}, scratch);
}
inline void rms_norm(const Executor& on, int64_t rows, int64_t cols, const float* x, const float* weight, float eps, float* y, float* rstd) {
    each_row(on, "rms_norm", rows, cols, RmsNormRow{x, weight, y, rstd, eps});
}
inline void rms_norm_gradient(const Executor& on, int64_t rows, int64_t cols, const float* g, const float* x, const float* weight,
                              const float* rstd, float* dx, float* dweight, float* scratch) {
    each_row(on, "rms_norm_gradient", rows, cols, RmsNormGradientRow{g, x, weight, rstd, dx});
    column_sums<2>(on, "rms_norm_gradient", rows, cols, TakeNormal{g, x, nullptr, rstd, cols}, KeepBoth{dweight, nullptr}, scratch);
}

// ---- means and variances of rows ----------------------------------------------------------------------------------------------
struct MomentsRow {
    const float* x;
    float *mean, *var;  // either may be null
    float correction;
    template <int Threads>
    __device__ void row(int64_t row, int64_t count) const {
        const float* from = x + row * count;
        const float middle = row_sum<Threads>(count, [=](int64_t j) { return from[j]; }) / static_cast<float>(count);
        const float squares = var == nullptr ? 0 : row_sum<Threads>(count, [=](int64_t j) { return (from[j] - middle) * (from[j] - middle); });
        const float left = static_cast<float>(count) - correction;
        if (RowGroup<Threads>().rank() != 0) return;
        if (mean != nullptr) mean[row] = middle;
        if (var != nullptr) var[row] = left > 0 ? squares / left : __builtin_nanf("");
    }
};
inline void mean(const Executor& on, int64_t rows, int64_t count, const float* x, float* y) {
    each_row(on, "mean", rows, count, MomentsRow{x, y, nullptr, 0});
}
inline void variance(const Executor& on, int64_t rows, int64_t count, const float* x, float correction, float* y) {
    each_row(on, "variance", rows, count, MomentsRow{x, nullptr, y, correction});
}

// ---- group normalisation: a "row" is one group of one image, its elements (pixels, width) apart in memory -----------------------
struct GroupElements {
    GroupShape s;
    __device__ int64_t channel(int64_t row, int64_t j) const { return row % s.groups * s.width() + j % s.width(); }
    __device__ int64_t at(int64_t row, int64_t j) const {
        return (row / s.groups * s.pixels + j / s.width()) * s.channels + channel(row, j);
    }
};
struct GroupNormRow {
    GroupElements in;
    const float *x, *weight, *bias;
    float *y, *mean, *rstd;
    float eps;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const GroupElements e = in;
        const float* from = x;
        const float count = static_cast<float>(cols);
        const float middle = row_sum<Threads>(cols, [=](int64_t j) { return from[e.at(row, j)]; }) / count;
        const float squares = row_sum<Threads>(cols, [=](int64_t j) {
            const float away = from[e.at(row, j)] - middle;
            return away * away;
        });
        const float scale = reciprocal_root(squares / count + eps);
        each_column<Threads>(cols, [&](int64_t j) {
            const int64_t at = e.at(row, j), c = e.channel(row, j);
            y[at] = fma(from[at] - middle, scale * weight[c], bias[c]);
        });
        if (RowGroup<Threads>().rank() == 0) mean[row] = middle, rstd[row] = scale;
    }
};
struct GroupNormGradientRow {
    GroupElements in;
    const float *g, *x, *weight, *mean, *rstd;
    float* dx;
    template <int Threads>
    __device__ void row(int64_t row, int64_t cols) const {
        const GroupElements e = in;
        const float *from = x, *gr = g, *w = weight;
        const float middle = mean[row], scale = rstd[row], count = static_cast<float>(cols);
        const float flat = row_sum<Threads>(cols, [=](int64_t j) { return gr[e.at(row, j)] * w[e.channel(row, j)]; }) / count;
        const float tilt = row_sum<Threads>(cols, [=](int64_t j) {
            const int64_t at = e.at(row, j);
            return gr[at] * w[e.channel(row, j)] * ((from[at] - middle) * scale);
        }) / count;
        each_column<Threads>(cols, [&](int64_t j) {
            const int64_t at = e.at(row, j);
            dx[at] = (gr[at] * w[e.channel(row, j)] - flat - (from[at] - middle) * scale * tilt) * scale;
        });
    }
};
struct TakeGroupNormal {
    const float *g, *x, *mean, *rstd;
    GroupShape s;
    __device__ void operator()(int64_t row, int64_t j, float* sum) const {
        const int64_t at = row * s.channels + j, place = row / s.pixels * s.groups + j / s.width();
        sum[0] += g[at] * ((x[at] - mean[place]) * rstd[place]);
        sum[1] += g[at];
    }
};
inline int64_t group_norm_scratch(const GroupShape& s) { return column_scratch(s.images * s.pixels, s.channels, 2); }
inline void group_norm(const Executor& on, const GroupShape& s, const float* x, const float* weight, const float* bias, float eps,
                       float* y, float* mean, float* rstd, float*) {
    each_row(on, "group_norm", s.images * s.groups, s.pixels * s.width(), GroupNormRow{{s}, x, weight, bias, y, mean, rstd, eps});
}
inline void group_norm_gradient(const Executor& on, const GroupShape& s, const float* g, const float* x, const float* weight,
                                const float* mean, const float* rstd, float* dx, float* dweight, float* dbias, float* scratch) {
    const char* name = "group_norm_gradient";
    each_row(on, name, s.images * s.groups, s.pixels * s.width(), GroupNormGradientRow{{s}, g, x, weight, mean, rstd, dx});
    column_sums<2>(on, name, s.images * s.pixels, s.channels, TakeGroupNormal{g, x, mean, rstd, s}, KeepBoth{dweight, dbias}, scratch);
}

}}  // namespace nd::ND_ISA
