// Group normalisation of x (images, pixels, channels): mean and variance of each image's groups of neighbouring channels, over
// all pixels. Vectors run over channels. A task owns some groups of one image, so threads never change the bits.
#pragma once
#include "arguments.h"
#include "norm.h"

namespace nd { namespace ND_ISA {

// Floats of scratch for any function of this file.
constexpr int64_t group_norm_scratch(const GroupShape& s) { return 6 * s.images * s.channels; }

// Calls f(n, first group, end group) for parts of images.
template <class F>
ND_INLINE void each_part(const Executor& executor, const GroupShape& s, F&& f) {
    const Executor on = worthwhile(executor, s.images * s.pixels * s.channels);
    const int64_t wanted = s.images >= 4 * on.threads || on.threads == 1 ? 1 : ceil_div(4 * on.threads, s.images);
    const int64_t least = max<int64_t>(1, kSumLanes / s.width());  // groups that fill a vector
    const int64_t step = max(least, ceil_div(s.groups, wanted)), parts = ceil_div(s.groups, step);
    parallel(on, s.images * parts, [&](int64_t task) {
        const int64_t group = task % parts * step;
        f(task / parts, group, min(s.groups, group + step));
    });
}

// Pixels that are summed at a time: they stay in the first cache level. The same however channels are shared out.
constexpr int64_t pixels_at_once(int64_t channels) { return max<int64_t>(8, 4096 / max<int64_t>(1, channels)); }

// mean[j] and the sum of squares around it of each of `cols` channels, `most` pixels at a time, joined as in norm.h; rows of x
// lie `step` apart, `part` holds 2 cols floats.
inline void channel_moments(int64_t pixels, int64_t most, int64_t cols, int64_t step, const float* x, float* mean,
                            float* squares, float* part) {
    clear(cols, mean);
    clear(cols, squares);
    for (int64_t first = 0; first < pixels; first += most) {
        const int64_t end = min(pixels, first + most);
        float* around = part + cols;
        sum_rows(first, end, cols, part, [&](int64_t p, int64_t j, auto n) { return load_some(x + p * step + j, n); });
        each_vector(cols, [&](int64_t j, auto n) { store_some(part + j, load_some(part + j, n) / splat(float(end - first)), n); });
        sum_rows(first, end, cols, around, [&](int64_t p, int64_t j, auto n) {
            const Vec d = load_some(x + p * step + j, n) - load_some(part + j, n);
            return d * d;
        });
        const float share = float(end - first) / float(end), weight = share * float(first);
        each_vector(cols, [&](int64_t j, auto n) {
            const Vec d = load_some(part + j, n) - load_some(mean + j, n);
            store_some(mean + j, fma(d, splat(share), load_some(mean + j, n)), n);
            const Vec grown = load_some(squares + j, n) + load_some(around + j, n);
            store_some(squares + j, fma(d * d, splat(weight), grown), n);
        });
    }
}

// y[p][j] = (x - middle[j]) scale[j] + shift[j] for the pixels of one part; rows of x and y lie `step` apart.
inline void scale_pixels(int64_t pixels, int64_t cols, int64_t step, const float* x, const float* middle, const float* scale,
                         const float* shift, float* y) {
    for (int64_t p = 0; p < pixels; ++p)
        each_vector(cols, [&](int64_t j, auto n) {
            const Vec centred = load_some(x + p * step + j, n) - load_some(middle + j, n);
            store_some(y + p * step + j, fma(centred, load_some(scale + j, n), load_some(shift + j, n)), n);
        });
}

// y = (x - mean) rstd weight + bias; mean and rstd = 1 / sqrt(variance + eps) are (images, groups). y may be x.
inline void group_norm(const Executor& executor, const GroupShape& s, const float* x, const float* weight, const float* bias,
                       float eps, float* y, float* mean, float* rstd, float* scratch) {
    const int64_t width = s.width();
    each_part(executor, s, [&](int64_t n, int64_t g0, int64_t g1) {
        const int64_t first = g0 * width, cols = (g1 - g0) * width, at = n * s.pixels * s.channels + first;
        float *means = scratch + 4 * (n * s.channels + first), *squares = means + cols, *part = squares + cols;
        channel_moments(s.pixels, pixels_at_once(s.channels), cols, s.channels, x + at, means, squares, part);
        for (int64_t g = g0; g < g1; ++g) {
            const int64_t from = (g - g0) * width, place = n * s.groups + g;
            const float middle = sum_of(width, [&](int64_t j, auto k) { return load_some(means + from + j, k); }) / float(width);
            const float total = sum_of(width, [&](int64_t j, auto k) {
                const Vec d = load_some(means + from + j, k) - splat(middle);
                return load_some(squares + from + j, k) + splat(float(s.pixels)) * (d * d);
            });
            mean[place] = middle;
            rstd[place] = 1.0f / std::sqrt(total / (float(s.pixels) * float(width)) + eps);
            for (int64_t j = from; j < from + width; ++j) {
                means[j] = middle;
                part[j] = rstd[place] * weight[first + j];
            }
        }
        scale_pixels(s.pixels, cols, s.channels, x + at, means, part, bias + first, y + at);
    });
}

// dx of some groups of one image, and the sums over its pixels of g and of g (x - mean) for each channel.
inline void group_norm_gradient_part(const GroupShape& s, int64_t n, int64_t g0, int64_t g1, const float* g, const float* x,
                                     const float* weight, const float* mean, const float* rstd, float* dx, float* sums,
                                     float* products, float* memory) {
    const int64_t width = s.width(), first = g0 * width, cols = (g1 - g0) * width, at = n * s.pixels * s.channels + first;
    const float *from = x + at, *gradient = g + at;
    float *middle = memory, *scale = middle + cols, *tilt = scale + cols, *level = tilt + cols;
    for (int64_t j = 0; j < cols; ++j) middle[j] = mean[n * s.groups + g0 + j / width];
    clear(cols, sums);
    clear(cols, products);
    const int64_t most = pixels_at_once(s.channels);
    for (int64_t p0 = 0; p0 < s.pixels; p0 += most) {
        const int64_t p1 = min(s.pixels, p0 + most);
        sum_rows(p0, p1, cols, level, [&](int64_t p, int64_t j, auto k) { return load_some(gradient + p * s.channels + j, k); });
        add_to(cols, sums, level);
        sum_rows(p0, p1, cols, level, [&](int64_t p, int64_t j, auto k) {
            const Vec centred = load_some(from + p * s.channels + j, k) - load_some(middle + j, k);
            return load_some(gradient + p * s.channels + j, k) * centred;
        });
        add_to(cols, products, level);
    }
    const float count = float(s.pixels) * float(width);
    for (int64_t group = g0; group < g1; ++group) {
        const int64_t j0 = (group - g0) * width;
        const float r = rstd[n * s.groups + group], *share = weight + first + j0;
        const auto weighted = [&](const float* of) {
            return sum_of(width, [&](int64_t j, auto k) { return load_some(of + j0 + j, k) * load_some(share + j, k); });
        };
        const float flat = r * weighted(sums) / count, slope = r * r * r * weighted(products) / count;
        for (int64_t j = 0; j < width; ++j) {
            scale[j0 + j] = r * share[j];
            tilt[j0 + j] = -slope;
            level[j0 + j] = flat;
        }
    }
    for (int64_t p = 0; p < s.pixels; ++p)
        each_vector(cols, [&](int64_t j, auto k) {
            const int64_t i = p * s.channels + j;
            const Vec flat = load_some(gradient + i, k) * load_some(scale + j, k) - load_some(level + j, k);
            const Vec centred = load_some(from + i, k) - load_some(middle + j, k);
            store_some(dx + at + i, fma(centred, load_some(tilt + j, k), flat), k);
        });
}

// With n = (x - mean) rstd and h = g weight: dx = rstd (h - mean(h) - n mean(h n)), means over a group's pixels and channels;
// dweight = sum(g n) and dbias = sum(g) over images and pixels.
inline void group_norm_gradient(const Executor& executor, const GroupShape& s, const float* g, const float* x,
                                const float* weight, const float* mean, const float* rstd, float* dx, float* dweight,
                                float* dbias, float* scratch) {
    float *sums = scratch, *products = sums + s.images * s.channels, *memory = products + s.images * s.channels;
    each_part(executor, s, [&](int64_t n, int64_t g0, int64_t g1) {
        const int64_t place = n * s.channels + g0 * s.width();
        group_norm_gradient_part(s, n, g0, g1, g, x, weight, mean, rstd, dx, sums + place, products + place,
                                 memory + 4 * place);
    });
    clear(s.channels, dweight);
    clear(s.channels, dbias);
    for (int64_t n = 0; n < s.images; ++n)
        for (int64_t c = 0; c < s.channels; ++c) {
            const int64_t i = n * s.channels + c;
            dbias[c] += sums[i];
            dweight[c] += products[i] * rstd[n * s.groups + c / s.width()];
        }
}

}}  // namespace nd::ND_ISA
