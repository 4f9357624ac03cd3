// Attention out = softmax(scale q k^T) v, causal or full, in blocks of queries: scores live in scratch only, never as a
// (queries, keys) matrix, and the gradient computes them again. Scores are kept transposed, (keys, queries of the block), so
// that vectors run over queries and sums over keys need no horizontal step.
#pragma once
#include "arguments.h"
#include "math.h"
#include "product.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// Queries of a block: so many that scores and their gradients stay in the second-level cache.
constexpr int64_t block_queries(int64_t keys) { return keys <= 512 ? 64 : 32; }

// A block of `count` queries from `first` on, in groups: what no query of a group sees is not computed for it.
template <class Shape>
struct QueryBlock {
    const Shape& s;
    int64_t first, most = block_queries(s.keys), count = min<int64_t>(most, s.queries - first);
    int64_t group = s.causal ? kBlock : most, groups = ceil_div(count, group);

    ND_INLINE int64_t columns(int64_t c) const { return round_up(count, kBlock) - c * group; }  // from group c on
    ND_INLINE int64_t rows(int64_t c) const { return min(group, count - c * group); }            // of group c
    // How many keys some query of group c sees.
    ND_INLINE int64_t visible(int64_t c) const {
        return s.causal ? min(first + c * group + group, int64_t(s.queries)) + (s.keys - s.queries) : int64_t(s.keys);
    }
    // Calls f(from, to, c): the keys [from, to) are seen by the groups from c on.
    template <class F>
    ND_INLINE void for_keys(F&& f) const {
        for (int64_t c = 0, from = 0; c < groups; from = visible(c), ++c) f(from, visible(c), c);
    }
};

// The rows of p of a block, transposed and multiplied by `scale`, as a right operand (depth, queries); zeros for rows that
// are not there.
template <class Shape>
ND_INLINE void pack_transposed(const QueryBlock<Shape>& block, const float* p, int64_t step, float scale, float* packed) {
    const int64_t depth = block.s.depth, size = block.columns(0) * depth;
    for (int64_t i = 0; i < block.count; i += kBlock)
        pack_block({p + i * step, 1, step}, depth, min<int64_t>(kBlock, block.count - i), packed + i * depth);
    for (int64_t i = 0; i < size; i += kLanes) store(packed + i, load(packed + i) * splat(scale));
}

// y[key][query] = sum over the depth of k q, where some query of the group sees the key.
template <class Shape>
ND_INLINE void key_products(const QueryBlock<Shape>& block, const float* k, int64_t row, const float* packed, float* y) {
    const int64_t depth = block.s.depth;
    block.for_keys([&](int64_t from, int64_t to, int64_t c) {
        const int64_t n = block.columns(c), at = c * block.group;
        small_product(to - from, n, depth, {k + from * row, row, 1}, packed_right(depth, n, packed + at * depth),
                      y + from * block.most + at, block.most, false);
    });
}

// scores[key][query] = k q^T scale, -inf where the query does not see the key.
template <class Shape>
ND_INLINE void attention_scores(const QueryBlock<Shape>& block, const float* k, int64_t row, const float* packed, float* scores) {
    key_products(block, k, row, packed, scores);
    if (!block.s.causal) return;
    const int64_t sees = block.first + (block.s.keys - block.s.queries);  // the last key that the block's first query sees
    block.for_keys([&](int64_t from, int64_t to, int64_t c) {
        const int64_t first = c * block.group;
        for (int64_t key = max(from, sees + first + 1); key < to; ++key)
            for (int64_t query = first; query < min(first + block.group, key - sees); ++query)
                scores[key * block.most + query] = -__builtin_inff();
    });
}

// scores = exp(scores - max over keys); the sums over keys and the log-sum-exps of each query.
template <class Shape>
ND_INLINE void attention_softmax(const QueryBlock<Shape>& block, float* scores, float* sum, float* lse) {
    for (int64_t at = 0; at < block.columns(0); at += kBlock) {
        const int64_t visible = block.visible(at / block.group);
        Vec top[kBlockVecs], total[kBlockVecs] = {};
        for (Vec& v : top) v = splat(-__builtin_inff());
        for (int64_t key = 0; key < visible; ++key)
#pragma GCC unroll 16
            for (int j = 0; j < kBlockVecs; ++j) {
                const Vec v = load(scores + key * block.most + at + j * kLanes);
                top[j] = v > top[j] ? v : top[j];
            }
        for (int64_t key = 0; key < visible; ++key)
#pragma GCC unroll 16
            for (int j = 0; j < kBlockVecs; ++j) {
                float* to = scores + key * block.most + at + j * kLanes;
                const Vec e = exp_normal(load(to) - top[j]);
                total[j] += e;
                store(to, e);
            }
#pragma GCC unroll 16
        for (int j = 0; j < kBlockVecs; ++j) {
            store(sum + at + j * kLanes, total[j]);
            store(lse + at + j * kLanes, top[j] + log(total[j]));
        }
    }
}

