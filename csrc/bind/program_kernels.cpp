// What programs call: one adapter for each kernel, through the tables of its family.
#include "program.h"
#include <algorithm>
#include "conv.h"
#include "fused.h"
#include "gemm.h"
#include "pointwise.h"
#include "pooling.h"

namespace nd {

Steps steps_of(const Arguments& a, int64_t first, int64_t other) {
    Steps steps;
    for (int64_t i = first; i < a.integer_count; ++i) {
        const auto kind = static_cast<Step::Kind>(a.integers[i]);
        steps.step[steps.count++] = {kind, Step::reads(kind) ? a.operands[other++] : nullptr};
    }
    return steps;
}

void check_epilogue(const Draft& draft, std::size_t first, int64_t other) {
    if (draft.integers() < first)
        draft.refuse("needs at least " + std::to_string(first) + " integers, got " + std::to_string(draft.integers()));
    if (draft.integers() - first > std::size_t{Steps::most})
        draft.refuse("an epilogue has at most " + std::to_string(Steps::most) + " steps");
    for (std::size_t i = first; i < draft.integers(); ++i) other += Step::reads(static_cast<Step::Kind>(draft.known(i, "a step", 0, Step::kinds - 1)));
    draft.need(-1, 0, other);
}

namespace {

struct Functor {
    const char* name;
    int operands, numbers;
};
#define ND_FUNCTOR(name, functor, operands, numbers) {#functor, operands, numbers},
constexpr Functor kPointwise[] = {ND_POINTWISE(ND_FUNCTOR)};
#undef ND_FUNCTOR

constexpr struct {
    const char* name;
    Reduction PointwiseTable::* kernel;
} kFolds[] = {{"SumFold", &PointwiseTable::sum}, {"MaxFold", &PointwiseTable::max}, {"MinFold", &PointwiseTable::min}};

template <class Named, std::size_t N>
int number_of(const Named (&all)[N], const std::string& name) {
    const auto found = std::find_if(all, all + N, [&](const Named& one) { return one.name == name; });
    return found == all + N ? -1 : static_cast<int>(found - all);
}
int pointwise_functor(const std::string& name) { return number_of(kPointwise, name); }
int fold_functor(const std::string& name) { return number_of(kFolds, name); }

const PointwiseKernel& pointwise_kernel(const Arguments& a) { return pointwise().maps[a.functor]; }
const Reduction& fold_kernel(int functor) { return pointwise().*kFolds[functor].kernel; }

void check_loops(const Draft& draft, int64_t numbers, int64_t operands) {
    draft.need(1 + draft.known(0, "the rank", 0, kMaxAxes) * (1 + operands), numbers, operands);
}

void check_map(const Draft& draft) {
    const Functor& f = kPointwise[draft.functor];
    draft.need(1, f.numbers, 1 + f.operands);
}

void check_map_strided(const Draft& draft) {
    const Functor& f = kPointwise[draft.functor];
    check_loops(draft, f.numbers, 1 + f.operands);
}

void check_copy(const Draft& draft) { check_loops(draft, 0, 2); }

void check_reduce(const Draft& draft) {
    if (draft.operands() == 3) return;
    draft.need(3, 0, 2);
    const int64_t count = draft.known(1, "the count, without scratch,", 0), inner = draft.known(2, "inner, without scratch,", 0);
    if (fold_kernel(draft.functor).scratch(1, count, inner) > 0)
        draft.refuse("needs scratch to reduce " + std::to_string(count) + " elements");
}

void check_group_norm(const Draft& draft) {
    const int64_t channels = draft.known(2, "the number of channels", 1), groups = draft.known(3, "the number of groups", 1);
    if (channels % groups != 0)
        draft.refuse("groups must divide " + std::to_string(channels) + " channels, got " + std::to_string(groups));
}

struct PoolOf {  // images, channels, strides of x, then the rows and the columns
    explicit PoolOf(const Arguments& a) {
        const int64_t* n = a.integers;
        x = {a.operands[0], n[2], n[3], n[4]};
        rows = bands_of(n + 5, a.numbers);
        columns = bands_of(rows.start + rows.outputs + 1, a.numbers);
    }
    Pixels x;
    Bands rows, columns;
};

void check_pool(const Draft& draft, bool full) {
    std::size_t from = 5;
    const int64_t rows = check_bands(draft, from, full), columns = check_bands(draft, from, full);
    draft.need(static_cast<int64_t>(from), full ? 0 : rows + columns, 2);
}

void check_max_pool(const Draft& draft) { check_pool(draft, true); }
void check_resample(const Draft& draft) { check_pool(draft, false); }

void check_conv(const Draft& draft) {
    draft.known(5, "the kernel size", 1);
    draft.known(6, "the stride", 1);
    draft.known(7, "the padding", 0);
    check_epilogue(draft, 12, 4);
}

void run_conv(const Arguments& a) {
    const int64_t* n = a.integers;
    const Map x{a.operands[0], {n[8], n[9], n[10], n[11]}};
    conv().direct(a.on, {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]}, x, a.operands[1], a.operands[2], a.operands[3],
                  steps_of(a, 12, 4));
}

// Integers from `padding` on: padding, outputs of a tile, tiles of a round, strides of x, steps.
void check_filtering(const Draft& draft, std::size_t padding) {
    draft.known(padding, "the padding", 0);
    if (draft.known(padding + 1, "the outputs of a tile", 2, 4) == 3) draft.refuse("a tile has 2 or 4 outputs, got 3");
    draft.known(padding + 2, "the tiles of a round", 1);
    check_epilogue(draft, padding + 7, 4);
}

void check_winograd(const Draft& draft) { check_filtering(draft, 5); }

void run_winograd(const Arguments& a) {
    const int64_t* n = a.integers;
    const Map x{a.operands[0], {n[8], n[9], n[10], n[11]}};
    conv().winograd(a.on, {n[0], n[1], n[2], n[3], n[4], 3, 1, n[5]}, n[6], n[7], x, a.operands[1], a.operands[2], a.operands[3],
                    steps_of(a, 12, 4));
}

void check_winograd_transposed(const Draft& draft) {
    draft.known(5, "the stride", 1);
    check_filtering(draft, 6);
}

void run_winograd_transposed(const Arguments& a) {
    const int64_t* n = a.integers;
    const Map x{a.operands[0], {n[9], n[10], n[11], n[12]}};
    conv().winograd_transposed(a.on, {n[0], n[1], n[2], n[3], n[4], 2 * n[5], n[5], n[6]}, n[7], n[8], x, a.operands[1], a.operands[2],
                               a.operands[3], steps_of(a, 13, 4));
}

void check_transposed(const Draft& draft) {
    draft.known(5, "the kernel size", 1);
    draft.known(6, "the stride", 1);
    draft.known(7, "the padding", 0);
}

void run_transposed(const Arguments& a) {
    const int64_t* n = a.integers;
    const Map x{a.operands[0], {n[8], n[9], n[10], n[11]}};
    conv().transposed(a.on, {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]}, x, a.operands[1], a.operands[2], a.operands[3],
                      steps_of(a, 12, 4));
}

