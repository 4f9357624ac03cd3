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

// A functor that holds none, one or two numbers.
template <class F>
F with(Numbers s) {
    if constexpr (std::is_empty<F>::value) return F{};
    else if constexpr (sizeof(F) == sizeof(float)) return F{s.first};
    else return F{s.first, s.second};
}

template <class F>
constexpr Map1 unary() {
    return {[](const Executor& e, int64_t n, Numbers s, float* y, const float* x) { map(e, n, with<F>(s), y, x); },
            [](const Executor& e, const Loops& loops, Numbers s, float* y, const float* x) {
                map(e, nest_of<2>(loops), with<F>(s), y, x);
            }};
}

template <class F>
constexpr Map2 binary() {
    return {[](const Executor& e, int64_t n, Numbers s, float* y, const float* a, const float* b) {
                map(e, n, with<F>(s), y, a, b);
            },
            [](const Executor& e, const Loops& loops, Numbers s, float* y, const float* a, const float* b) {
                map(e, nest_of<3>(loops), with<F>(s), y, a, b);
            }};
}

template <class F>
constexpr Map3 ternary() {
    return {[](const Executor& e, int64_t n, float* y, const float* a, const float* b, const float* c) {
                map(e, n, F{}, y, a, b, c);
            },
            [](const Executor& e, const Loops& loops, float* y, const float* a, const float* b, const float* c) {
                map(e, nest_of<4>(loops), F{}, y, a, b, c);
            }};
}

void copy(const Executor& executor, const Loops& loops, float* y, const float* x) {
    copy_strided(executor, nest_of<2>(loops), y, x);
}

}  // namespace

#define ND_UNARY(name, functor) unary<functor>(),
#define ND_BINARY(name, functor) binary<functor>(),
#define ND_TERNARY(name, functor) ternary<functor>(),
extern const PointwiseTable pointwise_table = {
    {ND_UNARY_OPS(ND_UNARY)},
    {ND_SCALAR_OPS(ND_UNARY)},
    {ND_RANGE_OPS(ND_UNARY)},
    {ND_BINARY_OPS(ND_BINARY)},
    {ND_BINARY_RANGE_OPS(ND_BINARY)},
    {ND_TERNARY_OPS(ND_TERNARY)},
    {reduce_scratch, reduce<SumFold>},
    {reduce_scratch, reduce<MaxFold>},
    {reduce_scratch, reduce<MinFold>},
    copy,
};

}}  // namespace nd::ND_ISA
