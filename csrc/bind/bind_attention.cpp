#include <array>
#include <tuple>
#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

using Shape = std::array<int64_t, 5>;  // batch, heads, queries, keys, depth

// An input as Python hands it over: the array, its first three strides (the last is 1) and its offset.
using View = std::tuple<Array*, Sizes, int64_t>;
using Output = std::pair<Array*, Sizes>;

AttentionShape<> shape_of(const Arguments& check, const Shape& sizes, float scale, bool causal) {
    check.count({sizes.begin(), sizes.end()});  // refuses negative sizes and ones that overflow
    if (causal && sizes[2] > sizes[3])
        refuse(check.where(), "causal needs a key for every query, got " + std::to_string(sizes[2]) + " queries and " +
                                  std::to_string(sizes[3]) + " keys");
    constexpr int64_t most = int64_t(1) << 31;  // a view may repeat one key for ever, scratch memory is per key
    if (sizes[3] < 1 || sizes[4] < 1 || sizes[3] > most)
        refuse(check.where(), "needs 1..2^31 keys and at least one column, got " + std::to_string(sizes[3]) + " and " + std::to_string(sizes[4]));
    return {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], scale, causal};
}

Heads<const float> input(Arguments& check, const View& view, const Sizes& shape) {
    if (std::get<0>(view) == nullptr) refuse(check.where(), "needs an array, got None");
    return check.in(*std::get<0>(view), shape, std::get<1>(view), std::get<2>(view));
}

Heads<float> output(Arguments& check, const Output& view, const Sizes& shape) {
    if (view.first == nullptr) refuse(check.where(), "needs an array, got None");
    return check.out(*view.first, shape, view.second);
}

void attention(const View& q, const View& k, const View& v, const Output& out, Array& lse, const Shape& sizes, float scale, bool causal) {
    Arguments check("attention");
    const AttentionShape<> shape = shape_of(check, sizes, scale, causal);
    const Sizes queries{sizes[0], sizes[1], sizes[2], sizes[4]}, keys{sizes[0], sizes[1], sizes[3], sizes[4]};
    const Heads<const float> from_q = input(check, q, queries), from_k = input(check, k, keys), from_v = input(check, v, keys);
    const Heads<float> to = output(check, out, queries);
    float* sums = check.out(lse, check.count({sizes[0], sizes[1], sizes[2]}));
    py::gil_scoped_release unlocked;
    const Executor on = threads();
    Scratch scratch(sequence_kernels().attention_scratch(shape.keys, shape.depth, on.threads));
    sequence_kernels().attention(on, shape, from_q, from_k, from_v, to, sums, scratch.floats());
}

void attention_gradient(const View& g, const View& q, const View& k, const View& v, const View& out, Array& lse, const Output& dq,
                        const Output& dk, const Output& dv, const Shape& sizes, float scale, bool causal) {
    Arguments check("attention_gradient");
    const AttentionShape<> shape = shape_of(check, sizes, scale, causal);
    const Sizes queries{sizes[0], sizes[1], sizes[2], sizes[4]}, keys{sizes[0], sizes[1], sizes[3], sizes[4]};
    const AttentionGradientInputs in{input(check, g, queries), input(check, q, queries), input(check, k, keys), input(check, v, keys),
                                     input(check, out, queries), check.in(lse, check.count({sizes[0], sizes[1], sizes[2]}))};
    const AttentionGradientOutputs to{output(check, dq, queries), output(check, dk, keys), output(check, dv, keys)};
    py::gil_scoped_release unlocked;
    const Executor on = threads();
    Scratch scratch(sequence_kernels().attention_gradient_scratch(shape.keys, shape.depth, on.threads));
    sequence_kernels().attention_gradient(on, shape, in, to, scratch.floats());
}

}  // namespace

void bind_attention(py::module_& m) {
    m.def("attention", &attention);
    m.def("attention_gradient", &attention_gradient);
}

}  // namespace nd
