#include "../pointwise.h"
#include "../../nd/map.h"
#include "../../nd/reduce.h"

namespace nd { namespace ND_ISA {
namespace {

template <int K>
Nest<K> nest_of(const Loops& loops) {
    Nest<K> nest;
    for (int d = 0; d < loops.dims; ++d) {
        int64_t steps[K];
        for (int k = 0; k < K; ++k) steps[k] = loops.stride[k][d];
        nest.push(loops.size[d], steps);
    }
    return nest;
}

template <class F>
constexpr Map1 unary() {
    return {[](const Executor& e, int64_t n, float, float* y, const float* x) { map(e, n, F{}, y, x); },
            [](const Executor& e, const Loops& loops, float, float* y, const float* x) {
                map(e, nest_of<2>(loops), F{}, y, x);
            }};
}

template <class F>
constexpr Map1 with_scalar() {
    return {[](const Executor& e, int64_t n, float s, float* y, const float* x) { map(e, n, F{s}, y, x); },
            [](const Executor& e, const Loops& loops, float s, float* y, const float* x) {
                map(e, nest_of<2>(loops), F{s}, y, x);
            }};
}

template <class F>
constexpr Map2 binary() {
    return {[](const Executor& e, int64_t n, float* y, const float* a, const float* b) { map(e, n, F{}, y, a, b); },
            [](const Executor& e, const Loops& loops, float* y, const float* a, const float* b) {
                map(e, nest_of<3>(loops), F{}, y, a, b);
            }};
}

void copy(const Executor& executor, const Loops& loops, float* y, const float* x) {
    copy_strided(executor, nest_of<2>(loops), y, x);
}

}  // namespace

#define ND_UNARY(name, functor) unary<functor>(),
#define ND_SCALAR(name, functor) with_scalar<functor>(),
#define ND_BINARY(name, functor) binary<functor>(),
extern const PointwiseTable pointwise_table = {
    {ND_UNARY_OPS(ND_UNARY)},
    {ND_SCALAR_OPS(ND_SCALAR)},
    {ND_BINARY_OPS(ND_BINARY)},
    {reduce_scratch, reduce<SumFold>},
    {reduce_scratch, reduce<MaxFold>},
    copy,
};

}}  // namespace nd::ND_ISA
