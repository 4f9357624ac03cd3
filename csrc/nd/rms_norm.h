// Root-mean-square normalisation along rows of x (rows, cols), rows >= 1, and its gradient.
#pragma once
#include "norm.h"

namespace nd { namespace ND_ISA {

// y = x rstd weight with rstd = 1 / sqrt(mean of squares + eps) of each row. y may be x.
template <class Rows, class Cols>
void rms_norm(const Executor& executor, Rows rows, Cols cols, const float* x, const float* weight, float eps, float* y,
              float* rstd) {
    auto group = [&](int64_t first, int64_t end) {
        for (int64_t row = first; row < end; ++row) {
            const float squares = sum_of(cols, [&](int64_t j, auto n) {
                const Vec v = load_some(x + row * cols + j, n);
                return v * v;
            });
            rstd[row] = 1.0f / std::sqrt(squares / float(cols) + eps);
        }
        for (int64_t row = first; row < end; ++row)
            each_vector(cols, [&](int64_t j, auto n) {
                const Vec normal = load_some(x + row * cols + j, n) * splat(rstd[row]);
                store_some(y + row * cols + j, normal * load_some(weight + j, n), n);
            });
    };
    parallel_ranges(worthwhile(executor, rows * cols), rows, cols,
                    [&](int64_t first, int64_t end) { each_group(first, end, group); });
}

// With n = x rstd and h = g weight: dx = rstd (h - n mean(h n)), dweight = sum over rows of g n. `scratch` holds
// norm_scratch(rows, cols) floats.
template <class Rows, class Cols>
void rms_norm_gradient(const Executor& executor, Rows rows, Cols cols, const float* g, const float* x, const float* weight,
                       const float* rstd, float* dx, float* dweight, float* scratch) {
    const int64_t step = chunk_rows(rows), chunks = chunk_count(rows);
    auto group = [&](int64_t first, int64_t end) {
        float tilt[8];
        for (int64_t row = first; row < end; ++row) {
            const float *from = x + row * cols, *gradient = g + row * cols;
            tilt[row - first] = rstd[row] * rstd[row] / float(cols) * sum_of(cols, [&](int64_t j, auto n) {
                return load_some(gradient + j, n) * load_some(weight + j, n) * load_some(from + j, n);
            });
        }
        for (int64_t row = first; row < end; ++row)
            each_vector(cols, [&](int64_t j, auto n) {
                const Vec h = load_some(g + row * cols + j, n) * load_some(weight + j, n);
                const Vec level = h - load_some(x + row * cols + j, n) * splat(tilt[row - first]);
                store_some(dx + row * cols + j, level * splat(rstd[row]), n);
            });
    };
    parallel(worthwhile(executor, rows * cols), chunks, [&](int64_t chunk) {
        const int64_t first = chunk * step, end = min<int64_t>(rows, first + step);
        each_group(first, end, group);
        sum_rows(first, end, cols, scratch + chunk * cols, [&](int64_t row, int64_t j, auto n) {
            return load_some(g + row * cols + j, n) * (load_some(x + row * cols + j, n) * splat(rstd[row]));
        });
    });
    clear(cols, dweight);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) add_to(cols, dweight, scratch + chunk * cols);
}

}}  // namespace nd::ND_ISA