void check_windows(const Draft& draft) {
    draft.known(4, "the kernel size", 1);
    draft.known(5, "the stride", 1);
    draft.known(6, "the padding", 0);
}

void check_linear(const Draft& draft) { check_epilogue(draft, 3, 3); }

void run_linear(const Arguments& a) {
    conv().linear(a.on, a.integers[0], a.integers[1], a.integers[2], a.operands[0], a.operands[1], a.operands[2], steps_of(a, 3, 3));
}

template <SoftmaxTable::Map SoftmaxTable::* kernel>
void run_rows(const Arguments& a) { (softmax_kernels().*kernel)(a.on, a.integers[0], a.integers[1], a.operands[0], a.operands[1]); }

// Ids and counts are of these dtypes.
constexpr struct {
    const char* name;
} kIds[] = {{"float32"}, {"int32"}, {"int64"}};
int id_dtype(const std::string& name) { return number_of(kIds, name); }
int place_dtype(const std::string& name) { return name == "int64" ? -1 : id_dtype(name); }  // of slots and positions
bool whole(const Arguments& a) { return a.functor == 1; }

void run_lookup(const Arguments& a) {
    const int64_t *n = a.integers, count = n[0], cols = n[1], rows = n[2];
    const float* ids = a.operands[0];
    if (a.functor == 2)
        return sequence_kernels().lookup_int64(a.on, count, cols, rows, reinterpret_cast<const int64_t*>(ids), a.operands[1],
                                               a.operands[2]);
    if (!whole(a)) return sequence_kernels().lookup(a.on, count, cols, rows, ids, a.operands[1], a.operands[2]);
    sequence_kernels().lookup_int32(a.on, count, cols, rows, reinterpret_cast<const int32_t*>(ids), a.operands[1], a.operands[2]);
}

