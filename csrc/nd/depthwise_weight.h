// The gradient of a depthwise convolution for its weight: for each tap and channel a sum over all pixels of all images.
#pragma once
#include "depthwise.h"

namespace nd { namespace ND_ISA {

// Floats of scratch for depthwise_weight_gradient.
inline int64_t depthwise_weight_scratch(const DepthwiseShape& s) {
    return chunk_count(s.images * s.rows()) * s.kernel * s.kernel * s.channels;
}

// The outputs first .. end - 1 of an axis whose tap t lies inside the map.
struct Span {
    int64_t first, end;
    Span(int64_t outputs, int64_t size, int64_t padding, const DepthwiseShape& s, int64_t t) {
        const int64_t shift = t * s.dilation - padding;  // output i reads i stride + shift
        first = shift >= 0 ? 0 : ceil_div(-shift, s.stride);
        end = size - shift <= 0 ? 0 : min(outputs, ceil_div(size - shift, s.stride));
    }
};

// dw += sum over one row of outputs of x g, for the taps (u, v) .. (u, v + T - 1) and V vectors of channels. Output j of the
// first tap reads x + at + j * step, that of the next one `reach` further.
template <int T, int V, class N>
ND_INLINE void depthwise_weight_row(const Span (&span)[T], const float* x, int64_t at, int64_t step, int64_t reach,
                                    const float* g, int64_t pixel, float* dw, int64_t channels, N count) {
    Vec sum[T][V];
    for (int t = 0; t < T; ++t)
        for (int k = 0; k < V; ++k) sum[t][k] = load_some(dw + t * channels + k * kLanes, count);
    const auto add = [&](int64_t j, int from, int to) {
        for (int k = 0; k < V; ++k) {
            const Vec gradient = load_some(g + j * pixel + k * kLanes, count);
            for (int t = from; t < to; ++t)
                sum[t][k] = fma(load_some(x + (at + j * step + t * reach + k * kLanes), count), gradient, sum[t][k]);
        }
    };
    int64_t first = span[0].first, end = span[0].end;  // the outputs that all taps share
    for (int t = 1; t < T; ++t) {
        first = max(first, span[t].first);
        end = min(end, span[t].end);
    }
    if (first > end) first = end;
    if (T == 3 && step == reach) {  // neighbours share all but one of what they read
        Vec seen[2][V];
        for (int t = 0; t < 2; ++t)
            for (int k = 0; k < V && first < end; ++k)
                seen[t][k] = load_some(x + (at + (first + t) * step + k * kLanes), count);
        for (int64_t j = first; j < end; ++j)
            for (int k = 0; k < V; ++k) {
                const Vec gradient = load_some(g + j * pixel + k * kLanes, count);
                const Vec next = load_some(x + (at + (j + 2) * step + k * kLanes), count);
                sum[0][k] = fma(seen[0][k], gradient, sum[0][k]);
                sum[T - 2][k] = fma(seen[1][k], gradient, sum[T - 2][k]);
                sum[T - 1][k] = fma(next, gradient, sum[T - 1][k]);
                seen[0][k] = seen[1][k];
                seen[1][k] = next;
            }
    } else {
        for (int64_t j = first; j < end; ++j) add(j, 0, T);
    }
    for (int t = 0; t < T; ++t) {
        for (int64_t j = span[t].first; j < min(first, span[t].end); ++j) add(j, t, t + 1);
        for (int64_t j = max(end, span[t].first); j < span[t].end; ++j) add(j, t, t + 1);
    }
    for (int t = 0; t < T; ++t)
        for (int k = 0; k < V; ++k) store_some(dw + t * channels + k * kLanes, sum[t][k], count);
}

// The share of one row of outputs in dw (kernel, kernel, C): taps three at a time, as many channels as registers hold.
inline void depthwise_weight_line(const DepthwiseShape& s, int64_t i, const float* x, const Planes& from, const float* g,
                                  const Planes& gradient, float* dw) {
    for (int64_t u = 0; u < s.kernel; ++u) {
        const int64_t row = i * s.stride + u * s.dilation - s.top;
        if (row < 0 || row >= s.height) continue;
        const auto taps = [&](auto some, int64_t v) {
            constexpr int T = decltype(some)::value;
            const int64_t at = row * from.row + (v * s.dilation - s.left) * from.pixel;
            float* to = dw + (u * s.kernel + v) * s.channels;
            const auto part = [&](auto vectors, int64_t c, auto count) {
                const auto span = [&](int64_t t) { return Span(s.columns(), s.width, s.left, s, v + t); };
                const int64_t step = s.stride * from.pixel, reach = s.dilation * from.pixel;
                constexpr int V = decltype(vectors)::value;
                if constexpr (T == 3) {
                    const Span spans[3] = {span(0), span(1), span(2)};
                    depthwise_weight_row<3, V>(spans, x, at + c, step, reach, g + c, gradient.pixel, to + c, s.channels, count);
                } else {
                    const Span spans[1] = {span(0)};
                    depthwise_weight_row<1, V>(spans, x, at + c, step, reach, g + c, gradient.pixel, to + c, s.channels, count);
                }
            };
            int64_t c = 0;
            constexpr int kWide = kRegisters == 32 ? 4 : 2;
            for (; c + kWide * kLanes <= s.channels; c += kWide * kLanes) part(Const<kWide>{}, c, Const<kLanes>{});
            for (; c + kLanes <= s.channels; c += kLanes) part(Const<1>{}, c, Const<kLanes>{});
            if (c < s.channels) part(Const<1>{}, c, int64_t(s.channels - c));
        };
        int64_t v = 0;
        for (; v + 3 <= s.kernel; v += 3) taps(Const<3>{}, v);
        for (; v < s.kernel; ++v) taps(Const<1>{}, v);
    }
}

// dw (kernel, kernel, C), from x (N, H, W, C) and g (N, rows, columns, C): rows of outputs in chunks with sums of their own,
// added up in order.
inline void depthwise_weight_gradient(const Executor& executor, const DepthwiseShape& s, const Planes& x, const Planes& g,
                                      float* dw, float* scratch) {
    const int64_t lines = s.images * s.rows(), size = s.kernel * s.kernel * s.channels;
    std::memset(dw, 0, sizeof(float) * static_cast<std::size_t>(size));
    if (lines == 0) return;
    const int64_t step = chunk_rows(lines), chunks = chunk_count(lines);
    parallel(worthwhile(executor, lines * s.columns() * size), chunks, [&](int64_t chunk) {
        float* sums = scratch + chunk * size;
        std::memset(sums, 0, sizeof(float) * static_cast<std::size_t>(size));
        for (int64_t line = chunk * step; line < min(lines, (chunk + 1) * step); ++line) {
            const int64_t n = line / s.rows(), i = line % s.rows();
            depthwise_weight_line(s, i, x.p + n * x.image, x, g.p + n * g.image + i * g.row, g, sums);
        }
    });
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int64_t k = 0; k < size; ++k) dw[k] += scratch[chunk * size + k];
}

}}  // namespace nd::ND_ISA