// y[query] = sum over the keys of scores[key][query] v[key], of each group what it sees.
template <class Shape>
ND_INLINE void value_products(const QueryBlock<Shape>& block, const float* scores, const Right& v, float* y, int64_t row) {
    for (int64_t c = 0; c < block.groups; ++c)
        small_product(block.rows(c), block.s.depth, block.visible(c), {scores + c * block.group, 1, block.most}, v,
                      y + c * block.group * row, row, false);
}

// Keys or values of one head, one row behind the other.
struct Rows {
    const float* p;
    int64_t row;
};

// Rows that lie apart share few lines of the caches: more than one block of queries reads a copy in `out` instead.
constexpr bool copies_rows(int64_t queries, int64_t keys) { return queries > block_queries(keys); }
template <class Shape>
ND_INLINE Rows close_rows(const Shape& s, const Heads<const float>& x, int64_t b, int64_t h, float* out) {
    const float* p = x.at(b, h);
    if (x.row == s.depth || !copies_rows(s.queries, s.keys)) return {p, x.row};
    for (int64_t key = 0; key < s.keys; ++key) std::memcpy(out + key * s.depth, p + key * x.row, sizeof(float) * s.depth);
    return {out, s.depth};
}

// Floats of scratch of one worker, and of them all.
constexpr int64_t attention_worker(int64_t queries, int64_t keys, int64_t depth) {
    return block_queries(keys) * (depth + keys + 2) + keys * (kBlock + (copies_rows(queries, keys) ? 2 * depth : 0));
}
constexpr int64_t attention_scratch(int64_t queries, int64_t keys, int64_t depth, int threads) {
    return threads * attention_worker(queries, keys, depth);
}

// One block of queries of a head.
template <class Shape>
ND_INLINE void attention_block(const Shape& s, const QueryBlock<Shape>& block, const float* q, int64_t q_row, const Rows& k,
                               const Right& v, float* out, int64_t out_row, float* lse, float* scratch) {
    float *packed = scratch, *scores = packed + block.most * s.depth, *sum = scores + block.most * s.keys, *sums = sum + block.most;
    pack_transposed(block, q, q_row, s.scale, packed);
    attention_scores(block, k.p, k.row, packed, scores);
    attention_softmax(block, scores, sum, sums);
    std::memcpy(lse, sums, sizeof(float) * block.count);
    value_products(block, scores, v, out, out_row);
    for (int64_t i = 0; i < block.count; ++i) {
        float* to = out + i * out_row;
        const Vec share = splat(1.0f / sum[i]);
        each_vector(s.depth, [&](int64_t j, auto n) { store_some(to + j, load_some(to + j, n) * share, n); });
    }
}

// out as q, lse (batch, heads, queries). A task is a head, or a part of its blocks where there are few heads.
template <class Shape>
void attention(const Executor& executor, const Shape& s, const Heads<const float>& q, const Heads<const float>& k,
               const Heads<const float>& v, const Heads<float>& out, float* lse, float* scratch) {
    const int64_t most = block_queries(s.keys), blocks = ceil_div(s.queries, most), heads = s.batch * s.heads;
    if (heads == 0) return;
    const int64_t parts = executor.threads > 1 ? min(blocks, ceil_div(4 * executor.threads, heads)) : 1;
    balance(executor, heads * parts, [&](int64_t worker, int64_t task) {
        const int64_t head = task / parts, part = task % parts, b = head / s.heads, h = head % s.heads;
        float *memory = scratch + worker * attention_worker(s.queries, s.keys, s.depth), *tail = memory + most * (s.depth + s.keys + 2);
        const Rows close_k = close_rows(s, k, b, h, tail + s.keys * kBlock);
        const Rows close_v = close_rows(s, v, b, h, tail + s.keys * (kBlock + s.depth));
        const Right values = in_place(s.keys, s.depth, close_v.p, close_v.row, tail);
        for (int64_t i = part_begin(blocks, parts, part); i < part_begin(blocks, parts, part + 1); ++i) {
            const QueryBlock<Shape> block{s, i * most};
            attention_block(s, block, q.at(b, h) + block.first * q.row, q.row, close_k, values,
                            out.at(b, h) + block.first * out.row, out.row, lse + head * s.queries + block.first, memory);
        }
    });
}

