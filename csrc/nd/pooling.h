// Pooling and resampling of NHWC maps (N, H, W, C): the largest number of every window, and weighted sums over windows.
// Vectors run over channels, and each output is one chain over its window in the order of memory, so the bits depend
// neither on threads nor on register width.
#pragma once
#include "arguments.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// The positions that one output reads.
struct Window {
    int64_t top, left, rows, columns;

    Window(const Bands& v, const Bands& h, int64_t i, int64_t j)
        : top(v.first[i]), left(h.first[j]), rows(v.count(i)), columns(h.count(j)) {}
};

// Calls f(c, vectors, count) for groups of vectors that cover the channels: four at a time, then one, each of `count` lanes.
template <class F>
ND_INLINE void each_channels(int64_t channels, F&& f) {
    int64_t c = 0;
    for (; c + 4 * kLanes <= channels; c += 4 * kLanes) f(c, Const<4>{}, Const<kLanes>{});
    for (; c + kLanes <= channels; c += kLanes) f(c, Const<1>{}, Const<kLanes>{});
    if (c < channels) f(c, Const<1>{}, int64_t(channels - c));
}

// Calls f(n, i, j, offset of the output's pixel) for all outputs, rows of outputs shared out to threads.
template <class F>
ND_INLINE void each_output(const Executor& executor, int64_t images, int64_t channels, const Bands& v, const Bands& h, F&& f) {
    const int64_t rows = images * v.outputs, taps = ceil_div(v.start[v.outputs] * h.start[h.outputs], max<int64_t>(1, v.outputs));
    parallel_rows(worthwhile(executor, rows * taps * channels), rows, taps * channels, [&](int64_t row) {
        for (int64_t j = 0; j < h.outputs; ++j)
            f(row / v.outputs, row % v.outputs, j, (row * h.outputs + j) * channels);
    });
}

// y[n,i,j,c] = sum_a V[i,a] (sum_b H[j,b] x[n,a,b,c]), y (N, v.outputs, h.outputs, C) compact.
inline void resample(const Executor& executor, int64_t images, int64_t channels, const Bands& v, const Bands& h,
                     const Pixels& x, float* y) {
    each_output(executor, images, channels, v, h, [&](int64_t n, int64_t i, int64_t j, int64_t to) {
        const Window window(v, h, i, j);
        const float *down = v.weights(i), *across = h.weights(j), *from = x.at(n, window.top, window.left);
        each_channels(channels, [&](int64_t c, auto vectors, auto count) {
            constexpr int V = decltype(vectors)::value;
            Vec sum[V] = {};
            for (int64_t a = 0; a < window.rows; ++a) {
                Vec part[V] = {};
                for (int64_t b = 0; b < window.columns; ++b)
                    for (int k = 0; k < V; ++k)
                        part[k] = fma(load_some(from + a * x.row + b * x.pixel + c + k * kLanes, count), splat(across[b]), part[k]);
                for (int k = 0; k < V; ++k) sum[k] = fma(part[k], splat(down[a]), sum[k]);
            }
            for (int k = 0; k < V; ++k) store_some(y + to + c + k * kLanes, sum[k], count);
        });
    });
}

// Whether b takes the place of a as the largest so far: the first of equals stays, and NaN is larger than every number.
ND_INLINE IVec beats(Vec b, Vec a) { return (b > a) | (b != b); }

