// Batch normalisation over rows of C channels and layer normalisation along rows, with their gradients. x is (rows, cols),
// rows >= 1. Sums over rows are made of partial sums of fixed chunks of rows, so threads never change the bits.
#pragma once
#include "rows.h"

namespace nd { namespace ND_ISA {

// Calls f(row - first, j, count) for the rows of one chunk, 16 columns at a time: adding up four streams of rows per column
// hides the latency of the addition. `take(row, j, n)` gives the vector to add, `sum` receives the totals.
template <class Cols, class F>
ND_INLINE void sum_rows(int64_t first, int64_t end, Cols cols, float* sum, F&& take) {
    each_vector(cols, [&](int64_t j, auto n) {
        Vec stream[4] = {};
        int64_t row = first;
        for (; row + 4 <= end; row += 4)
            for (int s = 0; s < 4; ++s) stream[s] += take(row + s, j, n);
        for (int s = 0; row < end; ++row, ++s) stream[s] += take(row, j, n);
        store_some(sum + j, (stream[0] + stream[1]) + (stream[2] + stream[3]), n);
    });
}

// to += from.
template <class Cols>
ND_INLINE void add_to(Cols cols, float* to, const float* from) {
    each_vector(cols, [&](int64_t j, auto n) { store_some(to + j, load_some(to + j, n) + load_some(from + j, n), n); });
}

template <class Cols>
ND_INLINE void clear(Cols cols, float* to) { std::memset(to, 0, sizeof(float) * cols); }

// Floats of scratch for any function of this file.
constexpr int64_t norm_scratch(int64_t rows, int64_t cols) { return 2 * (chunk_count(rows) + 1) * cols; }

// mean and biased variance of every column. Each chunk finds its own mean first and then the squares around it, and chunks
// are joined as (n1, mean1) and (n2, mean2) are: nothing cancels, however far from zero the data lie.
template <class Rows, class Cols>
void batch_norm_statistics(const Executor& executor, Rows rows, Cols cols, const float* x, float* mean, float* var,
                           float* scratch) {
    const int64_t step = chunk_rows(rows), chunks = chunk_count(rows);
    parallel(executor, chunks, [&](int64_t chunk) {
        const int64_t first = chunk * step, end = min<int64_t>(rows, first + step);
        float *means = scratch + 2 * chunk * cols, *squares = means + cols;
        sum_rows(first, end, cols, means, [&](int64_t row, int64_t j, auto n) { return load_some(x + row * cols + j, n); });
        for (int64_t j = 0; j < cols; ++j) means[j] /= float(end - first);
        sum_rows(first, end, cols, squares, [&](int64_t row, int64_t j, auto n) {
            const Vec d = load_some(x + row * cols + j, n) - load_some(means + j, n);
            return d * d;
        });
    });
    clear(cols, mean);
    clear(cols, var);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const float share = float(min<int64_t>(step, rows - chunk * step)) / float(rows);
        for (int64_t j = 0; j < cols; ++j) mean[j] += share * scratch[2 * chunk * cols + j];
    }
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const float count = float(min<int64_t>(step, rows - chunk * step));
        const float *means = scratch + 2 * chunk * cols, *squares = means + cols;
        for (int64_t j = 0; j < cols; ++j) {
            const float d = means[j] - mean[j];
            var[j] += squares[j] + count * (d * d);
        }
    }
    for (int64_t j = 0; j < cols; ++j) var[j] /= float(rows);
}

// y = (x - mean) weight / sqrt(var + eps) + bias, per column. y may be x; scratch holds cols floats.
template <class Rows, class Cols>
void batch_norm_inference(const Executor& executor, Rows rows, Cols cols, const float* x, const float* weight,
                          const float* bias, const float* mean, const float* var, float eps, float* y, float* scratch) {
    for (int64_t j = 0; j < cols; ++j) scratch[j] = weight[j] / std::sqrt(var[j] + eps);
    parallel_columns(executor, rows, cols, [=](int64_t j, auto n) {
        const Vec middle = load_some(mean + j, n), scale = load_some(scratch + j, n), shift = load_some(bias + j, n);
        return [=](int64_t i) { store_some(y + i, fma(load_some(x + i, n) - middle, scale, shift), n); };
    });
}

template <class Rows, class Cols>
void batch_norm(const Executor& executor, Rows rows, Cols cols, const float* x, const float* weight, const float* bias,
                float eps, float* y, float* mean, float* var, float* scratch) {
    const Executor on = worthwhile(executor, rows * cols);
    batch_norm_statistics(on, rows, cols, x, mean, var, scratch);
    batch_norm_inference(on, rows, cols, x, weight, bias, mean, var, eps, y, scratch);
}