void run_iota(const Arguments& a) {
    if (!whole(a)) return sequence_kernels().iota(a.on, a.integers[0], a.integers[1], a.operands[0]);
    sequence_kernels().iota_int32(a.on, a.integers[0], a.integers[1], reinterpret_cast<int32_t*>(a.operands[0]));
}

template <class T>
Heads<T> heads_of(const Arguments& a, int64_t i) {  // whose strides are the integers behind shape and causality
    const int64_t* stride = a.integers + 6 + 3 * i;
    return {a.operands[i], stride[0], stride[1], stride[2]};
}

void run_attention(const Arguments& a) {
    const int64_t* n = a.integers;
    const AttentionShape<> shape{n[0], n[1], n[2], n[3], n[4], a.numbers[0], n[5] != 0};
    sequence_kernels().attention(a.on, shape, heads_of<const float>(a, 0), heads_of<const float>(a, 1),
                                 heads_of<const float>(a, 2), heads_of<float>(a, 3), a.operands[4], a.operands[5]);
}

const int32_t* whole_numbers(const float* ids) { return reinterpret_cast<const int32_t*>(ids); }

void run_positions(const Arguments& a) {
    const int64_t rows = a.integers[0], count = a.integers[1];
    if (!whole(a)) return cache_kernels().positions(a.on, rows, count, a.operands[0], a.operands[1]);
    cache_kernels().positions_int32(a.on, rows, count, whole_numbers(a.operands[0]), reinterpret_cast<int32_t*>(a.operands[1]));
}

void run_cache_write(const Arguments& a) {
    const int64_t* n = a.integers;
    float* const* p = a.operands;
    if (!whole(a)) return cache_kernels().write(a.on, n[0], n[1], n[2], n[3], n[4], p[0], p[1], p[2], p[3], p[4]);
    cache_kernels().write_int32(a.on, n[0], n[1], n[2], n[3], n[4], p[0], p[1], whole_numbers(p[2]), whole_numbers(p[3]), p[4]);
}

void run_cached_attention(const Arguments& a) {
    const int64_t* n = a.integers;
    float* const* p = a.operands;
    const CacheShape shape{n[0], n[1], n[2], n[3], n[4], n[5], a.numbers[0]};
    const Heads<const float> q{p[0], n[6], n[7], n[8]};
    const Heads<float> y{p[5], n[9], n[10], n[11]};
    if (!whole(a)) return cache_kernels().attention(a.on, shape, q, p[1], p[2], p[3], p[4], y, p[6]);
    cache_kernels().attention_int32(a.on, shape, q, p[1], p[2], whole_numbers(p[3]), whole_numbers(p[4]), y, p[6]);
}

