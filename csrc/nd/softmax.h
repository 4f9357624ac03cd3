// Softmax, log-softmax, log-sum-exp and cross entropy along rows of memory, each with its gradient. x is (rows, cols);
// rows are independent of each other, so any number of threads gives the same bits. cols >= 1.
#pragma once
#include "arguments.h"
#include "math.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// e^x for x <= 0 (or a rounding error above): as exp, but 0 below -86.5 instead of the smallest floats, which lets the
// power of two be added to the exponent bits. NaN stays.
ND_INLINE Vec exp_below_zero(Vec x) {
    constexpr float q[] = {0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144672f};
    const Vec limited = x < -86.5f ? splat(-86.5f) : x;
    const Vec shift = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
    const Vec shifted = fma(limited, splat(1.44269504f), shift);
    const Vec n = shifted - shift;
    const Vec r = fma(n, splat(-1.42860677e-6f), fma(n, splat(-0.693145752f), limited));
    const Vec y = fma(r * r, polynomial(r, q), r) + 1.0f;
    const Vec power = (Vec)((IVec)y + ((IVec)shifted << 23));
    return x < -86.5f ? Vec{} : power;
}

// y = exp(x - top), and the sum of y. y may be x.
template <class Cols>
ND_INLINE float exp_row(Cols cols, const float* x, float top, float* y) {
    return sum_of(cols, [&](int64_t j, auto count) {
        const Vec e = exp_below_zero(load_some(x + j, count) - splat(top));
        store_some(y + j, e, count);
        return e;
    });
}

// log sum exp(x) of one row; an infinite maximum is the answer itself.
template <class Cols>
ND_INLINE float logsumexp_row(Cols cols, const float* x) {
    float top = max_of(cols, x);
    if (top - top != 0) top = 0;
    return log(sum_of(cols, [&](int64_t j, auto count) { return exp(load_some(x + j, count) - splat(top)); })) + top;
}

// y = exp(x) / sum exp(x). y may be x.
template <class Rows, class Cols>
void softmax(const Executor& executor, Rows rows, Cols cols, const float* x, float* y) {
    parallel_rows(executor, rows, cols, [&](int64_t row) {
        const float* from = x + row * cols;
        float* to = y + row * cols;
        const Vec scale = splat(1.0f / exp_row(cols, from, max_of(cols, from), to));
        each_vector(cols, [&](int64_t j, auto count) { store_some(to + j, load_some(to + j, count) * scale, count); });
    });
}

// dx = y (g - sum(g y)).
template <class Rows, class Cols>
void softmax_gradient(const Executor& executor, Rows rows, Cols cols, const float* g, const float* y, float* dx) {
    parallel_rows(executor, rows, cols, [&](int64_t row) {
        const float *gr = g + row * cols, *yr = y + row * cols;
        const Vec dot = splat(sum_of(cols, [&](int64_t j, auto n) { return load_some(gr + j, n) * load_some(yr + j, n); }));
        each_vector(cols, [&](int64_t j, auto n) {
            store_some(dx + row * cols + j, load_some(yr + j, n) * (load_some(gr + j, n) - dot), n);
        });
    });
}

// y = x - log sum exp(x). Computed as (x - max) - log sum exp(x - max): logits far from zero lose nothing. y may be x.
template <class Rows, class Cols>
void logsoftmax(const Executor& executor, Rows rows, Cols cols, const float* x, float* y) {
    parallel_rows(executor, rows, cols, [&](int64_t row) {
        const float* from = x + row * cols;
        const Vec top = splat(max_of(cols, from));
        const float sum = sum_of(cols, [&](int64_t j, auto n) { return exp_below_zero(load_some(from + j, n) - top); });
        const Vec log_sum = splat(log(sum));
        each_vector(cols, [&](int64_t j, auto n) {
            store_some(y + row * cols + j, load_some(from + j, n) - top - log_sum, n);
        });
    });
}

