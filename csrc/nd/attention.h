// Attention out = softmax(scale q k^T) v, causal or full, in blocks of queries: scores live in scratch only, never as a
// (queries, keys) matrix, and the gradient computes them again. Scores are kept transposed, (keys, 32 queries), so that
// vectors run over queries and sums over keys need no horizontal step.
#pragma once
#include "arguments.h"
#include "math.h"
#include "product.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

constexpr int64_t kQueries = 32;                  // queries per block: two packed blocks of 16 columns
constexpr int kQueryVecs = kQueries / kLanes;

// How many keys some query of the block that starts at `first` sees.
template <class Shape>
ND_INLINE int64_t visible_keys(const Shape& s, int64_t first) {
    return s.causal ? min<int64_t>(s.keys, min<int64_t>(s.queries, first + kQueries) + (s.keys - s.queries)) : int64_t(s.keys);
}

// Up to 32 rows of p, transposed and multiplied by `scale`, as a right operand (depth, 32); zeros for rows that are not there.
inline Right pack_transposed(int64_t rows, int64_t depth, const float* p, int64_t step, float scale, float* packed) {
    for (int64_t block = 0; block < kQueries / kBlock; ++block) {
        const int64_t count = max<int64_t>(0, min<int64_t>(kBlock, rows - block * kBlock));
        pack_block({p + block * kBlock * step, 1, step}, depth, count, packed + block * kBlock * depth);
    }
    for (int64_t i = 0; i < kQueries * depth; i += kLanes) store(packed + i, load(packed + i) * splat(scale));
    return packed_right(depth, kQueries, packed);
}

// scores[key][query] = k q^T scale, -inf where the query does not see the key.
template <class Shape>
ND_INLINE void attention_scores(const Shape& s, int64_t first, int64_t visible, const float* k, int64_t k_row,
                                const Right& queries, float* scores) {
    small_product(visible, kQueries, s.depth, {k, k_row, 1}, queries, scores, kQueries, false);
    if (!s.causal) return;
    const int64_t sees = first + (s.keys - s.queries);  // the last key that the block's first query sees
    for (int64_t key = sees + 1; key < visible; ++key)
        for (int64_t query = 0; query < min<int64_t>(kQueries, key - sees); ++query)
            scores[key * kQueries + query] = -__builtin_inff();
}

// scores = exp(scores - max over keys); the sums over keys and the log-sum-exps of the 32 queries.
inline void attention_softmax(int64_t visible, float* scores, float* sum, float* lse) {
    Vec top[kQueryVecs], total[kQueryVecs] = {};
    for (Vec& v : top) v = splat(-__builtin_inff());
    for (int64_t key = 0; key < visible; ++key)
        for (int c = 0; c < kQueryVecs; ++c) {
            const Vec v = load(scores + key * kQueries + c * kLanes);
            top[c] = v > top[c] ? v : top[c];
        }
    for (int64_t key = 0; key < visible; ++key)
        for (int c = 0; c < kQueryVecs; ++c) {
            float* at = scores + key * kQueries + c * kLanes;
            const Vec e = exp(load(at) - top[c]);
            total[c] += e;
            store(at, e);
        }
    for (int c = 0; c < kQueryVecs; ++c) {
        store(sum + c * kLanes, total[c]);
        store(lse + c * kLanes, top[c] + log(total[c]));
    }
}

// Floats of scratch of one worker, and of them all.
constexpr int64_t attention_worker(int64_t keys, int64_t depth) {
    return kQueries * depth + keys * (kQueries + kBlock) + 2 * kQueries;
}
constexpr int64_t attention_scratch(int64_t keys, int64_t depth, int threads) { return threads * attention_worker(keys, depth); }

// out as q, lse (batch, heads, queries).
template <class Shape>
void attention(const Executor& executor, const Shape& s, const Heads<const float>& q, const Heads<const float>& k,
               const Heads<const float>& v, const Heads<float>& out, float* lse, float* scratch) {
    const int64_t blocks = ceil_div(s.queries, kQueries);
    balance(executor, s.batch * s.heads * blocks, [&](int64_t worker, int64_t task) {
        const int64_t head = task / blocks, b = head / s.heads, h = head % s.heads, first = task % blocks * kQueries;
        const int64_t count = min<int64_t>(kQueries, s.queries - first), visible = visible_keys(s, first);
        float* packed = scratch + worker * attention_worker(s.keys, s.depth);
        float *scores = packed + kQueries * s.depth, *tail = scores + s.keys * kQueries, *sum = tail + s.keys * kBlock;
        const Right queries = pack_transposed(count, s.depth, q.at(b, h) + first * q.row, q.row, s.scale, packed);
        attention_scores(s, first, visible, k.at(b, h), k.row, queries, scores);
        attention_softmax(visible, scores, sum, sum + kQueries);
        std::memcpy(lse + head * s.queries + first, sum + kQueries, sizeof(float) * count);
        const Right values = in_place(visible, s.depth, v.at(b, h), v.row, tail);
        float* to = out.at(b, h) + first * out.row;
        small_product(count, s.depth, visible, {scores, 1, kQueries}, values, to, out.row, false);
        for (int64_t i = 0; i < count; ++i) {
            const Vec share = splat(1.0f / sum[i]);
            each_vector(s.depth, [&](int64_t j, auto n) { store_some(to + i * out.row + j, load_some(to + i * out.row + j, n) * share, n); });
        }
    });
}