constexpr uint32_t writes(std::initializer_list<int> operands) {
    uint32_t bits = 0;
    for (const int operand : operands) bits |= uint32_t{1} << operand;
    return bits;
}

std::vector<Kernel> float_kernels() {
    return {
        // n; the functor's numbers; y, x0[, x1[, x2]], all dense
        {"map", 1, -1, -1, writes({0}), pointwise_functor, check_map, [](const Arguments& a) {
            pointwise_kernel(a).flat(a.on, a.integers[0], a.numbers, a.operands[0], a.operands + 1); }},
        // rank, shape, strides of y, of x0, ... in elements; the functor's numbers; y, x0[, x1[, x2]]
        {"map_strided", -1, -1, -1, writes({0}), pointwise_functor, check_map_strided, [](const Arguments& a) {
            pointwise_kernel(a).strided(a.on, loops_of(a), a.numbers, a.operands[0], a.operands + 1); }},
        // rank, shape, strides of y, of x; y, x
        {"copy_strided", -1, 0, 2, writes({0}), nullptr, check_copy, [](const Arguments& a) {
            pointwise().copy(a.on, loops_of(a), a.operands[0], a.operands[1]); }},
        // outer, count, inner; x, y[, scratch]
        {"reduce", 3, 0, -1, writes({1, 2}), fold_functor, check_reduce, [](const Arguments& a) {
            float* scratch = a.operand_count == 3 ? a.operands[2] : nullptr;
            fold_kernel(a.functor).run(a.on, a.integers[0], a.integers[1], a.integers[2], a.operands[0], a.operands[1], scratch); }},
        // rows, count; x, y
        {"mean", 2, 0, 2, writes({1}), nullptr, nullptr, [](const Arguments& a) {
            norm_kernels().mean(a.on, a.integers[0], a.integers[1], a.operands[0], a.operands[1]); }},
        // rows, count; correction; x, y
        {"variance", 2, 1, 2, writes({1}), nullptr, nullptr, [](const Arguments& a) {
            norm_kernels().variance(a.on, a.integers[0], a.integers[1], a.operands[0], a.numbers[0], a.operands[1]); }},
        // batch, m, n, k, strides (batch, row, column) of a, of b; a, b, y, scratch
        {"batched_matmul", 10, 0, 4, writes({2, 3}), nullptr, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            gemm().matmul(a.on, n[0], n[1], n[2], n[3], {{a.operands[0], n[5], n[6]}, n[4]}, {{a.operands[1], n[8], n[9]}, n[7]},
                          a.operands[2], a.operands[3]); }},
        // rows, cols; x, y
        {"softmax", 2, 0, 2, writes({1}), nullptr, nullptr, run_rows<&SoftmaxTable::softmax>},
        {"logsoftmax", 2, 0, 2, writes({1}), nullptr, nullptr, run_rows<&SoftmaxTable::logsoftmax>},
        {"logsumexp", 2, 0, 2, writes({1}), nullptr, nullptr, run_rows<&SoftmaxTable::logsumexp>},
        // rows, cols; eps; x, weight, bias, y, mean, rstd
        {"layer_norm", 2, 1, 6, writes({3, 4, 5}), nullptr, nullptr, [](const Arguments& a) {
            float* const* p = a.operands;
            norm_kernels().layer_norm(a.on, a.integers[0], a.integers[1], p[0], p[1], p[2], a.numbers[0], p[3], p[4], p[5]); }},
        // rows, cols; eps; x, weight, y, rstd
        {"rms_norm", 2, 1, 4, writes({2, 3}), nullptr, nullptr, [](const Arguments& a) {
            float* const* p = a.operands;
            group_norm_kernels().rms_norm(a.on, a.integers[0], a.integers[1], p[0], p[1], a.numbers[0], p[2], p[3]); }},
        // images, pixels, channels, groups; eps; x, weight, bias, y, mean, rstd, scratch
        {"group_norm", 4, 1, 7, writes({3, 4, 5, 6}), nullptr, check_group_norm, [](const Arguments& a) {
            const int64_t* n = a.integers;
            float* const* p = a.operands;
            group_norm_kernels().group_norm(a.on, {n[0], n[1], n[2], n[3]}, p[0], p[1], p[2], a.numbers[0], p[3], p[4], p[5], p[6]); }},
        // rows, cols; eps; x, weight, bias, mean, var, y, scratch
        {"batch_norm_inference", 2, 1, 7, writes({5, 6}), nullptr, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            float* const* p = a.operands;
            norm_kernels().batch_norm_inference(a.on, n[0], n[1], p[0], p[1], p[2], p[3], p[4], a.numbers[0], p[5], p[6]); }},
        // images, channels, strides of x (image, row, pixel), the bands of rows and of columns; x, y
        {"max_pool", -1, 0, 2, writes({1}), nullptr, check_max_pool, [](const Arguments& a) {
            const PoolOf pool(a);
            pooling().max_pool(a.on, a.integers[0], a.integers[1], pool.rows, pool.columns, pool.x, pool.x, a.operands[1]); }},
        // the same integers; the weights of the rows, then of the columns; x, y
        {"resample", -1, -1, 2, writes({1}), nullptr, check_resample, [](const Arguments& a) {
            PoolOf pool(a);
            pool.columns.weight += pool.rows.start[pool.rows.outputs];
            pooling().resample(a.on, a.integers[0], a.integers[1], pool.rows, pool.columns, pool.x, a.operands[1]); }},
        // images, height, width, in, out, kernel, stride, padding, strides of x, steps; x, packed weights, y, scratch, one for
        // each bias and add
        {"conv", -1, 0, -1, writes({2, 3}), nullptr, check_conv, run_conv},
        // images, height, width, in, out, padding, outputs of a tile, tiles at a time, strides of x, steps; the same operands
        {"winograd_conv", -1, 0, -1, writes({2, 3}), nullptr, check_winograd, run_winograd},
        // images, height, width, in, out, kernel, stride, padding, strides of g; g, weights (K, K, in, out), dx, scratch
        {"conv_input_gradient", 12, 0, 4, writes({2, 3}), nullptr, check_transposed, [](const Arguments& a) {
            const int64_t* n = a.integers;
            const Map g{a.operands[0], {n[8], n[9], n[10], n[11]}};
            conv().direct_input_gradient(a.on, {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]}, g, a.operands[1], a.operands[2],
                                         a.operands[3]); }},
        // images, height, width and channels of y, channels of x, kernel, stride, padding, strides of x, steps; the same operands
        {"transposed_conv", -1, 0, -1, writes({2, 3}), nullptr, check_conv, run_transposed},
        // images, height, width and channels of y, channels of x, stride, padding, outputs of a tile, tiles at a time, strides of x,
        // steps; the same operands
        {"winograd_transposed", -1, 0, -1, writes({2, 3}), nullptr, check_winograd_transposed, run_winograd_transposed},
        // images, height, width, channels, kernel, stride, padding; windows, y
        {"add_windows", 7, 0, 2, writes({1}), nullptr, check_windows, [](const Arguments& a) {
            const int64_t* n = a.integers;
            conv().add_windows(a.on, {n[0], n[1], n[2], n[3], 1, n[4], n[5], n[6]}, a.operands[0], a.operands[1]); }},
        // count, cols, rows; ids of the dtype that the functor names, weight, y
        {"lookup", 3, 0, 3, writes({2}), id_dtype, nullptr, run_lookup},
        // count, first; y of the dtype that the functor names
        {"iota", 2, 0, 1, writes({0}), place_dtype, nullptr, run_iota},
        // count, key; counter, whole numbers of 64 bits, y
        {"random", 2, 0, 2, writes({1}), nullptr, nullptr, [](const Arguments& a) {
            const auto* counter = reinterpret_cast<const int64_t*>(a.operands[0]);
            sequence_kernels().random(a.on, a.integers[0], a.integers[1], counter, a.operands[1]); }},
        // steps, batch, hidden; gates, h0, c0, weights, h, cells, activated gates, scratch
        {"lstm", 3, 0, 8, writes({4, 5, 6, 7}), nullptr, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            float* const* p = a.operands;
            sequence_kernels().lstm(a.on, n[0], n[1], n[2], p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]); }},
        // steps, batch, hidden; gates, h0, weights, bias, h, activated gates, scratch
        {"gru", 3, 0, 7, writes({4, 5, 6}), nullptr, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            float* const* p = a.operands;
            sequence_kernels().gru(a.on, n[0], n[1], n[2], p[0], p[1], p[2], p[3], p[4], p[5], p[6]); }},
        // steps, batch, hidden, whether relu; gates, h0, weights, h, scratch
        {"rnn", 4, 0, 5, writes({3, 4}), nullptr, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            float* const* p = a.operands;
            sequence_kernels().rnn(a.on, n[0], n[1], n[2], n[3] != 0, p[0], p[1], p[2], p[3], p[4]); }},
        // batch, heads, queries, keys, depth, whether causal, strides (batch, head, row) of q, k, v, y; scale; q, k, v, y,
        // log sums, scratch
        {"attention", 18, 1, 6, writes({3, 4, 5}), nullptr, nullptr, run_attention},
        // rows, count; first of the dtype that the functor names, y of the same
        {"positions", 2, 0, 2, writes({1}), place_dtype, nullptr, run_positions},
        // batch, steps, slots, context, floats of a position; cache, new, slot and position of the dtype that the functor
        // names, y, which may be the cache
        {"cache_write", 5, 0, 5, writes({4}), place_dtype, nullptr, run_cache_write},
        // batch, heads, steps, depth, slots, context, strides (batch, head, row) of q, y; scale; q, keys, values, slot,
        // position, y, scratch
        {"cached_attention", 12, 1, 7, writes({5, 6}), place_dtype, nullptr, run_cached_attention},
        // rows, depth, columns, steps; x, packed weights, y, one for each bias and add
        {"linear", -1, 0, -1, writes({2}), nullptr, check_linear, run_linear},
    };
}

}  // namespace