// dx = g - exp(y) sum(g).
template <class Rows, class Cols>
void logsoftmax_gradient(const Executor& executor, Rows rows, Cols cols, const float* g, const float* y, float* dx) {
    parallel_rows(executor, rows, cols, [&](int64_t row) {
        const float *gr = g + row * cols, *yr = y + row * cols;
        const Vec sum = splat(sum_of(cols, [&](int64_t j, auto n) { return load_some(gr + j, n); }));
        each_vector(cols, [&](int64_t j, auto n) {
            store_some(dx + row * cols + j, load_some(gr + j, n) - exp(load_some(yr + j, n)) * sum, n);
        });
    });
}

// y[row] = log sum exp(x[row]).
template <class Rows, class Cols>
void logsumexp(const Executor& executor, Rows rows, Cols cols, const float* x, float* y) {
    parallel_rows(executor, rows, cols, [&](int64_t row) { y[row] = logsumexp_row(cols, x + row * cols); });
}

// The first row whose label is neither ignored nor a whole number in 0..cols-1, or -1. The other functions rely on it.
ND_INLINE int64_t first_bad_label(int64_t rows, int64_t cols, const Labels& labels) {
    for (int64_t row = 0; row < rows; ++row) {
        const float label = labels.at[row];
        const bool whole = label >= 0 && double(label) < double(cols) && float(int64_t(label)) == label;
        if (!whole && label != labels.ignored) return row;
    }
    return -1;
}

// How many rows count.
ND_INLINE int64_t counted(int64_t rows, const Labels& labels) {
    int64_t count = 0;
    for (int64_t row = 0; row < rows; ++row) count += labels.at[row] != labels.ignored;
    return count;
}

// losses[row] = log sum exp(x) - (1 - s) x[label] - s mean(x), s being the smoothing; 0 for rows that do not count.
template <class Rows, class Cols>
void cross_entropy(const Executor& executor, Rows rows, Cols cols, const float* x, const Labels& labels, float* losses) {
    parallel_rows(executor, rows, cols, [&](int64_t row) {
        if (labels.at[row] == labels.ignored) { losses[row] = 0; return; }
        const float* from = x + row * cols;
        const float top = max_of(cols, from);
        const float sum = sum_of(cols, [&](int64_t j, auto n) { return exp_below_zero(load_some(from + j, n) - splat(top)); });
        float one = log(sum) - (1 - labels.smoothing) * (from[int64_t(labels.at[row])] - top);
        if (labels.smoothing != 0) {
            const float shifted = sum_of(cols, [&](int64_t j, auto n) { return load_some(from + j, n) - splat(top); });
            one -= labels.smoothing / float(cols) * shifted;
        }
        losses[row] = one;
    });
}

// The sum of the losses / divisor.
ND_INLINE float total_loss(int64_t rows, const float* losses, float divisor) {
    return sum_of(rows, [&](int64_t j, auto n) { return load_some(losses + j, n); }) / divisor;
}

// dx = g / divisor (softmax(x) - s / cols - (1 - s) [j = label]), g being g[row * step]; 0 for rows that do not count.
template <class Rows, class Cols>
void cross_entropy_gradient(const Executor& executor, Rows rows, Cols cols, const float* g, int64_t step, float divisor,
                            const float* x, const Labels& labels, float* dx) {
    parallel_rows(executor, rows, cols, [&](int64_t row) {
        const float* from = x + row * cols;
        float* to = dx + row * cols;
        if (labels.at[row] == labels.ignored) {
            std::memset(to, 0, sizeof(float) * static_cast<std::size_t>(cols));
            return;
        }
        const float each = g[row * step] / divisor;
        const Vec base = splat(-each * labels.smoothing / float(cols));
        const Vec scale = splat(each / exp_row(cols, from, max_of(cols, from), to));
        each_vector(cols, [&](int64_t j, auto n) { store_some(to + j, fma(load_some(to + j, n), scale, base), n); });
        to[int64_t(labels.at[row])] -= each * (1 - labels.smoothing);
    });
}

}}  // namespace nd::ND_ISA
