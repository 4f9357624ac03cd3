#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

int64_t embedding(Array& ids, Array& weight, Array& y, int64_t count, int64_t rows, int64_t cols) {
    Arguments check("embedding");
    const float *id = check.in(ids, check.count({count})), *table = check.in(weight, check.count({rows, cols}));
    float* to = check.out(y, check.count({count, cols}));
    const int64_t bad = sequence_kernels().first_bad_index(count, id, rows);
    if (bad >= 0) return bad;
    py::gil_scoped_release unlocked;
    sequence_kernels().embedding(threads(), count, cols, id, table, to);
    return -1;
}

int64_t embedding_gradient(Array& g, Array& ids, Array& dweight, int64_t count, int64_t rows, int64_t cols) {
    Arguments check("embedding_gradient");
    const float *gradient = check.in(g, check.count({count, cols})), *id = check.in(ids, count);
    float* to = check.out(dweight, check.count({rows, cols}));
    const int64_t bad = sequence_kernels().first_bad_index(count, id, rows);
    if (bad >= 0) return bad;
    py::gil_scoped_release unlocked;
    sequence_kernels().embedding_gradient(threads(), count, cols, rows, id, gradient, to);
    return -1;
}

}  // namespace

void bind_sequence(py::module_& m) {
    m.def("embedding", &embedding, "-1, or the first place whose id is no whole number in 0..rows-1: then nothing was done.");
    m.def("embedding_gradient", &embedding_gradient, "As embedding.");
}

}  // namespace nd