constexpr int64_t attention_gradient_worker(int64_t keys, int64_t depth) {
    return 2 * block_queries(keys) * (depth + keys + 1) + (block_queries(keys) + keys) * kBlock;
}
constexpr int64_t attention_gradient_scratch(int64_t keys, int64_t depth, int threads) {
    return threads * attention_gradient_worker(keys, depth);
}

// scores = p = exp(scores - lse); ds = p (dp - delta) scale, in place of dp = g v^T; delta = sum(g out) of each query.
template <class Shape>
ND_INLINE void attention_score_gradient(const QueryBlock<Shape>& block, const float* lse, const float* delta, float* scores,
                                        float* dp) {
    block.for_keys([&](int64_t from, int64_t to, int64_t c) {
        for (int64_t key = from; key < to; ++key)
            for (int64_t query = c * block.group; query < block.columns(0); query += kLanes) {
                const int64_t at = key * block.most + query;
                const Vec p = exp_normal(load(scores + at) - load(lse + query));
                store(scores + at, p);
                store(dp + at, p * (load(dp + at) - load(delta + query)) * splat(block.s.scale));
            }
    });
}

// d[key] += sum over the queries that see the key of scores[key][query] x[query].
template <class Shape>
ND_INLINE void query_products(const QueryBlock<Shape>& block, const float* scores, const Right& x, float* d, int64_t row) {
    block.for_keys([&](int64_t from, int64_t to, int64_t c) {
        const int64_t at = c * block.group;
        small_product(to - from, block.s.depth, block.count - at, {scores + from * block.most + at, block.most, 1}, x.from(at),
                      d + from * row, row, true);
    });
}

// dv = p^T g, dq = ds k, dk = ds^T q for one head, block of queries by block of queries.
template <class Shape>
ND_INLINE void attention_head_gradient(const Shape& s, int64_t b, int64_t h, const AttentionGradientInputs& in,
                                       const AttentionGradientOutputs& to, float* scratch) {
    const int64_t most = block_queries(s.keys);
    float *packed_q = scratch, *packed_g = packed_q + most * s.depth, *scores = packed_g + most * s.depth;
    float *dp = scores + most * s.keys, *lse = dp + most * s.keys, *delta = lse + most, *tail = delta + most;
    const float *k = in.k.at(b, h), *v = in.v.at(b, h), *all_lse = in.lse + (b * s.heads + h) * s.queries;
    float *dk = to.dk.at(b, h), *dv = to.dv.at(b, h);
    for (int64_t key = 0; key < s.keys; ++key) {
        std::memset(dk + key * to.dk.row, 0, sizeof(float) * s.depth);
        std::memset(dv + key * to.dv.row, 0, sizeof(float) * s.depth);
    }
    const Right keys = in_place(s.keys, s.depth, k, in.k.row, tail + most * kBlock);
    for (int64_t first = 0; first < s.queries; first += most) {
        const QueryBlock<Shape> block{s, first};
        const float *q = in.q.at(b, h) + first * in.q.row, *g = in.g.at(b, h) + first * in.g.row;
        const float* out = in.out.at(b, h) + first * in.out.row;
        std::memset(lse, 0, sizeof(float) * 2 * most);
        std::memcpy(lse, all_lse + first, sizeof(float) * block.count);
        for (int64_t i = 0; i < block.count; ++i)
            delta[i] = sum_of(s.depth, [&](int64_t j, auto n) {
                return load_some(g + i * in.g.row + j, n) * load_some(out + i * in.out.row + j, n);
            });
        pack_transposed(block, q, in.q.row, s.scale, packed_q);
        pack_transposed(block, g, in.g.row, 1, packed_g);
        attention_scores(block, k, in.k.row, packed_q, scores);
        key_products(block, v, in.v.row, packed_g, dp);
        attention_score_gradient(block, lse, delta, scores, dp);
        query_products(block, scores, in_place(block.count, s.depth, g, in.g.row, tail), dv, to.dv.row);
        query_products(block, dp, in_place(block.count, s.depth, q, in.q.row, tail), dk, to.dk.row);
        value_products(block, dp, keys, to.dq.at(b, h) + first * to.dq.row, to.dq.row);
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
