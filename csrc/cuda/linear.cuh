// A linear layer as programs call it: x (rows, depth) times weights packed as [ceil(columns / 16)][depth][16], then steps.
#pragma once
#include "epilogue.cuh"
#include "product.cuh"

namespace nd { namespace ND_ISA {

// Columns of packed weights; the segments of the depth, of which each has `length` rows, follow one another.
struct PackedReader {
    struct Line {
        const float* p;
    };
    struct Segment {
        int64_t first;
    };
    const float* packed;
    int64_t columns, length, depth;  // of a segment, and of all
    bool deep;

    __device__ Line line(int64_t, int64_t index) const {
        return {index < columns ? packed + index / 16 * depth * 16 + index % 16 : nullptr};
    }
    __device__ Segment segment(int64_t number) const { return {number * length}; }
    __device__ float at(const Line& line, Segment s, int64_t k) const { return line.p != nullptr ? line.p[(s.first + k) * 16] : 0.0f; }
};

template <class Epilogue>
void linear(const Executor& on, int64_t rows, int64_t depth, int64_t columns, const float* x, const float* packed, float* y,
            const Epilogue& epilogue) {
    product(on, "linear", {1, rows, columns, {1, depth}}, rows_of({x, depth, 1}, rows, 0), PackedReader{packed, columns, depth, depth, false},
            StoreFinished{y, columns, 1, steps_of(epilogue)});
}

// A batch of products of matrices with any strides.
inline void batched_matmul(const Executor& on, int64_t batch, int64_t m, int64_t n, int64_t k, const Matrices& a, const Matrices& b, float* c,
                           float*) {
    product(on, "matmul", {batch, m, n, {1, k}}, rows_of(a.first, m, a.step), columns_of(b.first, n, b.step), Store{c, m, n});
}

}}  // namespace nd::ND_ISA
