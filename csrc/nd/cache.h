// Decoding with a cache of keys or values: memory (slots, context, heads, depth) in which each slot holds one sequence. Row b
// of a call goes on at `position[b]` of `slot[b]`. A row that names no place inside writes nothing, reads nothing and gives
// NaN, so any numbers are safe. What a row gives depends on that row and its slot alone: not on the batch, on which slot it
// is, on threads, or on how a sequence was cut into calls.
#pragma once
#include "arguments.h"
#include "gemm.h"
#include "softmax.h"

namespace nd { namespace ND_ISA {

// `id` where it is in 0..limit-1, else -1: also for NaN.
template <class Id>
ND_INLINE int64_t place_of(Id id, int64_t limit) { return id >= Id(0) && id < Id(limit) ? int64_t(id) : -1; }

// y[row][i] = first[row] + i.
template <class Rows, class Count, class Id>
void positions(const Executor& executor, Rows rows, Count count, const Id* first, Id* y) {
    parallel_rows(executor, rows, count, [&](int64_t row) {
        for (int64_t i = 0; i < count; ++i) y[row * count + i] = first[row] + Id(i);
    });
}

// y = cache, with y[slot[b]][position[b] + t] = fresh[b][t], each `width` floats. y may be the cache itself: then nothing but
// what is new is written. Rows are written in order, so the last of those that name one place stays.
template <class Batch, class Steps, class Slots, class Context, class Width, class Id>
void cache_write(const Executor& executor, Batch batch, Steps steps, Slots slots, Context context, Width width,
                 const float* cache, const float* fresh, const Id* slot, const Id* position, float* y) {
    if (width == 0) return;
    const auto bytes = sizeof(float) * static_cast<std::size_t>(width);
    if (y != cache)
        parallel_rows(executor, slots * context, width, [&](int64_t row) { std::memcpy(y + row * width, cache + row * width, bytes); });
    for (int64_t b = 0; b < batch; ++b) {
        const int64_t s = place_of(slot[b], slots), first = place_of(position[b], context);
        if (s < 0 || first < 0 || steps == 0) continue;
        const auto count = static_cast<std::size_t>(min<int64_t>(steps, context - first));
        std::memcpy(y + (s * context + first) * width, fresh + b * steps * width, count * bytes);
    }
}

// y = softmax(scale q k^T) v of one query and the first `seen` keys and values, `step` apart. Each sum has one fixed order.
ND_INLINE void attend(int64_t seen, int64_t depth, int64_t step, const float* q, const float* k, const float* v, float scale,
                      float* y, float* scores) {
    for (int64_t j = 0; j < seen; ++j)
        scores[j] = scale * sum_of(depth, [&](int64_t c, auto n) { return load_some(q + c, n) * load_some(k + j * step + c, n); });
    const float share = 1.0f / exp_row(seen, scores, max_of(seen, scores), scores);
    each_vector(depth, [&](int64_t c, auto n) {
        Vec sum[kStreams] = {};
        int64_t j = 0;
        for (; j + kStreams <= seen; j += kStreams)
            for (int s = 0; s < kStreams; ++s) sum[s] = fma(splat(scores[j + s]), load_some(v + (j + s) * step + c, n), sum[s]);
        for (; j < seen; ++j) sum[0] = fma(splat(scores[j]), load_some(v + j * step + c, n), sum[0]);
        store_some(y + c, ((sum[0] + sum[1]) + (sum[2] + sum[3])) * splat(share), n);
    });
}

constexpr int64_t cached_attention_scratch(int64_t context, int threads) { return threads * context; }

// y[b][h][i] = the attention of q[b][h][i] over positions 0..position[b] + i of slot[b]; q and y (batch, heads, steps, depth).
template <class Id>
void cached_attention(const Executor& executor, const CacheShape& s, const Heads<const float>& q, const float* keys,
                      const float* values, const Id* slot, const Id* position, const Heads<float>& y, float* scratch) {
    if (s.depth == 0) return;
    const int64_t step = s.heads * s.depth, rows = s.batch * s.heads * s.steps;
    balance(worthwhile(executor, rows * s.context * s.depth), rows, [&](int64_t worker, int64_t task) {
        const int64_t i = task % s.steps, h = task / s.steps % s.heads, b = task / s.steps / s.heads;
        const int64_t from = place_of(slot[b], s.slots), first = place_of(position[b], s.context);
        float* to = y.at(b, h) + i * y.row;
        if (from < 0 || first < 0 || first + i >= s.context) {
            for (int64_t c = 0; c < s.depth; ++c) to[c] = __builtin_nanf("");
            return;
        }
        const int64_t start = from * s.context * step + h * s.depth;
        attend(first + i + 1, s.depth, step, q.at(b, h) + i * q.row, keys + start, values + start, s.scale, to,
               scratch + worker * s.context);
    });
}

}}  // namespace nd::ND_ISA
