// Matrix products C = A B: right operand in blocks of 16 columns (packed once, shared by all threads), left operand read
// in place or copied a panel at a time, register tiles of tile.h. Every element of C is one chain of fused multiply-adds
// over k = 0 .. K-1: blocks of the depth continue from the stored sums.
#pragma once
#include <atomic>
#include "pack.h"

namespace nd { namespace ND_ISA {

constexpr int64_t kDepthBlock = 768;    // a left panel of 8 rows (24 KiB) stays in the first-level cache
constexpr int64_t kChunkBlocks = 4;     // right blocks swept per left panel: 768 x 64 floats stay in the second level
constexpr int64_t kRowChunk = 240;      // rows per task, a multiple of every tile height
constexpr int64_t kPackedDepth = 1024;  // of a right operand packed at once: with 2048 columns it stays in the third level

// A right operand ready for the tiles: whole blocks in place or packed, and a packed one for columns that fill no block.
struct Right {
    Blocks whole;
    const float* tail;
    int64_t count;  // whole blocks
    ND_INLINE Blocks at(int64_t block, int64_t k) const {
        if (block < count) return {whole.p + block * whole.next + k * whole.step, whole.step, whole.next};
        return {tail + k * kBlock, kBlock, 0};
    }
    // Without the first k of its depth.
    ND_INLINE Right from(int64_t k) const { return {{whole.p + k * whole.step, whole.step, whole.next}, tail + k * kBlock, count}; }
};

// Few rows of A use each element of B so seldom that packing it would not pay.
inline bool reads_in_place(int64_t m, const Matrix& b) { return b.column == 1 && m <= 48; }

// Calls f(worker, index) for every index < count; a worker runs one call at a time, so it may own scratch memory, and takes
// the next index when it is done.
template <class F>
ND_INLINE void balance(const Executor& executor, int64_t count, F&& f) {
    std::atomic<int64_t> next{0};
    parallel(executor, min<int64_t>(count, executor.threads), [&](int64_t worker) {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) f(worker, i);
    });
}

constexpr int64_t packed_size(int64_t k, int64_t n) { return round_up(n, kBlock) * k; }

// `b` packed as [ceil(n / 16)][k][16], zeros behind column n. The same on every instruction set.
inline void gemm_pack(const Executor& executor, int64_t k, int64_t n, const Matrix& b, float* packed) {
    parallel(executor, ceil_div(n, kBlock), [&](int64_t j) {
        const Matrix block{b.data + j * kBlock * b.column, b.row, b.column};
        pack_block(block, k, min<int64_t>(kBlock, n - j * kBlock), packed + j * kBlock * k);
    });
}

inline Right packed_right(int64_t k, int64_t n, const float* packed) {
    return {{packed, kBlock, k * kBlock}, nullptr, ceil_div(n, kBlock)};
}

inline Right prepare_right(const Executor& executor, int64_t m, int64_t n, int64_t k, const Matrix& b, float* scratch) {
    if (!reads_in_place(m, b)) {
        gemm_pack(executor, k, n, b, scratch);
        return packed_right(k, n, scratch);
    }
    const int64_t whole = n / kBlock;
    if (n % kBlock) pack_block({b.data + whole * kBlock, b.row, 1}, k, n % kBlock, scratch);
    return {{b.data, b.row, kBlock}, scratch, whole};
}

// Calls f(Const<B>{}, j) for groups of B blocks that cover [from, to): as many as a tile of R rows holds, then fewer.
template <int R, class F>
ND_INLINE void for_blocks(const Right& b, int64_t from, int64_t to, F&& f) {
    constexpr int B = tile_blocks(R);
    const int64_t whole = min(to, b.count);
    int64_t j = from;
    for (; j + B <= whole; j += B) f(Const<B>{}, j);
    if constexpr (B > 2)
        for (; j + 2 <= whole; j += 2) f(Const<2>{}, j);
    for (; j < to; ++j) f(Const<1>{}, j);
}

// Which depths of a right block of the next chunk each tile asks for, so that all are there when their turn comes.
struct Ahead {
    int64_t from = 0, to = 0;
};

ND_INLINE void prefetch(const Right& b, int64_t block, int64_t k, Ahead ahead) {
    if (block >= b.count) return;
    const Blocks next = b.at(block, k);
    for (int64_t i = ahead.from; i < ahead.to; ++i) __builtin_prefetch(next.p + i * next.step, 0, 2);
}

// One panel of R rows times the blocks [from, to); the depth begins at `k` of b.
template <int R, class Left, class Epilogue>
inline void sweep(int64_t depth, const Left& a, const Right& b, int64_t k, int64_t from, int64_t to, float* c, int64_t offset,
                  int64_t ldc, Extent e, int64_t n, const Epilogue& epilogue, Ahead ahead = {}) {
    for_blocks<R>(b, from, to, [&](auto width, int64_t j) {
        for (int64_t next = j; next < j + decltype(width)::value; ++next) prefetch(b, next + kChunkBlocks, k, ahead);
        e.column = j * kBlock;
        e.columns = n - e.column;
        const auto row = [&](int i) { return offset + i * ldc + e.column; };
        tile<R, decltype(width)::value>(depth, a, b.at(j, k), c, row, e, epilogue);
    });
}

// `rows` rows of a in panels of `step`, panel i at out + i step block: [depth][rows of the panel]. Few depths of all panels
// at a time, for neighbours of one depth lie in one line of the cache.
inline void pack_panels(const Matrix& a, int64_t rows, int64_t step, int64_t depth, int64_t block, float* out) {
    constexpr int64_t kDepths = 16;
    for (int64_t k = 0; k < depth; k += kDepths)
        for (int64_t i = 0; i < rows; i += step)
            with_height(min(step, rows - i), [&](auto height) {
                constexpr int R = decltype(height)::value;
                const Matrix part{a.data + i * a.row + k * a.column, a.row, a.column};
                pack_columns<R>(part, min(kDepths, depth - k), out + i * block + k * R);
            });
}

// A part of the depth: whether the sums begin with it, and whether they are complete after it.
struct Span {
    bool first = true, last = true;
};

// Rows [i0, i1) times blocks [j0, j1), the depth in blocks. Where rows of a are not contiguous, they are packed into `panel`,
// kRowChunk x kDepthBlock floats.
template <bool packs, class Epilogue>
inline void gemm_part(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t n, int64_t k, const Matrix& a, const Right& b,
                      float* c, int64_t ldc, float* panel, const Epilogue& epilogue, Span span) {
    const int64_t step = ceil_div(i1 - i0, ceil_div(i1 - i0, kTileRows));  // tiles as even as can be: short ones are slow
    const int64_t block = max<int64_t>(ceil_div(k, max<int64_t>(1, ceil_div(k, kDepthBlock))), 1);
    int64_t k0 = 0;
    do {
        const int64_t depth = min(block, k - k0);
        if constexpr (packs) pack_panels({a.data + i0 * a.row + k0 * a.column, a.row, a.column}, i1 - i0, step, depth, block, panel);
        for (int64_t jc = j0; jc < j1; jc += kChunkBlocks) {
            for (int64_t i = i0; i < i1; i += step) {
                const int64_t rows = min(step, i1 - i);
                const Extent e{0, 0, k0 > 0 || !span.first, k0 + depth == k && span.last};
                const float* at = a.data + i * a.row + k0 * a.column;
                const int64_t jend = min(j1, jc + kChunkBlocks);
                const Ahead ahead{(i - i0) * depth / (i1 - i0), (i - i0 + rows) * depth / (i1 - i0)};
                with_height(rows, [&](auto height) {
                    constexpr int R = decltype(height)::value;
                    if constexpr (packs) {
                        const ColumnsLeft left{panel + (i - i0) * block, R};
                        sweep<R>(depth, left, b, k0, jc, jend, c, i * ldc, ldc, e, n, epilogue, ahead);
                    } else {
                        RowsLeft<R> left;
                        for (int r = 0; r < R; ++r) left.row[r] = at + r * a.row;
                        sweep<R>(depth, left, b, k0, jc, jend, c, i * ldc, ldc, e, n, epilogue, ahead);
                    }
                });
            }
        }
        k0 += depth;
    } while (k0 < k);
}

constexpr int64_t kPanelFloats = kRowChunk * kDepthBlock;

// Waking the threads takes about as long as this many multiply-adds: less work than that, one thread does alone.
constexpr int64_t kSmallWork = 1 << 18;
ND_INLINE Executor alone_if_small(const Executor& executor, int64_t outputs, int64_t depth) {
    return outputs < kSmallWork && outputs * max<int64_t>(depth, 1) < kSmallWork ? Executor{} : executor;
}

// Into how many even parts, of at most `most`, n is cut for some threads: as many for each where there are enough.
constexpr int64_t parts_of(int64_t n, int64_t threads, int64_t most) { return min(n, round_up(ceil_div(n, most), threads)); }
constexpr int64_t part_begin(int64_t n, int64_t parts, int64_t i) { return n * i / parts; }

// C = A B for a prepared right operand; `panels` holds kPanelFloats floats per thread. Tasks are chunks of rows; of rows and
// columns where there are few rows. `packs`: whether rows of a need be packed.
template <bool packs, class Epilogue>
inline void gemm_tasks(const Executor& executor, int64_t m, int64_t n, int64_t k, const Matrix& a, const Right& b, float* c,
                       int64_t ldc, float* panels, const Epilogue& epilogue, Span span) {
    const Executor on = alone_if_small(executor, m * n, k);
    const int64_t rows = ceil_div(m, kTileRows), blocks = ceil_div(n, kBlock), threads = on.threads;
    const bool by_columns = threads > 1 && m < 16 * kTileRows * threads && blocks >= 2 * threads;
    const int64_t most = threads > 1 ? min(kRowChunk / kTileRows, ceil_div(rows, 2 * threads)) : kRowChunk / kTileRows;
    const int64_t down = by_columns ? ceil_div(rows, kRowChunk / kTileRows) : parts_of(rows, threads, most);
    const int64_t across = by_columns ? parts_of(blocks, threads, ceil_div(blocks, 2 * threads)) : 1;
    balance(on, down * across, [&](int64_t worker, int64_t task) {
        const int64_t i = task / across, j = task % across;
        gemm_part<packs>(part_begin(rows, down, i) * kTileRows, min(m, part_begin(rows, down, i + 1) * kTileRows),
                         part_begin(blocks, across, j), part_begin(blocks, across, j + 1), n, k, a, b, c, ldc,
                         panels + worker * (packs ? kPanelFloats : 0), epilogue, span);
    });
}

template <class Epilogue>
inline void gemm_with(const Executor& executor, int64_t m, int64_t n, int64_t k, const Matrix& a, const Right& b, float* c,
                      int64_t ldc, float* panels, const Epilogue& epilogue, Span span = {}) {
    if (a.column == 1) gemm_tasks<false>(executor, m, n, k, a, b, c, ldc, panels, epilogue, span);
    else gemm_tasks<true>(executor, m, n, k, a, b, c, ldc, panels, epilogue, span);
}

// A product with fewer than 16 columns and more rows may be computed as C^T = B^T A^T, so that vectors are full.
constexpr bool may_turn(int64_t m, int64_t n) { return n < kBlock && m > n; }

// It is, unless A would have to be packed for it and half a block is full.
ND_INLINE bool turns(int64_t m, int64_t n, const Matrix& a) { return may_turn(m, n) && (a.column != 1 || n < kBlock / 2); }

constexpr int64_t gemm_scratch(int64_t m, int64_t n, int64_t k, int threads) {
    return packed_size(min(k, kPackedDepth), may_turn(m, n) ? m : n) + threads * kPanelFloats + (may_turn(m, n) ? m * n : 0);
}

// C = A B, the right operand prepared part by part of the depth.
template <class Epilogue>
inline void gemm_in_parts(const Executor& executor, int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, float* c,
                          int64_t ldc, float* scratch, const Epilogue& epilogue) {
    float* panels = scratch + packed_size(min(k, kPackedDepth), n);
    const int64_t part = ceil_div(k, max<int64_t>(1, ceil_div(k, kPackedDepth)));
    int64_t k0 = 0;
    do {
        const int64_t depth = min(k - k0, part);
        const Right right = prepare_right(executor, m, n, depth, {b.data + k0 * b.row, b.row, b.column}, scratch);
        const Matrix left{a.data + k0 * a.column, a.row, a.column};
        gemm_with(executor, m, n, depth, left, right, c, ldc, panels, epilogue, {k0 == 0, k0 + depth == k});
        k0 += depth;
    } while (k0 < k);
}

// C (m, n) = A (m, k) B (k, n), rows of C ldc apart, each element finished by `epilogue`; A and B with any strides.
// `scratch` holds gemm_scratch(m, n, k, executor.threads) floats.
template <class Epilogue = Keep>
inline void gemm(const Executor& executor, int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, float* c,
                 int64_t ldc, float* scratch, const Epilogue& epilogue = {}) {
    if (m == 0 || n == 0) return;
    if (std::is_same_v<Epilogue, Keep> && turns(m, n, a)) {
        float* turned = scratch + packed_size(min(k, kPackedDepth), m) + executor.threads * kPanelFloats;
        gemm_in_parts(executor, n, m, k, {b.data, b.column, b.row}, {a.data, a.column, a.row}, turned, m, scratch, epilogue);
        for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = turned[j * m + i];
        return;
    }
    gemm_in_parts(executor, m, n, k, a, b, c, ldc, scratch, epilogue);
}

// The same with a right operand that gemm_pack packed; `scratch` holds kPanelFloats floats per thread.
template <class Epilogue = Keep>
inline void gemm_packed(const Executor& executor, int64_t m, int64_t n, int64_t k, const Matrix& a, const float* packed,
                        float* c, int64_t ldc, float* scratch, const Epilogue& epilogue = {}) {
    if (m == 0 || n == 0) return;
    gemm_with(executor, m, n, k, a, packed_right(k, n, packed), c, ldc, scratch, epilogue);
}

constexpr int64_t matmul_scratch(int64_t n, int64_t k) { return packed_size(k, n) + kPanelFloats; }  // for each thread

// C[i] (m, n) = A[i] (m, k) B[i] (k, n) for i < batch, with any strides; C is compact. Many products share the threads among
// themselves, few share each product.
inline void batched_matmul(const Executor& executor, int64_t batch, int64_t m, int64_t n, int64_t k, const Matrices& a,
                   const Matrices& b, float* c, float* scratch) {
    if (m == 0 || n == 0) return;
    const auto product = [&](const Executor& on, int64_t i, float* memory) {
        const Right right = prepare_right(on, m, n, k, b.at(i), memory);
        gemm_with(on, m, n, k, a.at(i), right, c + i * m * n, n, memory + packed_size(k, n), Keep{});
    };
    if (batch >= 4 * executor.threads)
        balance(executor, batch, [&](int64_t worker, int64_t i) { product(Executor{}, i, scratch + worker * matmul_scratch(n, k)); });
    else
        for (int64_t i = 0; i < batch; ++i) product(executor, i, scratch);
}

constexpr int64_t gemm_batched_scratch(int64_t m, int64_t n, int64_t k, int threads) {
    return threads * gemm_scratch(m, n, k, 1) + gemm_scratch(m, n, k, threads);
}

// C[i] = A[i] B[i] for i < batch: A[i] starts at a.data + a_offset[i], B[i] at b.data + b_offset[i], C is compact. Many
// products share the threads among themselves, few share each product. `scratch` holds gemm_batched_scratch(...) floats.
template <class Epilogue = Keep>
inline void gemm_batched(const Executor& executor, int64_t batch, const int64_t* a_offset, const int64_t* b_offset, int64_t m,
                         int64_t n, int64_t k, const Matrix& a, const Matrix& b, float* c, float* scratch,
                         const Epilogue& epilogue = {}) {
    const bool many = batch >= 4 * executor.threads;
    auto product = [&](const Executor& on, int64_t i, float* memory) {
        const Matrix left{a.data + a_offset[i], a.row, a.column}, right{b.data + b_offset[i], b.row, b.column};
        gemm(on, m, n, k, left, right, c + i * m * n, n, memory, epilogue);
    };
    if (many)
        balance(executor, batch, [&](int64_t worker, int64_t i) {
            product(Executor{}, i, scratch + worker * gemm_scratch(m, n, k, 1));
        });
    else
        for (int64_t i = 0; i < batch; ++i) product(executor, i, scratch);
}

}}  // namespace nd::ND_ISA
