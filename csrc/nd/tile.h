// The register tile that every matrix product and convolution is made of: R rows by B blocks of 16 columns held in
// registers while one sequential chain of fused multiply-adds per element runs over the depth k = 0, 1, 2, ... Tile sizes,
// vector width and threads never change that chain, hence not the bits.
#pragma once
#include "simd.h"

namespace nd { namespace ND_ISA {

// Right operands are read in blocks of 16 columns on every instruction set, so packed weights are portable between them.
constexpr int kBlock = 16;
constexpr int kBlockVecs = kBlock / kLanes;
constexpr int kTileRows = kLanes == 16 || kRegisters == 32 ? 8 : kLanes == 8 ? 6 : 3;

// How many blocks a tile of R rows holds: enough independent chains to hide the latency of the multiply-add.
constexpr int tile_blocks(int rows) {
    return kLanes == 16 ? (rows == 1 ? 8 : rows <= 4 ? 4 : 2) : kLanes == 8 ? (rows == 1 ? 4 : rows == 2 ? 2 : 1) : 1;
}

// Calls f(Const<rows>{}), rows <= Most: short tiles have kernels of their own, so that nothing behind a row is read.
template <int R = 1, int Most = kTileRows, class F>
ND_INLINE void with_height(int64_t rows, F&& f) {
    if constexpr (R == Most) {
        f(Const<R>{});
    } else {
        if (rows == R) f(Const<R>{});
        else with_height<R + 1, Most>(rows, static_cast<F&&>(f));
    }
}

// Left operands: element (row i of the tile, depth k).
template <int R>
struct RowsLeft {  // R rows anywhere, the depth of each contiguous
    const float* row[R];
    ND_INLINE float operator()(int i, int64_t k) const { return row[i][k]; }
};
struct ColumnsLeft {  // the rows of one depth contiguous, depths `step` apart
    const float* p;
    int64_t step;
    ND_INLINE float operator()(int i, int64_t k) const { return p[k * step + i]; }
};
struct PixelsLeft {  // the rows of one depth contiguous, depth k at offset[k]
    const float* p;
    const int64_t* offset;
    ND_INLINE float operator()(int i, int64_t k) const { return p[offset[k] + i]; }
};

// Right operand: element (k, 16 * block + c) is p[k * step + block * next + c].
struct Blocks {
    const float* p;
    int64_t step, next;
    ND_INLINE Vec operator()(int64_t k, int vec) const {
        return load(p + k * step + vec / kBlockVecs * next + vec % kBlockVecs * kLanes);
    }
};

// acc[i][j] = fma(a(i, k), b(k, j), acc[i][j]) for k = 0 .. depth-1 in that order.
template <int R, int V, class Left>
ND_INLINE void multiply(Vec (&acc)[R][V], int64_t depth, const Left& a, const Blocks& b) {
    for (int64_t k = 0; k < depth; ++k) {
        Vec right[V];
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) right[j] = b(k, j);
        // Weights are asked for 64 depths ahead; fewer rows wait for memory, which the processor reads ahead by itself.
#pragma GCC unroll 16
        for (int j = 0; R > 2 && j < V; j += kBlockVecs) __builtin_prefetch(b.p + (k + 64) * b.step + j / kBlockVecs * b.next, 0, 2);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
            const Vec left = splat(a(i, k));
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j) acc[i][j] = fma(left, right[j], acc[i][j]);
        }
    }
}

// What happens to a finished value before it is stored: at flat position `offset` of the output, in column `column`, of
// which the first `count` lanes are stored. Keep leaves it as it is.
struct Keep {
    ND_INLINE Vec operator()(Vec v, int64_t, int64_t, int64_t) const { return v; }
};

// Which part of the output a tile is: it begins at `column`, and `columns` columns exist from there on.
struct Extent {
    int64_t column, columns;
    bool resume, last;  // continue from the stored sums; finish them with the epilogue
};

// The lanes of vector j that exist.
ND_INLINE int64_t lanes_of(const Extent& e, int j) {
    return max<int64_t>(0, min<int64_t>(kLanes, e.columns - j * kLanes));
}

template <int R, int V, class Row>
ND_INLINE void load_tile(Vec (&acc)[R][V], const float* y, const Row& row, const Extent& e) {
    const bool full = e.columns >= V * kLanes;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) {
            if (!e.resume) acc[i][j] = Vec{};
            else if (full) acc[i][j] = load(y + row(i) + j * kLanes);
            else acc[i][j] = load_first(y + row(i) + j * kLanes, lanes_of(e, j));
        }
}

template <int R, int V, class Row, class Epilogue>
ND_INLINE void store_tile(const Vec (&acc)[R][V], float* y, const Row& row, const Extent& e, const Epilogue& epilogue) {
    const bool full = e.columns >= V * kLanes;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) {
            const int64_t count = full ? kLanes : lanes_of(e, j);
            if (count == 0) continue;
            const int64_t at = row(i) + j * kLanes;
            const Vec v = e.last ? epilogue(acc[i][j], at, e.column + j * kLanes, count) : acc[i][j];
            if (count == kLanes) store(y + at, v);
            else store_first(y + at, v, count);
        }
}

// y[row(i) + c] = epilogue(sum over k of a(i, k) * b(k, c)), R rows by B blocks.
template <int R, int B, class Left, class Row, class Epilogue>
ND_INLINE void tile(int64_t depth, const Left& a, const Blocks& b, float* y, const Row& row, const Extent& e,
                    const Epilogue& epilogue) {
    Vec acc[R][B * kBlockVecs];
    load_tile(acc, y, row, e);
    multiply(acc, depth, a, b);
    store_tile(acc, y, row, e, epilogue);
}

}}  // namespace nd::ND_ISA