// y[n,i,j,c] = u where x is largest in the window of (i, j); for u = x the maximum itself. No window is empty.
inline void max_pool(const Executor& executor, int64_t images, int64_t channels, const Bands& v, const Bands& h,
                     const Pixels& x, const Pixels& u, float* y) {
    each_output(executor, images, channels, v, h, [&](int64_t n, int64_t i, int64_t j, int64_t to) {
        const Window window(v, h, i, j);
        const float *from = x.at(n, window.top, window.left), *other = u.at(n, window.top, window.left);
        each_channels(channels, [&](int64_t c, auto vectors, auto count) {
            constexpr int V = decltype(vectors)::value;
            Vec best[V], found[V];
            for (int k = 0; k < V; ++k) best[k] = load_some(from + c + k * kLanes, count);
            for (int k = 0; k < V; ++k) found[k] = load_some(other + c + k * kLanes, count);
            for (int64_t a = 0; a < window.rows; ++a)
                for (int64_t b = 0; b < window.columns; ++b)
                    for (int k = 0; k < V; ++k) {
                        const Vec next = load_some(from + a * x.row + b * x.pixel + c + k * kLanes, count);
                        const IVec better = beats(next, best[k]);
                        best[k] = select(better, next, best[k]);
                        found[k] = select(better, load_some(other + a * u.row + b * u.pixel + c + k * kLanes, count), found[k]);
                    }
            for (int k = 0; k < V; ++k) store_some(y + to + c + k * kLanes, found[k], count);
        });
    });
}

// dx += g at the largest element of one window, for vectors of channels from c on.
template <int V, class N>
ND_INLINE void scatter_to_largest(const Window& window, const Pixels& x, const float* from, const float* g, float* dx,
                                  int64_t row, int64_t pixel, N count) {
    Vec best[V];
    IVec place[V] = {};
    for (int k = 0; k < V; ++k) best[k] = load_some(from + k * kLanes, count);
    int32_t tap = 0;
    for (int64_t a = 0; a < window.rows; ++a)
        for (int64_t b = 0; b < window.columns; ++b, ++tap)
            for (int k = 0; k < V; ++k) {
                const Vec next = load_some(from + a * x.row + b * x.pixel + k * kLanes, count);
                const IVec better = beats(next, best[k]);
                best[k] = select(better, next, best[k]);
                place[k] = (place[k] & ~better) | (better & tap);
            }
    tap = 0;
    for (int64_t a = 0; a < window.rows; ++a)
        for (int64_t b = 0; b < window.columns; ++b, ++tap)
            for (int k = 0; k < V; ++k) {
                float* to = dx + a * row + b * pixel + k * kLanes;
                const Vec share = select(place[k] == tap, load_some(g + k * kLanes, count), Vec{});
                store_some(to, load_some(to, count) + share, count);
            }
}

// dx (N, v.size, h.size, C) compact: g (N, v.outputs, h.outputs, C) at the first largest element of each window of x, summed,
// and zero elsewhere. A task owns some channels of one image, for windows may overlap.
inline void max_pool_gradient(const Executor& executor, int64_t images, int64_t channels, const Bands& v, const Bands& h,
                              const Pixels& g, const Pixels& x, float* dx) {
    const Executor on = worthwhile(executor, images * v.size * h.size * channels);
    const int64_t parts = images >= 4 * on.threads ? 1 : 4 * on.threads;
    const int64_t step = max<int64_t>(kSumLanes, round_up(ceil_div(channels, parts), kSumLanes)), row = h.size * channels;
    const int64_t shares = ceil_div(channels, step);
    parallel(on, images * shares, [&](int64_t task) {
        const int64_t n = task / shares, c = task % shares * step, width = min(step, channels - c);
        float* image = dx + n * v.size * row + c;
        int64_t ready = 0;  // rows of dx that hold numbers
        const auto clear_until = [&](int64_t end) {
            for (; ready < end; ++ready)
                for (int64_t b = 0; b < h.size; ++b)
                    std::memset(image + ready * row + b * channels, 0, sizeof(float) * static_cast<std::size_t>(width));
        };
        for (int64_t i = 0; i < v.outputs; ++i) {
            clear_until(v.end(i));
            for (int64_t j = 0; j < h.outputs; ++j) {
                const Window window(v, h, i, j);
                const float *from = x.at(n, window.top, window.left) + c, *gradient = g.at(n, i, j) + c;
                float* to = image + window.top * row + window.left * channels;
                each_channels(width, [&](int64_t k, auto vectors, auto count) {
                    scatter_to_largest<decltype(vectors)::value>(window, x, from + k, gradient + k, to + k, row, channels, count);
                });
            }
        }
        clear_until(v.size);
    });
}

}}  // namespace nd::ND_ISA
