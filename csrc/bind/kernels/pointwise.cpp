#include "../nest.h"
#include "../pointwise.h"
#include "../../nd/map.h"
#include "../../nd/reduce.h"

namespace nd { namespace ND_ISA {
namespace {

template <class F, int Numbers>
F with(const float* numbers) {
    if constexpr (Numbers == 0) return F{};
    else if constexpr (Numbers == 1) return F{numbers[0]};
    else return F{numbers[0], numbers[1]};
}

// Calls `use` with that many pointers.
template <int Operands, class Use>
ND_INLINE void spread(const float* const* x, Use&& use) {
    if constexpr (Operands == 1) use(x[0]);
    else if constexpr (Operands == 2) use(x[0], x[1]);
    else use(x[0], x[1], x[2]);
}

template <class F, int Operands, int Numbers>
constexpr PointwiseKernel entry() {
    return {[](const Executor& e, int64_t n, const float* numbers, float* y, const float* const* x) {
                spread<Operands>(x, [&](auto... p) { map(e, n, with<F, Numbers>(numbers), y, p...); });
            },
            [](const Executor& e, const Loops& loops, const float* numbers, float* y, const float* const* x) {
                spread<Operands>(x, [&](auto... p) { map(e, nest_of<Operands + 1>(loops), with<F, Numbers>(numbers), y, p...); });
            }};
}

void copy(const Executor& executor, const Loops& loops, float* y, const float* x) {
    copy_strided(executor, nest_of<2>(loops), y, x);
}

void fill(const Executor& executor, const Loops& loops, float value, float* y) {
    Nest<2> nest;
    for (int d = 0; d < loops.dims; ++d) nest.push(loops.size[d], {loops.stride[0][d], 0});
    copy_strided(executor, nest, y, &value);
}

}  // namespace

#define ND_ENTRY(name, functor, operands, numbers) entry<functor, operands, numbers>(),
extern const PointwiseTable pointwise_table = {
    {ND_POINTWISE(ND_ENTRY)},
    {reduce_scratch, reduce<SumFold>},
    {reduce_scratch, reduce<MaxFold>},
    {reduce_scratch, reduce<MinFold>},
    copy,
    fill,
};

}}  // namespace nd::ND_ISA
