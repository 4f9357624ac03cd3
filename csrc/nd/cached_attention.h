// Attention of new queries over the keys and values of a cache (cache.h): y = softmax(scale q k^T) v, each query over what its
// slot holds up to its own place.
//
// A score is one chain over the depth; the weights of a query are added up in the 16 logical lanes of rows.h, key j in lane
// j % 16; an output is one chain over the keys. So the two ways in which queries are taken give the same bits: one alone, over
// a few keys of all heads at a time, as memory has them, for that is what it waits for; and 16 of a head together.
#pragma once
#include "cache.h"
#include "math.h"
#include "product.h"

namespace nd { namespace ND_ISA {

constexpr int64_t kTogether = kBlock;       // queries of a head that are taken together
constexpr int64_t kFewSteps = 4;            // fewer new queries than these are taken one by one
constexpr int64_t kKeysAtOnce = 2 * kBlock;  // of each head, that a query alone meets at one time

// The keys or values of a slot, from some head on: head h of key j begins at p + j * step + h * depth.
struct Kept {
    const float* p;
    int64_t step, depth;
    ND_INLINE const float* at(int64_t j, int64_t h = 0) const { return p + j * step + h * depth; }
    // Asks for `count` rows of a head.
    ND_INLINE void prefetch(int64_t j, int64_t count, int64_t h) const {
        for (int64_t i = j; i < j + count; ++i)
            for (int64_t c = 0; c < depth; c += kBlock) __builtin_prefetch(at(i, h) + c, 0, 2);
    }
};

// scores[h][j] of one query and `seen` keys, for `heads` heads whose queries, scaled, are q[h][depth].
inline void scores_alone(const Kept& keys, int64_t seen, int64_t heads, const float* q, float* scores, int64_t context, float* packed) {
    const int64_t depth = keys.depth, block = depth * kBlock;
    for (int64_t j = 0; j < seen; j += kKeysAtOnce)
        for (int64_t h = 0; h < heads; ++h) {
            const int64_t count = min(kKeysAtOnce, seen - j);
            keys.prefetch(j + kKeysAtOnce, min(kKeysAtOnce, seen - j - count), h);
            for (int64_t i = 0; i < kKeysAtOnce; i += kBlock)
                pack_block({keys.at(j + i, h), 1, keys.step}, depth, max<int64_t>(0, min<int64_t>(kBlock, count - i)), packed + i * depth);
            tile<1, kKeysAtOnce / kBlock>(depth, RowsLeft<1>{{q + h * depth}}, {packed, kBlock, block}, scores,
                                          [&](int) { return h * context + j; }, {0, count, false, true}, Keep{});
        }
}

// scores = exp(scores - max); the sum of them.
inline float weights_alone(int64_t seen, float* scores) {
    const Vec top = splat(max_of(seen, scores));
    Vec part[kParts] = {};
    each_vector(seen, [&](int64_t j, auto count) {
        const Vec e = exp_normal(load_some(scores + j, count) - top);
        store_some(scores + j, e, count);
        part[j / kLanes % kParts] += first_lanes(e, count);
    });
    float lane[kSumLanes];
    std::memcpy(lane, part, sizeof lane);
    return sum_lanes(lane);
}

// y[h] = sum over the keys of weights[h][j] values[j].
inline void values_alone(const Kept& values, int64_t seen, int64_t heads, const float* weights, int64_t context, float* tail, float* y,
                         int64_t head) {
    const int64_t depth = values.depth;
    for (int64_t j = 0; j < seen; j += kKeysAtOnce)
        for (int64_t h = 0; h < heads; ++h) {
            const int64_t count = min(kKeysAtOnce, seen - j);
            values.prefetch(j + kKeysAtOnce, min(kKeysAtOnce, seen - j - count), h);
            const Right right = in_place(count, depth, values.at(j, h), values.step, tail);
            sweep<1>(count, RowsLeft<1>{{weights + h * context + j}}, right, 0, 0, ceil_div(depth, kBlock), y, h * head, 0,
                     {0, 0, j > 0, true}, depth, Keep{});
        }
}

// One query of `heads` heads, whose rows of q and y begin `q_head` and `y_head` floats apart.
inline void attend_alone(const Kept& keys, const Kept& values, int64_t seen, int64_t heads, float scale, const float* q, int64_t q_head,
                         float* y, int64_t y_head, int64_t context, float* scratch) {
    const int64_t depth = keys.depth;
    float *scaled = scratch, *packed = scaled + heads * depth, *scores = packed + kKeysAtOnce * depth, *tail = scores + heads * context;
    for (int64_t h = 0; h < heads; ++h)
        for (int64_t c = 0; c < depth; ++c) scaled[h * depth + c] = q[h * q_head + c] * scale;
    scores_alone(keys, seen, heads, scaled, scores, context, packed);
    float* share = scaled;  // which are not needed any more
    for (int64_t h = 0; h < heads; ++h) share[h] = 1.0f / weights_alone(seen, scores + h * context);
    values_alone(values, seen, heads, scores, context, tail, y, y_head);
    for (int64_t h = 0; h < heads; ++h)
        for (int64_t c = 0; c < depth; ++c) y[h * y_head + c] *= share[h];
}

// scores[key][query] = exp(score - max) of 16 queries, of which query i sees the first `seen` + i keys of `all`; the sums.
inline void weights_together(int64_t seen, int64_t all, float* scores, float* sums) {
    for (int64_t j = seen; j < all; ++j)
        for (int64_t i = 0; i <= j - seen; ++i) scores[j * kTogether + i] = -__builtin_inff();
    for (int64_t c = 0; c < kTogether; c += kLanes) {
        Vec top = splat(-__builtin_inff()), part[kSumLanes] = {};
        for (int64_t j = 0; j < all; ++j) top = larger(load(scores + j * kTogether + c), top);
        for (int64_t j = 0; j < all; ++j) {
            float* at = scores + j * kTogether + c;
            const Vec e = exp_normal(load(at) - top);
            store(at, e);
            part[j % kSumLanes] += e;
        }
        for (int l = kSumLanes / 2; l > 2; l /= 2)  // as sum_lanes
            for (int i = 0; i < l; ++i) part[i] += part[i + l];
        store(sums + c, (part[0] + part[2]) + (part[1] + part[3]));
    }
}

// `count` <= 16 queries of one head, q and y with rows `q_row` and `y_row` apart; the first sees `seen` keys, each next one more.
inline void attend_together(const Kept& keys, const Kept& values, int64_t seen, int64_t count, float scale, const float* q, int64_t q_row,
                            float* y, int64_t y_row, float* scratch) {
    const int64_t depth = keys.depth, all = seen + count - 1;
    float *packed = scratch, *scores = packed + depth * kTogether, *tail = scores + all * kTogether, sums[kTogether];
    pack_block({q, 1, q_row}, depth, count, packed);
    for (int64_t i = 0; i < depth * kTogether; i += kLanes) store(packed + i, load(packed + i) * splat(scale));
    small_product(all, kTogether, depth, {keys.p, keys.step, 1}, packed_right(depth, kTogether, packed), scores, kTogether, false);
    weights_together(seen, all, scores, sums);
    const Right right = in_place(all, depth, values.p, values.step, tail);
    small_product(count, depth, seen, {scores, 1, kTogether}, right, y, y_row, false);  // what all of them see
    for (int64_t i = 0; i < count; ++i) {
        if (i > 0) {  // and what it sees besides
            const ColumnsLeft weights{scores + seen * kTogether + i, kTogether};
            sweep<1>(i, weights, right, seen, 0, ceil_div(depth, kBlock), y, i * y_row, 0, {0, 0, true, true}, depth, Keep{});
        }
        const float share = 1.0f / sums[i];
        for (int64_t c = 0; c < depth; ++c) y[i * y_row + c] *= share;
    }
}

// Floats of scratch: for each thread the queries, scores and packed rows of either way.
constexpr int64_t cached_attention_scratch(int64_t heads, int64_t depth, int64_t context, int threads) {
    return threads * (max(heads, kTogether) + kKeysAtOnce) * (depth + context + kBlock);
}

// y[b][h][i] = the attention of q[b][h][i] over positions 0..position[b] + i of slot[b]; q and y (batch, heads, steps, depth).
template <class Id>
void cached_attention(const Executor& executor, const CacheShape& s, const Heads<const float>& q, const float* keys,
                      const float* values, const Id* slot, const Id* position, const Heads<float>& y, float* scratch) {
    if (s.depth == 0 || s.heads == 0) return;
    const int64_t step = s.heads * s.depth, room = cached_attention_scratch(s.heads, s.depth, s.context, 1);
    const Executor on = worthwhile(executor, s.batch * s.heads * s.steps * s.context * s.depth);
    const int64_t queries = s.steps < kFewSteps ? 1 : kTogether, blocks = ceil_div(s.steps, queries);
    // Where there are rows enough for all threads, a query alone takes all heads in one task.
    const int64_t parts = queries > 1 ? s.heads : min(s.heads, ceil_div(on.threads, max<int64_t>(1, s.batch * s.steps)));
    balance(on, s.batch * parts * blocks, [&](int64_t worker, int64_t task) {
        const int64_t i = task % blocks * queries, part = task / blocks % parts, b = task / blocks / parts;
        const int64_t h = part_begin(s.heads, parts, part), heads = part_begin(s.heads, parts, part + 1) - h;
        const int64_t from = place_of(slot[b], s.slots), first = place_of(position[b], s.context);
        const int64_t end = min(s.steps, i + queries), inside = from < 0 || first < 0 ? i : max(i, min(end, s.context - first));
        for (int64_t outside = inside; outside < end; ++outside)
            for (int64_t k = 0; k < heads; ++k)
                for (int64_t c = 0; c < s.depth; ++c) y.at(b, h + k)[outside * y.row + c] = __builtin_nanf("");
        if (inside == i) return;
        const int64_t start = from * s.context * step + h * s.depth;
        const Kept k{keys + start, step, s.depth}, v{values + start, step, s.depth};
        const float* query = q.at(b, h) + i * q.row;
        float *to = y.at(b, h) + i * y.row, *memory = scratch + worker * room;
        if (queries == 1) attend_alone(k, v, first + i + 1, heads, s.scale, query, q.head, to, y.head, s.context, memory);
        else attend_together(k, v, first + i + 1, inside - i, s.scale, query, q.row, to, y.row, memory);
    });
}

}}  // namespace nd::ND_ISA
