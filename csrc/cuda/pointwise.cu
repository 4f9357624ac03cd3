#include "../bind/pointwise.h"
#include "pointwise.cuh"
#include "reduce.cuh"

namespace nd { namespace ND_ISA {
namespace {

template <int K>
Nest<K> nest_of(const Loops& loops) {
    Nest<K> nest{};
    for (int d = 0; d < loops.dims; ++d) {
        int64_t steps[K];
        for (int k = 0; k < K; ++k) steps[k] = loops.stride[k][d];
        nest.push(loops.size[d], steps);
    }
    return nest;
}

template <class F, int Numbers>
F with(const float* numbers) {
    if constexpr (Numbers == 0) return F{};
    else if constexpr (Numbers == 1) return F{numbers[0]};
    else return F{numbers[0], numbers[1]};
}

// Calls `use` with that many pointers.
template <int Operands, class Use>
void spread(const float* const* x, Use&& use) {
    if constexpr (Operands == 1) use(x[0]);
    else if constexpr (Operands == 2) use(x[0], x[1]);
    else use(x[0], x[1], x[2]);
}

template <class Name, class F, int Operands, int Numbers>
constexpr PointwiseKernel entry() {
    return {[](const Executor& on, int64_t n, const float* numbers, float* y, const float* const* x) {
                spread<Operands>(x, [&](auto... p) { map(on, Name::text, n, with<F, Numbers>(numbers), y, p...); });
            },
            [](const Executor& on, const Loops& loops, const float* numbers, float* y, const float* const* x) {
                spread<Operands>(x, [&](auto... p) {
                    map(on, Name::text, nest_of<Operands + 1>(loops), with<F, Numbers>(numbers), y, p...);
                });
            }};
}

void copy(const Executor& on, const Loops& loops, float* y, const float* x) { map(on, "copy", nest_of<2>(loops), Copy{}, y, x); }

struct Constant {
    float value;
    ND_FN float operator()() const { return value; }
};
void fill_nest(const Executor& on, const Loops& loops, float value, float* y) { map(on, "fill", nest_of<1>(loops), Constant{value}, y); }

void sum(const Executor& on, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch) {
    reduce<SumFold>(on, "sum", outer, k, inner, x, out, scratch);
}
void largest(const Executor& on, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch) {
    reduce<MaxFold>(on, "max", outer, k, inner, x, out, scratch);
}
void smallest(const Executor& on, int64_t outer, int64_t k, int64_t inner, const float* x, float* out, float* scratch) {
    reduce<MinFold>(on, "min", outer, k, inner, x, out, scratch);
}

// The kernels' names for what the device reports.
#define ND_TEXT(name, functor, operands, numbers) \
    struct name_of_##name { static constexpr const char* text = #name; };
ND_POINTWISE(ND_TEXT)

}  // namespace

#define ND_ENTRY(name, functor, operands, numbers) entry<name_of_##name, functor, operands, numbers>(),
extern const PointwiseTable pointwise_table = {
    {ND_POINTWISE(ND_ENTRY)}, {reduce_scratch, sum}, {reduce_scratch, largest}, {reduce_scratch, smallest}, copy, fill_nest,
};

}}  // namespace nd::ND_ISA
