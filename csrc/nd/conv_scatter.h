// The input gradient of a convolution whose input has few channels, as images have: its phases (conv_gradients.h) would fill a
// vector with only these. One product gives what every output's gradient adds to its whole window, (K, K, Ci) side by side,
// and the windows are added up where they lie.
#pragma once
#include "conv.h"
#include "product.h"

namespace nd { namespace ND_ISA {

struct Scatter {
    ConvShape<> s;
    int64_t rows, columns;  // outputs of the convolution

    explicit Scatter(const ConvShape<>& s) : s(s), rows(conv_rows(s).outputs), columns(conv_columns(s).outputs) {}

    int64_t window() const { return s.kernel * s.kernel * s.in; }
    int64_t packed() const { return packed_size(s.out, window()); }
    int64_t image() const { return rows * columns * (s.out + window()); }  // a copy of a gradient, and its windows
    int64_t scratch(int threads) const { return packed() + threads * image(); }
};

// to[i] += from[i] for first <= i < end: short runs, of which the next one begins inside this one, and what is stored in part is
// slow to load again.
ND_INLINE void add_range(const float* from, int64_t first, int64_t end, float* to) {
    int64_t i = first;
    for (; i + kLanes <= end; i += kLanes) store(to + i, load(to + i) + load(from + i));
    for (; i < end; ++i) to[i] += from[i];
}

// dx (H, W, Ci) = the sum of all windows (Ho, Wo, K, K, Ci), those of upper left outputs first.
inline void add_windows(const Scatter& plan, const float* windows, float* dx) {
    const ConvShape<>& s = plan.s;
    const int64_t run = s.kernel * s.in;  // a row of a window, which lies in one piece in a row of dx
    std::memset(dx, 0, sizeof(float) * s.height * s.width * s.in);
    for (int64_t i = 0; i < plan.rows; ++i)
        for (int64_t j = 0; j < plan.columns; ++j) {
            const int64_t x = j * s.stride - s.padding;
            const int64_t first = max<int64_t>(0, -x) * s.in, end = min(s.kernel, s.width - x) * s.in;
            for (int64_t u = 0; u < s.kernel; ++u, windows += run) {  // rows in turn: what is added does not wait for what was
                const int64_t y = i * s.stride + u - s.padding;
                if (y >= 0 && y < s.height) add_range(windows, first, end, dx + (y * s.width + x) * s.in);
            }
        }
}

// The same for a batch of maps.
inline void add_windows(const Executor& executor, const ConvShape<>& s, int64_t images, const float* windows, float* dx) {
    const Scatter plan(s);
    const int64_t given = plan.rows * plan.columns * plan.window(), made = s.height * s.width * s.in;
    parallel(alone_if_small(executor, images * given, 1), images,
             [&](int64_t n) { add_windows(plan, windows + n * given, dx + n * made); });
}

// Whether the windows, in whole blocks, take fewer multiply-adds than a block for each tap, and an image's fit the caches.
inline bool scatter_pays(const ConvShape<>& s) {
    return s.in <= kBlock / 2 && s.out >= kBlock && Scatter(s).image() <= int64_t(1) << 20;
}

// dx (N, H, W, Ci) compact, from g (N, Ho, Wo, Co) with any strides and w (K, K, Ci, Co) compact.
// `scratch` holds Scatter(s).scratch(executor.threads) floats.
inline void conv_scatter(const Executor& executor, const ConvShape<>& s, int64_t images, const float* g, const Strides4& strides,
                         const float* w, float* dx, float* scratch) {
    const Scatter plan(s);
    const int64_t pixels = plan.rows * plan.columns, size = s.height * s.width * s.in;
    const Executor on = alone_if_small(executor, images * pixels * plan.window(), s.out);
    gemm_pack(on, s.out, plan.window(), {w, 1, s.out}, scratch);
    const Right right = packed_right(s.out, plan.window(), scratch);
    const Reader reader{g, strides, plan.rows, plan.columns, s.out, {0, 0, 0, 0}};
    const bool compact = reader.in_place() && (strides.h == plan.columns * s.out || plan.rows == 1);
    balance(on, images, [&](int64_t worker, int64_t n) {
        float *copy = scratch + plan.packed() + worker * plan.image(), *windows = copy + pixels * s.out;
        const float* from = g + n * strides.n;
        if (!compact) reader.copy(from, copy);
        small_product(pixels, plan.window(), s.out, {compact ? from : copy, s.out, 1}, right, windows, plan.window(), false);
        add_windows(plan, windows, dx + n * size);
    });
}

}}  // namespace nd::ND_ISA
