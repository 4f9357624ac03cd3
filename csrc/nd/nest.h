// Loop nests over arrays with any strides: sizes, and for each operand the steps between elements.
#pragma once
#include "base.h"

namespace nd { namespace ND_ISA {

constexpr int kMaxDims = 16;

// Sizes and, per operand, strides in elements. Operand 0 is the one that is written.
template <int Operands>
struct Nest {
    int dims = 0;
    int64_t size[kMaxDims];
    int64_t stride[Operands][kMaxDims];

    void push(int64_t n, const int64_t (&steps)[Operands]) {
        size[dims] = n;
        for (int k = 0; k < Operands; ++k) stride[k][dims] = steps[k];
        ++dims;
    }
    int64_t count() const {
        int64_t n = 1;
        for (int d = 0; d < dims; ++d) n *= size[d];
        return n;
    }
};

// Drops axes of size one, orders the rest so that the output is written in the order of memory, and merges neighbours
// that every operand walks in equal steps. At least one axis is left.
template <int K>
inline void simplify(Nest<K>& nest) {
    Nest<K> sorted{};
    for (int d = 0; d < nest.dims; ++d) {
        if (nest.size[d] == 1) continue;
        int at = sorted.dims;
        while (at > 0 && magnitude(sorted.stride[0][at - 1]) < magnitude(nest.stride[0][d])) --at;
        for (int e = sorted.dims; e > at; --e) {
            sorted.size[e] = sorted.size[e - 1];
            for (int k = 0; k < K; ++k) sorted.stride[k][e] = sorted.stride[k][e - 1];
        }
        sorted.size[at] = nest.size[d];
        for (int k = 0; k < K; ++k) sorted.stride[k][at] = nest.stride[k][d];
        ++sorted.dims;
    }
    nest.dims = 0;
    for (int d = 0; d < sorted.dims; ++d) {
        int64_t steps[K];
        bool merge = nest.dims > 0;
        for (int k = 0; k < K; ++k) {
            steps[k] = sorted.stride[k][d];
            merge = merge && nest.stride[k][nest.dims - 1] == steps[k] * sorted.size[d];
        }
        if (!merge) { nest.push(sorted.size[d], steps); continue; }
        nest.size[nest.dims - 1] *= sorted.size[d];
        for (int k = 0; k < K; ++k) nest.stride[k][nest.dims - 1] = steps[k];
    }
    if (nest.dims == 0) {
        int64_t steps[K];
        for (int k = 0; k < K; ++k) steps[k] = 1;
        nest.push(1, steps);
    }
}

// Whether two indices of a simplified nest may write the same element: then only one thread may write.
template <int K>
inline bool overlaps(const Nest<K>& nest) {
    int64_t reach = 0;
    for (int d = nest.dims - 1; d >= 0; --d) {
        if (nest.size[d] == 0) return false;
        if (magnitude(nest.stride[0][d]) <= reach) return true;
        reach += magnitude(nest.stride[0][d]) * (nest.size[d] - 1);
    }
    return false;
}

}}  // namespace nd::ND_ISA