Bands bands_of(const int64_t* integers, const float* weights) {
    return {integers[0], integers[1], integers + 2, integers + 2 + integers[0], weights};
}

int64_t check_bands(const Draft& draft, std::size_t& from, bool full) {
    Sizes integers{draft.known(from, "the number of outputs", 0), draft.known(from + 1, "the size of an axis", 0)};
    const auto outputs = static_cast<std::size_t>(integers[0]), count = 2 * outputs + 3;
    for (std::size_t i = 2; i < count; ++i) integers.push_back(draft.known(from + i, "a place in a window", 0));
    from += count;
    const Bands bands = bands_of(integers.data(), nullptr);
    const std::string fault = fault_of(bands, bands.start[outputs], full);
    if (!fault.empty()) draft.refuse(fault);
    return bands.start[outputs];
}

Loops loops_of(const Arguments& a) {
    const int64_t rank = a.integers[0], *shape = a.integers + 1;
    Loops loops{static_cast<int>(rank), shape, {}};
    for (int64_t k = 0; k < a.operand_count; ++k) loops.stride[k] = shape + (k + 1) * rank;
    return loops;
}

const std::vector<Kernel>& program_kernels() {
    static const std::vector<Kernel> kernels = [] {
        std::vector<Kernel> all = float_kernels();
        for (const auto& more : {element_kernels(), grouped_kernels(), byte_kernels()}) all.insert(all.end(), more.begin(), more.end());
        return all;
    }();
    return kernels;
}

}  // namespace nd