// With r = 1 / sqrt(var + eps): dbias = sum g, dweight = r sum g (x - mean),
// dx = weight r (g - dbias / rows) - (x - mean) weight r^2 dweight / rows.
template <class Rows, class Cols>
void batch_norm_gradient(const Executor& executor, Rows rows, Cols cols, const float* g, const float* x,
                         const float* weight, const float* mean, const float* var, float eps, float* dx, float* dweight,
                         float* dbias, float* scratch) {
    const Executor on = worthwhile(executor, rows * cols);
    const int64_t step = chunk_rows(rows), chunks = chunk_count(rows);
    parallel(on, chunks, [&](int64_t chunk) {
        const int64_t first = chunk * step, end = min<int64_t>(rows, first + step);
        float *sums = scratch + 2 * chunk * cols, *products = sums + cols;
        sum_rows(first, end, cols, sums, [&](int64_t row, int64_t j, auto n) { return load_some(g + row * cols + j, n); });
        sum_rows(first, end, cols, products, [&](int64_t row, int64_t j, auto n) {
            return load_some(g + row * cols + j, n) * (load_some(x + row * cols + j, n) - load_some(mean + j, n));
        });
    });
    clear(cols, dweight);
    clear(cols, dbias);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        add_to(cols, dbias, scratch + 2 * chunk * cols);
        add_to(cols, dweight, scratch + (2 * chunk + 1) * cols);
    }
    float *scale = scratch, *slope = scratch + cols, *shift = scratch + 2 * cols;
    for (int64_t j = 0; j < cols; ++j) {
        const float r = 1.0f / std::sqrt(var[j] + eps);
        dweight[j] *= r;
        scale[j] = weight[j] * r;
        slope[j] = -scale[j] * r * dweight[j] / float(rows);
        shift[j] = dbias[j] / float(rows);
    }
    parallel_columns(on, rows, cols, [=](int64_t j, auto n) {
        const Vec middle = load_some(mean + j, n), tilt = load_some(slope + j, n);
        const Vec flat = load_some(shift + j, n), factor = load_some(scale + j, n);
        return [=](int64_t i) {
            const Vec level = (load_some(g + i, n) - flat) * factor;
            store_some(dx + i, fma(load_some(x + i, n) - middle, tilt, level), n);
        };
    });
}

// y = (x - mean) rstd weight + bias with mean and rstd = 1 / sqrt(variance + eps) of each row. y may be x.
template <class Rows, class Cols>
void layer_norm(const Executor& executor, Rows rows, Cols cols, const float* x, const float* weight, const float* bias,
                float eps, float* y, float* mean, float* rstd) {
    auto group = [&](int64_t first, int64_t end) {
        for (int64_t row = first; row < end; ++row)
            mean[row] = sum_of(cols, [&](int64_t j, auto n) { return load_some(x + row * cols + j, n); }) / float(cols);
        for (int64_t row = first; row < end; ++row) {
            const float squares = sum_of(cols, [&](int64_t j, auto n) {
                const Vec d = load_some(x + row * cols + j, n) - splat(mean[row]);
                return d * d;
            });
            rstd[row] = 1.0f / std::sqrt(squares / float(cols) + eps);
        }
        for (int64_t row = first; row < end; ++row) {
            const Vec middle = splat(mean[row]), scale = splat(rstd[row]);
            each_vector(cols, [&](int64_t j, auto n) {
                const Vec normal = (load_some(x + row * cols + j, n) - middle) * scale;
                store_some(y + row * cols + j, fma(normal, load_some(weight + j, n), load_some(bias + j, n)), n);
            });
        }
    };
    parallel_ranges(executor, rows, cols, [&](int64_t first, int64_t end) { each_group(first, end, group); });
}

// dx of the rows of one group: with n = (x - mean) rstd and h = g weight, rstd (h - mean(h) - n mean(h n)).
template <class Cols>
ND_INLINE void layer_norm_gradient_rows(int64_t first, int64_t end, Cols cols, const float* g, const float* x,
                                        const float* weight, const float* mean, const float* rstd, float* dx) {
    auto h = [&](int64_t i, int64_t j, auto n) { return load_some(g + i, n) * load_some(weight + j, n); };
    auto normal = [&](int64_t i, int64_t row, auto n) { return (load_some(x + i, n) - splat(mean[row])) * splat(rstd[row]); };
    float flat[8], tilt[8];
    for (int64_t row = first; row < end; ++row)
        flat[row - first] = sum_of(cols, [&](int64_t j, auto n) { return h(row * cols + j, j, n); }) / float(cols);
    for (int64_t row = first; row < end; ++row)
        tilt[row - first] = sum_of(cols, [&](int64_t j, auto n) {
            return h(row * cols + j, j, n) * normal(row * cols + j, row, n);
        }) / float(cols);
    for (int64_t row = first; row < end; ++row)
        each_vector(cols, [&](int64_t j, auto n) {
            const int64_t i = row * cols + j;
            const Vec level = h(i, j, n) - splat(flat[row - first]) - normal(i, row, n) * splat(tilt[row - first]);
            store_some(dx + i, level * splat(rstd[row]), n);
        });
}

// dx as above; dweight = sum over rows of g n, dbias = sum over rows of g.
template <class Rows, class Cols>
void layer_norm_gradient(const Executor& executor, Rows rows, Cols cols, const float* g, const float* x,
                         const float* weight, const float* mean, const float* rstd, float* dx, float* dweight,
                         float* dbias, float* scratch) {
    const int64_t step = chunk_rows(rows), chunks = chunk_count(rows);
    parallel(worthwhile(executor, rows * cols), chunks, [&](int64_t chunk) {
        const int64_t first = chunk * step, end = min<int64_t>(rows, first + step);
        float* sums = scratch + 2 * chunk * cols;
        each_group(first, end, [&](int64_t from, int64_t to) {
            layer_norm_gradient_rows(from, to, cols, g, x, weight, mean, rstd, dx);
        });
        sum_rows(first, end, cols, sums, [&](int64_t row, int64_t j, auto n) { return load_some(g + row * cols + j, n); });
        sum_rows(first, end, cols, sums + cols, [&](int64_t row, int64_t j, auto n) {
            const Vec normal = (load_some(x + row * cols + j, n) - splat(mean[row])) * splat(rstd[row]);
            return load_some(g + row * cols + j, n) * normal;
        });
    });
    clear(cols, dweight);
    clear(cols, dbias);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        add_to(cols, dbias, scratch + 2 * chunk * cols);
        add_to(cols, dweight, scratch + (2 * chunk + 1) * cols);
    }
}

}}  // namespace nd::ND_ISA
