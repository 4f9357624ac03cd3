// Kernels with a thread for every element of their result, which gathers what it needs: depthwise convolution, pooling and
// resampling, with their gradients. What each computes is said in csrc/nd/depthwise.h and pooling.h.
#pragma once
#include "../nd/arguments.h"
#include "columns.cuh"

namespace nd { namespace ND_ISA {

// ---- depthwise convolution: every channel has a kernel of its own ----------------------------------------------------------------
struct Depthwise {
    DepthwiseShape s;
    Pixels x;
    const float* w;
    float* y;
    __device__ void operator()(int64_t at) const {
        const int64_t c = at % s.channels, j = at / s.channels % s.columns(), i = at / s.channels / s.columns() % s.rows();
        const int64_t n = at / s.channels / s.columns() / s.rows();
        float sum = 0;
        for (int64_t u = 0; u < s.kernel; ++u)
            for (int64_t v = 0; v < s.kernel; ++v) {
                const int64_t h = i * s.stride + u * s.dilation - s.top, across = j * s.stride + v * s.dilation - s.left;
                if (h < 0 || h >= s.height || across < 0 || across >= s.width) continue;
                sum = fma(x.at(n, h, across)[c], w[(u * s.kernel + v) * s.channels + c], sum);
            }
        y[at] = sum;
    }
};
struct DepthwiseInputGradient {
    DepthwiseShape s;
    Pixels g;
    const float* w;
    float* dx;
    __device__ void operator()(int64_t at) const {
        const int64_t c = at % s.channels, across = at / s.channels % s.width, h = at / s.channels / s.width % s.height;
        const int64_t n = at / s.channels / s.width / s.height, rows = s.rows(), columns = s.columns();
        float sum = 0;
        for (int64_t u = s.kernel - 1; u >= 0; --u)  // in the order of the outputs
            for (int64_t v = s.kernel - 1; v >= 0; --v) {
                const int64_t i = h + s.top - u * s.dilation, j = across + s.left - v * s.dilation;
                if (i < 0 || j < 0 || i % s.stride != 0 || j % s.stride != 0 || i / s.stride >= rows || j / s.stride >= columns) continue;
                sum = fma(g.at(n, i / s.stride, j / s.stride)[c], w[(u * s.kernel + v) * s.channels + c], sum);
            }
        dx[at] = sum;
    }
};
// A "column" is a tap of a channel, a "row" a row of outputs.
struct TakeDepthwiseWeight {
    DepthwiseShape s;
    Pixels x, g;
    __device__ void operator()(int64_t line, int64_t column, float* sum) const {
        const int64_t c = column % s.channels, v = column / s.channels % s.kernel, u = column / s.channels / s.kernel;
        const int64_t rows = s.rows(), i = line % rows, n = line / rows, h = i * s.stride + u * s.dilation - s.top;
        if (h < 0 || h >= s.height) return;
        for (int64_t j = 0; j < s.columns(); ++j) {
            const int64_t across = j * s.stride + v * s.dilation - s.left;
            if (across >= 0 && across < s.width) sum[0] = fma(x.at(n, h, across)[c], g.at(n, i, j)[c], sum[0]);
        }
    }
};
struct KeepColumn {
    float* to;
    __device__ void operator()(int64_t j, const float* sum) const { to[j] = sum[0]; }
};

// ---- pooling and resampling: what the outputs of an axis read is a banded matrix, on the device or an argument of the kernel -------
template <int Outputs, int Weights>
struct FixedBands {
    static constexpr int64_t outputs = Outputs;
    int64_t size;
    int32_t first[Outputs], start[Outputs + 1];
    float weight[Weights > 0 ? Weights : 1];

    ND_FN int64_t count(int64_t i) const { return start[i + 1] - start[i]; }
    ND_FN int64_t end(int64_t i) const { return first[i] + count(i); }
    ND_FN const float* weights(int64_t i) const { return weight + start[i]; }
};

template <class V, class H>
struct Resample {
    int64_t channels;
    V v;
    H h;
    Pixels x;
    float* y;
    __device__ void operator()(int64_t at) const {
        const int64_t c = at % channels, j = at / channels % h.outputs, i = at / channels / h.outputs % v.outputs;
        const int64_t n = at / channels / h.outputs / v.outputs;
        float sum = 0;
        for (int64_t a = 0; a < v.count(i); ++a) {
            float part = 0;
            for (int64_t b = 0; b < h.count(j); ++b) part = fma(x.at(n, v.first[i] + a, h.first[j] + b)[c], h.weights(j)[b], part);
            sum = fma(part, v.weights(i)[a], sum);
        }
        y[at] = sum;
    }
};

// The place of the largest element of a window: the first of equals, and NaN is larger than every number.
template <class V, class H>
__device__ void largest_in_window(const V& v, const H& h, const Pixels& x, int64_t n, int64_t i, int64_t j, int64_t c, int64_t& row,
                                         int64_t& column) {
    float best = 0;
    for (int64_t a = 0; a < v.count(i); ++a)
        for (int64_t b = 0; b < h.count(j); ++b) {
            const float next = x.at(n, v.first[i] + a, h.first[j] + b)[c];
            if (a + b > 0 && !(next > best || next != next)) continue;
            best = next, row = v.first[i] + a, column = h.first[j] + b;
        }
}

template <class V, class H>
struct MaxPool {
    int64_t channels;
    V v;
    H h;
    Pixels x, u;
    float* y;
    __device__ void operator()(int64_t at) const {
        const int64_t c = at % channels, j = at / channels % h.outputs, i = at / channels / h.outputs % v.outputs;
        const int64_t n = at / channels / h.outputs / v.outputs;
        int64_t row = 0, column = 0;
        largest_in_window(v, h, x, n, i, j, c, row, column);
        y[at] = u.at(n, row, column)[c];
    }
};

// A thread owns a position of the input and asks every window that reads it: those between `low` and `high` of each axis.
struct MaxPoolGradient {
    int64_t channels;
    Bands v, h;
    Pixels g, x;
    float* dx;
    __device__ static void readers(const Bands& bands, int64_t at, int64_t& low, int64_t& high) {
        low = bands.outputs, high = -1;
        for (int64_t i = 0; i < bands.outputs; ++i)
            if (bands.first[i] <= at && at < bands.end(i)) low = min(low, i), high = i;
    }
    __device__ void operator()(int64_t at) const {
        const int64_t c = at % channels, across = at / channels % h.size, down = at / channels / h.size % v.size;
        const int64_t n = at / channels / h.size / v.size;
        int64_t i0, i1, j0, j1;
        readers(v, down, i0, i1);
        readers(h, across, j0, j1);
        float sum = 0;
        for (int64_t i = i0; i <= i1; ++i)
            for (int64_t j = j0; j <= j1; ++j) {
                int64_t row = -1, column = -1;
                largest_in_window(v, h, x, n, i, j, c, row, column);
                if (row == down && column == across) sum += g.at(n, i, j)[c];
            }
        dx[at] = sum;
    }
};

}}  // namespace nd::ND_ISA
