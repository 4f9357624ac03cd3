// Depthwise convolution of NHWC maps: every channel has a kernel of its own, so vectors run over channels and each output is
// one chain of multiply-adds over the taps that meet the map. The gradient for the input is the same gathering of taps.
#pragma once
#include "epilogue.h"

namespace nd { namespace ND_ISA {

// For every position of an axis the taps that reach it: source[i * kernel + t] and tap[i * kernel + t], t < count[i]. From
// position i on, `run[i]` positions `period` apart have the same taps, their sources `step` apart.
struct TapTable {
    int64_t positions, kernel, period, step;
    int64_t *count, *run, *source, *tap;

    static int64_t words(int64_t positions, int64_t kernel) { return 2 * positions * (1 + kernel); }

    TapTable(int64_t positions, int64_t kernel, int64_t period, int64_t step, int64_t* memory)
        : positions(positions), kernel(kernel), period(period), step(step), count(memory), run(count + positions),
          source(run + positions), tap(source + positions * kernel) {}

    void add(int64_t i, int64_t from, int64_t t) {
        source[i * kernel + count[i]] = from;
        tap[i * kernel + count[i]++] = t;
    }

    void find_runs() {
        for (int64_t i = positions - 1; i >= 0; --i) run[i] = i + period < positions && follows(i) ? run[i + period] + 1 : 1;
    }

