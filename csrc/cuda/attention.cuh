// Attention out = softmax(scale q k^T) v, causal or full, in one pass: a block takes 32 queries and goes through the keys 32 at a
// time, keeps the largest score and the sum of each query so far, and scales down what it has when a larger one comes. Scores
// live in shared memory only. The gradient computes them again from the log-sum-exps: once for the queries, once for the keys.
#pragma once
#include "../nd/arguments.h"
#include "columns.cuh"
#include "pointwise.cuh"
#include "softmax.cuh"

namespace nd { namespace ND_ISA {

constexpr int kSide = 32;                            // queries and keys of a tile of scores
constexpr int kPitch = kSide + 1;                    // so that columns lie in different banks
constexpr int kLanes8 = kThreads / kSide;            // threads that share a row of the tile
constexpr int kDepth = 128, kEach = kDepth / kLanes8;  // columns of a result that a block computes, and of a thread

using ScoreTile = Shared<float, kSide * kPitch>;

__device__ __forceinline__ int tile_row() { return static_cast<int>(threadIdx.x) / kLanes8; }
__device__ __forceinline__ int tile_lane() { return static_cast<int>(threadIdx.x) % kLanes8; }

// 32 rows by 32 columns of p, from row `first` and column `column` on, into shared memory; zeros outside.
__device__ __forceinline__ void load_tile(ScoreTile& to, const float* p, int64_t step, int64_t first, int64_t rows, int64_t column, int64_t columns) {
    for (int i = 0; i < kSide; i += kThreads / kSide) {
        const int row = i + static_cast<int>(threadIdx.x) / kSide, c = static_cast<int>(threadIdx.x) % kSide;
        to[row * kPitch + c] = first + row < rows && column + c < columns ? p[(first + row) * step + column + c] : 0.0f;
    }
}

// score[i] = the product of row tile_row() of a with row tile_lane() + 8 i of b, over the depth; `x` and `y` are for passing through.
__device__ inline void tile_products(const float* a, int64_t a_step, int64_t a_first, int64_t a_rows, const float* b, int64_t b_step,
                                     int64_t b_first, int64_t b_rows, int64_t depth, ScoreTile& x, ScoreTile& y, float (&score)[4]) {
    for (float& s : score) s = 0;
    for (int64_t column = 0; column < depth; column += kSide) {
        load_tile(x, a, a_step, a_first, a_rows, column, depth);
        load_tile(y, b, b_step, b_first, b_rows, column, depth);
        __syncthreads();
        for (int c = 0; c < kSide; ++c)
            for (int i = 0; i < 4; ++i) score[i] = fma(x[tile_row() * kPitch + c], y[(tile_lane() + kLanes8 * i) * kPitch + c], score[i]);
        __syncthreads();
    }
}

// The fold of a value of each of the 8 threads of a row.
template <class Fold>
__device__ __forceinline__ float row_of_tile(float v) {
    for (int step = kLanes8 / 2; step > 0; step /= 2) v = Fold::fold(v, __shfl_xor_sync(kWholeWarp, v, step));
    return v;
}

// sum[i] += weight(j) times element lane + 8 i of row first + j of p, over j < 32.
template <class Weight>
__device__ __forceinline__ void add_rows(const float* p, int64_t step, int64_t first, int64_t rows, int64_t column, int64_t depth, Weight weight,
                                         float (&sum)[kEach]) {
    for (int j = 0; j < kSide && first + j < rows; ++j) {
        const float w = weight(j);
        const float* row = p + (first + j) * step;
        for (int i = 0; i < kEach; ++i) {
            const int64_t c = column + tile_lane() + kLanes8 * i;
            if (c < depth) sum[i] = fma(w, row[c], sum[i]);
        }
    }
}
__device__ __forceinline__ void store_row(float* row, int64_t column, int64_t depth, float scale, const float (&sum)[kEach]) {
    for (int i = 0; i < kEach; ++i) {
        const int64_t c = column + tile_lane() + kLanes8 * i;
        if (c < depth) row[c] = sum[i] * scale;
    }
}

// Where a block works: a head, its tile of 32 rows, and the columns of the result from `column` on.
struct HeadTile {
    int64_t b, h, first, column;
    __device__ explicit HeadTile(int64_t heads)
        : b(blockIdx.x / heads), h(blockIdx.x % heads), first(int64_t(blockIdx.y) * kSide), column(int64_t(blockIdx.z) * kDepth) {}
};

__device__ __forceinline__ bool sees(const AttentionShape<>& s, int64_t query, int64_t key) {
    return query < s.queries && key < s.keys && (!s.causal || key <= query + s.keys - s.queries);
}

static __global__ void __launch_bounds__(kThreads) attention_kernel(AttentionShape<> s, Heads<const float> q, Heads<const float> k,
                                                                    Heads<const float> v, Heads<float> out, float* lse) {
    __shared__ ScoreTile x, y, scores;
    const HeadTile at(s.heads);
    const float *qs = q.at(at.b, at.h), *ks = k.at(at.b, at.h), *vs = v.at(at.b, at.h);
    const int64_t query = at.first + tile_row();
    float top = -__builtin_inff(), total = 0, sum[kEach] = {};
    const int64_t visible = s.causal ? min(s.keys, min(s.queries, at.first + kSide) + s.keys - s.queries) : s.keys;
    for (int64_t key = 0; key < visible; key += kSide) {
        float score[4], largest = top, part = 0;
        tile_products(qs, q.row, at.first, s.queries, ks, k.row, key, s.keys, s.depth, x, y, score);
        for (int i = 0; i < 4; ++i) {
            score[i] = sees(s, query, key + tile_lane() + kLanes8 * i) ? score[i] * s.scale : -__builtin_inff();
            largest = MaxFold::fold(largest, score[i]);
        }
        largest = row_of_tile<MaxFold>(largest);
        const float shift = largest == -__builtin_inff() ? 0.0f : largest, shrink = exp(top - shift);
        for (int i = 0; i < 4; ++i) {
            const float p = exp(score[i] - shift);
            part += p;
            scores[tile_row() * kPitch + tile_lane() + kLanes8 * i] = p;
        }
        total = fma(total, shrink, row_of_tile<SumFold>(part));
        top = largest;
        for (float& one : sum) one *= shrink;
        __syncthreads();
        add_rows(vs, v.row, key, s.keys, at.column, s.depth, [&](int j) -> float { return scores[tile_row() * kPitch + j]; }, sum);
        __syncthreads();
    }
    if (query >= s.queries) return;
    store_row(out.at(at.b, at.h) + query * out.row, at.column, s.depth, 1.0f / total, sum);
    if (at.column == 0 && tile_lane() == 0) lse[blockIdx.x * s.queries + query] = top + log(total);
}

// delta[query] = sum(g out).
struct AttentionDelta {
    int64_t heads, queries;
    Heads<const float> g, out;
    float* delta;
    template <int Threads>
    __device__ void row(int64_t row, int64_t depth) const {
        const int64_t query = row % queries, head = row / queries;
        const float *a = g.at(head / heads, head % heads) + query * g.row, *b = out.at(head / heads, head % heads) + query * out.row;
        const float sum = row_sum<Threads>(depth, [=](int64_t c) { return a[c] * b[c]; });
        if (RowGroup<Threads>().rank() == 0) delta[row] = sum;
    }
};

// A tile of p = exp(scores - lse) and ds = p (g v^T - delta) scale, for the queries from `query` and the keys from `key` on.
__device__ inline void gradient_tile(const AttentionShape<>& s, const AttentionGradientInputs& in, const float* delta, const HeadTile& at,
                                     int64_t query, int64_t key, ScoreTile& x, ScoreTile& y, ScoreTile& p, ScoreTile& ds) {
    float score[4], slope[4];
    tile_products(in.q.at(at.b, at.h), in.q.row, query, s.queries, in.k.at(at.b, at.h), in.k.row, key, s.keys, s.depth, x, y, score);
    tile_products(in.g.at(at.b, at.h), in.g.row, query, s.queries, in.v.at(at.b, at.h), in.v.row, key, s.keys, s.depth, x, y, slope);
    const int64_t mine = query + tile_row(), row = blockIdx.x * s.queries + mine;
    for (int i = 0; i < 4; ++i) {
        const int column = tile_lane() + kLanes8 * i;
        const bool seen = sees(s, mine, key + column);
        const float one = seen ? exp(score[i] * s.scale - in.lse[row]) : 0.0f;
        p[tile_row() * kPitch + column] = one;
        ds[tile_row() * kPitch + column] = seen ? one * (slope[i] - delta[row]) * s.scale : 0.0f;
    }
    __syncthreads();
}

static __global__ void __launch_bounds__(kThreads) attention_query_gradient_kernel(AttentionShape<> s, AttentionGradientInputs in,
                                                                                   const float* delta, Heads<float> dq) {
    __shared__ ScoreTile x, y, p, ds;
    const HeadTile at(s.heads);
    const float* k = in.k.at(at.b, at.h);
    float sum[kEach] = {};
    const int64_t visible = s.causal ? min(s.keys, min(s.queries, at.first + kSide) + s.keys - s.queries) : s.keys;
    for (int64_t key = 0; key < visible; key += kSide) {
        gradient_tile(s, in, delta, at, at.first, key, x, y, p, ds);
        add_rows(k, in.k.row, key, s.keys, at.column, s.depth, [&](int j) -> float { return ds[tile_row() * kPitch + j]; }, sum);
        __syncthreads();
    }
    const int64_t query = at.first + tile_row();
    if (query < s.queries) store_row(dq.at(at.b, at.h) + query * dq.row, at.column, s.depth, 1.0f, sum);
}

static __global__ void __launch_bounds__(kThreads) attention_key_gradient_kernel(AttentionShape<> s, AttentionGradientInputs in,
                                                                                 const float* delta, Heads<float> dk, Heads<float> dv) {
    __shared__ ScoreTile x, y, p, ds;
    const HeadTile at(s.heads);
    const float *q = in.q.at(at.b, at.h), *g = in.g.at(at.b, at.h);
    float k_sum[kEach] = {}, v_sum[kEach] = {};
    const int64_t sooner = at.first - (s.keys - s.queries);  // the first query that sees the tile's first key
    for (int64_t query = s.causal && sooner > 0 ? sooner / kSide * kSide : 0; query < s.queries; query += kSide) {
        gradient_tile(s, in, delta, at, query, at.first, x, y, p, ds);
        add_rows(q, in.q.row, query, s.queries, at.column, s.depth, [&](int j) -> float { return ds[j * kPitch + tile_row()]; }, k_sum);
        add_rows(g, in.g.row, query, s.queries, at.column, s.depth, [&](int j) -> float { return p[j * kPitch + tile_row()]; }, v_sum);
        __syncthreads();
    }
    const int64_t key = at.first + tile_row();
    if (key >= s.keys) return;
    store_row(dk.at(at.b, at.h) + key * dk.row, at.column, s.depth, 1.0f, k_sum);
    store_row(dv.at(at.b, at.h) + key * dv.row, at.column, s.depth, 1.0f, v_sum);
}

inline dim3 head_grid(const AttentionShape<>& s, int64_t rows) {
    return dim3(static_cast<unsigned>(s.batch * s.heads), static_cast<unsigned>(ceil_div(rows, int64_t(kSide))),
                static_cast<unsigned>(ceil_div(s.depth, int64_t(kDepth))));
}

// out as q, lse (batch, heads, queries).
inline void attention(const Executor& on, const AttentionShape<>& s, const Heads<const float>& q, const Heads<const float>& k,
                      const Heads<const float>& v, const Heads<float>& out, float* lse, float*) {
    launch(on, "attention", attention_kernel, head_grid(s, s.queries), kThreads, s, q, k, v, out, lse);
}

// `delta` holds a float for each query of each head.
inline void attention_gradient(const Executor& on, const AttentionShape<>& s, const AttentionGradientInputs& in,
                               const AttentionGradientOutputs& to, float* delta) {
    const char* name = "attention_gradient";
    each_row(on, name, s.batch * s.heads * s.queries, s.depth, AttentionDelta{s.heads, s.queries, in.g, in.out, delta});
    launch(on, name, attention_query_gradient_kernel, head_grid(s, s.queries), kThreads, s, in, delta, to.dq);
    launch(on, name, attention_key_gradient_kernel, head_grid(s, s.keys), kThreads, s, in, delta, to.dk, to.dv);
}

// ---- with a cache -----------------------------------------------------------------------------------------------------------------

template <class Id>
__device__ __forceinline__ int64_t place_inside(Id id, int64_t limit) { return id >= Id(0) && id < static_cast<Id>(limit) ? static_cast<int64_t>(id) : -1; }

template <class Id>
struct Positions {
    int64_t count;
    const Id* first;
    Id* y;
    __device__ void operator()(int64_t at) const { y[at] = first[at / count] + static_cast<Id>(at % count); }
};
template <class Id>
void positions(const Executor& on, int64_t rows, int64_t count, const Id* first, Id* y) {
    each(on, "positions", rows * count, Positions<Id>{count, first, y});
}

// Element `at` of the new ones goes to its place, unless a later row names the same.
template <class Id>
struct CacheWrite {
    int64_t batch, steps, slots, context, width;
    const float* fresh;
    const Id *slot, *position;
    float* y;
    __device__ void operator()(int64_t at) const {
        const int64_t b = at / (steps * width), t = at / width % steps;
        const int64_t s = place_inside(slot[b], slots), first = place_inside(position[b], context);
        if (s < 0 || first < 0 || first + t >= context) return;
        for (int64_t later = b + 1; later < batch; ++later) {
            const int64_t start = place_inside(position[later], context);
            if (place_inside(slot[later], slots) == s && start >= 0 && first + t >= start && first + t < start + steps) return;
        }
        y[(s * context + first + t) * width + at % width] = fresh[at];
    }
};
template <class Id>
void cache_write(const Executor& on, int64_t batch, int64_t steps, int64_t slots, int64_t context, int64_t width, const float* cache,
                 const float* fresh, const Id* slot, const Id* position, float* y) {
    if (y != cache) map(on, "cache_write", slots * context * width, Copy{}, y, cache);
    each(on, "cache_write", batch * steps * width, CacheWrite<Id>{batch, steps, slots, context, width, fresh, slot, position, y});
}

// A block for each query: keys 256 at a time, a thread for a key, then a thread for a column of the result.
template <class Id>
__global__ void __launch_bounds__(kThreads) cached_attention_kernel(CacheShape s, Heads<const float> q, const float* keys, const float* values,
                                                                    const Id* slot, const Id* position, Heads<float> y) {
    __shared__ Shared<float, kThreads> scores;
    const int64_t task = blockIdx.x, i = task % s.steps, h = task / s.steps % s.heads, b = task / s.steps / s.heads;
    const int64_t from = place_inside(slot[b], s.slots), first = place_inside(position[b], s.context);
    float* to = y.at(b, h) + i * y.row;
    const bool inside = from >= 0 && first >= 0 && first + i < s.context;
    const int64_t step = s.heads * s.depth, start = inside ? from * s.context * step + h * s.depth : 0, seen = inside ? first + i + 1 : 0;
    const float *query = q.at(b, h) + i * q.row, *k = keys + start, *v = values + start;
    const int thread = static_cast<int>(threadIdx.x);
    for (int64_t column = 0; column < s.depth; column += kThreads) {  // of the result, a thread each
        const int64_t c = column + thread;
        float top = -__builtin_inff(), total = 0, sum = 0;
        for (int64_t key = 0; key < seen; key += kThreads) {
            float score = -__builtin_inff();
            if (key + thread < seen) {
                const float* row = k + (key + thread) * step;
                float dot = 0;
                for (int64_t d = 0; d < s.depth; ++d) dot = fma(query[d], row[d], dot);
                score = dot * s.scale;
            }
            const float largest = MaxFold::fold(top, folded<MaxFold, kThreads>(score)), shrink = exp(top - largest);
            const float p = exp(score - largest);
            scores[thread] = p;
            total = fma(total, shrink, summed<kThreads>(p));  // which waits for all of the block
            sum *= shrink;
            if (c < s.depth)
                for (int j = 0; j < kThreads && key + j < seen; ++j) sum = fma(scores[j], v[(key + j) * step + c], sum);
            top = largest;
            __syncthreads();
        }
        if (c < s.depth) to[c] = inside ? sum / total : __builtin_nanf("");
    }
}
constexpr int64_t cached_attention_scratch(int64_t, int64_t, int64_t, int) { return 0; }
template <class Id>
void cached_attention(const Executor& on, const CacheShape& s, const Heads<const float>& q, const float* keys, const float* values,
                      const Id* slot, const Id* position, const Heads<float>& y, float*) {
    launch(on, "cached_attention", cached_attention_kernel<Id>, dim3(static_cast<unsigned>(s.batch * s.heads * s.steps)), kThreads, s, q,
           keys, values, slot, position, y);
}

}}  // namespace nd::ND_ISA