constexpr int64_t attention_gradient_worker(int64_t keys, int64_t depth) {
    return 2 * kQueries * depth + keys * (2 * kQueries + kBlock) + 2 * kQueries * kBlock + 2 * kQueries;
}
constexpr int64_t attention_gradient_scratch(int64_t keys, int64_t depth, int threads) {
    return threads * attention_gradient_worker(keys, depth);
}

// scores = p = exp(scores - lse); ds = p (dp - delta) scale, in place of dp = g v^T; delta = sum(g out) of each query.
inline void attention_score_gradient(int64_t visible, float scale, const float* lse, const float* delta, float* scores, float* dp) {
    for (int64_t key = 0; key < visible; ++key)
        for (int c = 0; c < kQueryVecs; ++c) {
            const int64_t at = key * kQueries + c * kLanes;
            const Vec p = exp(load(scores + at) - load(lse + c * kLanes));
            store(scores + at, p);
            store(dp + at, p * (load(dp + at) - load(delta + c * kLanes)) * splat(scale));
        }
}

// dv = p^T g, dq = ds k, dk = ds^T q for one head, block of queries by block of queries.
template <class Shape>
ND_INLINE void attention_head_gradient(const Shape& s, int64_t b, int64_t h, const AttentionGradientInputs& in,
                                       const AttentionGradientOutputs& to, float* scratch) {
    float *packed_q = scratch, *packed_g = packed_q + kQueries * s.depth, *scores = packed_g + kQueries * s.depth;
    float *dp = scores + s.keys * kQueries, *tail_k = dp + s.keys * kQueries, *tail_q = tail_k + s.keys * kBlock;
    float *tail_g = tail_q + kQueries * kBlock, *lse = tail_g + kQueries * kBlock, *delta = lse + kQueries;
    const float *k = in.k.at(b, h), *v = in.v.at(b, h), *all_lse = in.lse + (b * s.heads + h) * s.queries;
    float *dk = to.dk.at(b, h), *dv = to.dv.at(b, h);
    for (int64_t key = 0; key < s.keys; ++key) {
        std::memset(dk + key * to.dk.row, 0, sizeof(float) * s.depth);
        std::memset(dv + key * to.dv.row, 0, sizeof(float) * s.depth);
    }
    const Right keys = in_place(s.keys, s.depth, k, in.k.row, tail_k);
    for (int64_t first = 0; first < s.queries; first += kQueries) {
        const int64_t count = min<int64_t>(kQueries, s.queries - first), visible = visible_keys(s, first);
        const float *q = in.q.at(b, h) + first * in.q.row, *g = in.g.at(b, h) + first * in.g.row;
        const float* out = in.out.at(b, h) + first * in.out.row;
        std::memset(lse, 0, sizeof(float) * 2 * kQueries);
        std::memcpy(lse, all_lse + first, sizeof(float) * count);
        for (int64_t i = 0; i < count; ++i)
            delta[i] = sum_of(s.depth, [&](int64_t j, auto n) {
                return load_some(g + i * in.g.row + j, n) * load_some(out + i * in.out.row + j, n);
            });
        attention_scores(s, first, visible, k, in.k.row, pack_transposed(count, s.depth, q, in.q.row, s.scale, packed_q), scores);
        small_product(visible, kQueries, s.depth, {v, in.v.row, 1}, pack_transposed(count, s.depth, g, in.g.row, 1, packed_g), dp,
                        kQueries, false);
        attention_score_gradient(visible, s.scale, lse, delta, scores, dp);
        const Right gradients = in_place(count, s.depth, g, in.g.row, tail_g), queries = in_place(count, s.depth, q, in.q.row, tail_q);
        small_product(visible, s.depth, count, {scores, kQueries, 1}, gradients, dv, to.dv.row, true);
        small_product(visible, s.depth, count, {dp, kQueries, 1}, queries, dk, to.dk.row, true);
        small_product(count, s.depth, visible, {dp, 1, kQueries}, keys, to.dq.at(b, h) + first * to.dq.row, to.dq.row, false);
    }
}

template <class Shape>
void attention_gradient(const Executor& executor, const Shape& s, const AttentionGradientInputs& in,
                        const AttentionGradientOutputs& to, float* scratch) {
    balance(executor, s.batch * s.heads, [&](int64_t worker, int64_t head) {
        attention_head_gradient(s, head / s.heads, head % s.heads, in, to, scratch + worker * attention_gradient_worker(s.keys, s.depth));
    });
}

}}  // namespace nd::ND_ISA