    bool follows(int64_t i) const {
        bool same = count[i] == count[i + period];
        for (int64_t t = 0; same && t < count[i]; ++t) {
            const int64_t here = i * kernel + t, there = (i + period) * kernel + t;
            same = tap[here] == tap[there] && source[here] + step == source[there];
        }
        return same;
    }
};

// The taps by which outputs read the input, and those by which the gradient of an input position reads outputs.
ND_INLINE TapTable reading(int64_t outputs, int64_t size, int64_t padding, const DepthwiseShape& s, int64_t* memory) {
    TapTable table(outputs, s.kernel, 1, s.stride, memory);
    for (int64_t i = 0; i < outputs; ++i) {
        table.count[i] = 0;
        for (int64_t t = 0; t < s.kernel; ++t) {
            const int64_t at = i * s.stride + t * s.dilation - padding;
            if (at >= 0 && at < size) table.add(i, at, t);
        }
    }
    table.find_runs();
    return table;
}

ND_INLINE TapTable read_by(int64_t outputs, int64_t size, int64_t padding, const DepthwiseShape& s, int64_t* memory) {
    TapTable table(size, s.kernel, s.stride, 1, memory);
    for (int64_t i = 0; i < size; ++i) {
        table.count[i] = 0;
        for (int64_t t = s.kernel - 1; t >= 0; --t) {  // in the order of the outputs
            const int64_t at = i + padding - t * s.dilation;
            if (at >= 0 && at % s.stride == 0 && at / s.stride < outputs) table.add(i, at / s.stride, t);
        }
    }
    table.find_runs();
    return table;
}

// P pixels `period` apart from column j on, V vectors of channels: any taps.
template <int P, int V, class N>
ND_INLINE void gather_pixels(const TapTable& v, const TapTable& h, int64_t i, int64_t j, const float* x, int64_t row,
                             int64_t pixel, const float* w, int64_t channels, float* y, N count) {
    Vec sum[P][V] = {};
    for (int64_t a = i * v.kernel; a < i * v.kernel + v.count[i]; ++a)
        for (int64_t b = j * h.kernel; b < j * h.kernel + h.count[j]; ++b) {
            const float* weight = w + (v.tap[a] * h.kernel + h.tap[b]) * channels;
            const float* from = x + v.source[a] * row + h.source[b] * pixel;
#pragma GCC unroll 8
            for (int k = 0; k < V; ++k) {
                const Vec tap = load_some(weight + k * kLanes, count);
#pragma GCC unroll 8
                for (int p = 0; p < P; ++p)
                    sum[p][k] = fma(load_some(from + p * h.step * pixel + k * kLanes, count), tap, sum[p][k]);
            }
        }
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 8
        for (int k = 0; k < V; ++k) store_some(y + (j + p * h.period) * channels + k * kLanes, sum[p][k], count);
}

constexpr int kStencil = 4;  // neighbouring pixels of a stencil

// The same for kStencil neighbours that read K side by side taps each, Step pixels apart: what they share is loaded once.
template <int K, int Step, class N>
ND_INLINE void stencil_pixels(const TapTable& v, const TapTable& h, int64_t i, int64_t j, const float* x, int64_t row,
                              int64_t pixel, const float* w, int64_t channels, float* y, N count) {
    const int64_t first = j * h.kernel, tap_step = (h.tap[first + 1] - h.tap[first]) * channels;
    Vec sum[kStencil] = {};
    for (int64_t a = i * v.kernel; a < i * v.kernel + v.count[i]; ++a) {
        const float* weight = w + (v.tap[a] * h.kernel + h.tap[first]) * channels;
        const float* from = x + v.source[a] * row + h.source[first] * pixel;
        Vec tap[K];
#pragma GCC unroll 8
        for (int t = 0; t < K; ++t) tap[t] = load_some(weight + t * tap_step, count);
#pragma GCC unroll 16
        for (int q = 0; q < (kStencil - 1) * Step + K; ++q) {
            const Vec next = load_some(from + q * pixel, count);
#pragma GCC unroll 8
            for (int p = 0; p < kStencil; ++p)
                if (q >= p * Step && q < p * Step + K) sum[p] = fma(next, tap[q - p * Step], sum[p]);
        }
    }
#pragma GCC unroll 8
    for (int p = 0; p < kStencil; ++p) store_some(y + (j + p) * channels, sum[p], count);
}

// Whether kStencil neighbours from column j on are one of the stencils of with_stencil.
ND_INLINE bool is_stencil(const TapTable& h, int64_t j) {
    const int64_t first = j * h.kernel, taps = h.kernel;
    return h.period == 1 && h.step <= 2 && (taps == 3 || taps == 5 || taps == 7) && h.run[j] >= kStencil &&
           h.count[j] == taps && h.source[first + taps - 1] - h.source[first] == taps - 1;
}

// Calls f(Const<taps>{}, Const<step>{}).
template <class F>
ND_INLINE void with_stencil(const TapTable& h, F&& f) {
    const auto with_step = [&](auto taps) {
        if (h.step == 1) f(taps, Const<1>{});
        else f(taps, Const<2>{});
    };
    if (h.kernel == 3) with_step(Const<3>{});
    else if (h.kernel == 5) with_step(Const<5>{});
    else with_step(Const<7>{});
}

// Row i of outputs (h.positions, C), from element `offset` of `whole` on, finished by `steps` while they are near.
inline void depthwise_row(const TapTable& v, const TapTable& h, int64_t i, const float* x, int64_t row, int64_t pixel,
                          const float* w, int64_t channels, float* whole, int64_t offset, const Steps& steps) {
    float* y = whole + offset;
    const auto finish = [&](int64_t j, int64_t pixels) {
        if (steps.count > 0) finish_pixels(steps, pixels, channels, whole, offset + j * channels);
    };
    for (int64_t phase = 0; phase < h.period; ++phase)
        for (int64_t j = phase; j < h.positions;) {
            const auto stencil = [&](auto taps, auto step) {
                each_vector(channels, [&](int64_t c, auto count) {
                    constexpr int K = decltype(taps)::value, S = decltype(step)::value;
                    stencil_pixels<K, S>(v, h, i, j, x + c, row, pixel, w + c, channels, y + c, count);
                });
                finish(j, kStencil);
                j += kStencil;
            };
            if (is_stencil(h, j)) {
                with_stencil(h, stencil);
                continue;
            }
            const bool two = h.run[j] >= 2;
            const auto pixels = [&](auto vectors, int64_t c, auto count) {
                constexpr int V = decltype(vectors)::value;
                if (two) gather_pixels<2, V>(v, h, i, j, x + c, row, pixel, w + c, channels, y + c, count);
                else gather_pixels<1, V>(v, h, i, j, x + c, row, pixel, w + c, channels, y + c, count);
            };
            int64_t c = 0;
            for (; c + 4 * kLanes <= channels; c += 4 * kLanes) pixels(Const<4>{}, c, Const<kLanes>{});
            for (; c + kLanes <= channels; c += kLanes) pixels(Const<1>{}, c, Const<kLanes>{});
            if (c < channels) pixels(Const<1>{}, c, int64_t(channels - c));
            finish(j, 1);
            if (two) finish(j + h.period, 1);
            j += two ? 2 * h.period : h.period;
        }
}

// y (N, v.positions, h.positions, C) compact from x and w (kernel, kernel, C), each row finished by `steps`.
inline void depthwise_gather(const Executor& executor, int64_t images, int64_t channels, const TapTable& v, const TapTable& h,
                             const Planes& x, const float* w, float* y, const Steps& steps) {
    const int64_t rows = images * v.positions, work = h.positions * channels * v.kernel * h.kernel;
    parallel_rows(worthwhile(executor, rows * work), rows, work, [&](int64_t line) {
        depthwise_row(v, h, line % v.positions, x.p + line / v.positions * x.image, x.row, x.pixel, w, channels, y,
                      line * h.positions * channels, steps);
    });
}

// Floats of scratch for the two functions below.
inline int64_t depthwise_scratch(const DepthwiseShape& s) {
    const int64_t longest = TapTable::words(max(s.height, s.rows()), s.kernel) + TapTable::words(max(s.width, s.columns()), s.kernel);
    return 2 * longest;
}

// y (N, rows, columns, C) compact, from x (N, H, W, C) and w (kernel, kernel, C).
inline void depthwise(const Executor& executor, const DepthwiseShape& s, const Planes& x, const float* w, float* y, float* scratch,
                      const Steps& steps) {
    int64_t* memory = reinterpret_cast<int64_t*>(scratch);
    const TapTable v = reading(s.rows(), s.height, s.top, s, memory);
    const TapTable h = reading(s.columns(), s.width, s.left, s, memory + TapTable::words(s.rows(), s.kernel));
    depthwise_gather(executor, s.images, s.channels, v, h, x, w, y, steps);
}

// dx (N, H, W, C) compact, from g (N, rows, columns, C) and w.
inline void depthwise_input_gradient(const Executor& executor, const DepthwiseShape& s, const Planes& g, const float* w,
                                     float* dx, float* scratch) {
    int64_t* memory = reinterpret_cast<int64_t*>(scratch);
    const TapTable v = read_by(s.rows(), s.height, s.top, s, memory);
    const TapTable h = read_by(s.columns(), s.width, s.left, s, memory + TapTable::words(s.height, s.kernel));
    depthwise_gather(executor, s.images, s.channels, v, h, g, w, dx, Steps{});
}

}}  // namespace nd::ND_ISA
