// The matrix product that everything with a product is made of: C = A B, where readers say what A and B are (slices.cuh) and a
// writer, `void operator()(batch, row, column, value)`, what becomes of C.
//
// A block computes a tile of C, a thread its part of it in registers. Slices of A and B go through shared memory: while one
// slice is multiplied, the next is on its way from global memory into registers, and is then stored into the other buffer.
// A tile says how a slice is multiplied: in float32, here, or by tensor cores, which round the operands (mma.cuh). Sums have one
// order, so every run gives the same bits. In float32 an element of C is one chain of fused multiply-adds along the depth, as on
// the processor: the same bits; only where a product has few tiles and is deep is the depth cut into parts that are added up
// in order.
#pragma once
#include "../nd/arguments.h"
#include "../nd/scalar.h"
#include "slices.cuh"
#if defined(ND_DEVICE)
#include "mma.cuh"
#endif

namespace nd { namespace ND_ISA {

struct Float32 {  // what a slice holds
    using Word = float;
    static constexpr int elements = 1;  // of a word
    static __device__ float word(const float (&x)[1]) { return x[0]; }
};

// A tile of M x N whose slices are K deep; a thread has Rows x Columns of it, in fours that lie apart: no bank is met twice.
template <int M, int N, int K, int Rows, int Columns>
struct Tile {
    using Operand = Float32;
    static constexpr int m = M, n = N, k = K, pad = 4;
    static_assert((M / Rows) * (N / Columns) == kThreads && Rows % 4 == 0 && Columns % 4 == 0);

    template <int Width>
    static __device__ __forceinline__ int place(int k, int line) {
        return k * (Width + pad) + line;
    }

    class Sums {
    public:
        // Adds the product of two slices, which begin at those places.
        template <class Left, class Right>
        __device__ __forceinline__ void add(Left& left, int left_at, Right& right, int right_at) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                float x[Rows], y[Columns];
#pragma unroll
                for (int i = 0; i < Rows; i += 4) {
                    const float4 four = left.four(left_at + place<M>(k, row(i)));
                    x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
                }
#pragma unroll
                for (int j = 0; j < Columns; j += 4) {
                    const float4 four = right.four(right_at + place<N>(k, column(j)));
                    y[j] = four.x, y[j + 1] = four.y, y[j + 2] = four.z, y[j + 3] = four.w;
                }
#pragma unroll
                for (int i = 0; i < Rows; ++i)
#pragma unroll
                    for (int j = 0; j < Columns; ++j) sum_[i][j] = fma(x[i], y[j], sum_[i][j]);
            }
        }
        // f(row, column, value) for what this thread has of the tile.
        template <class F>
        __device__ __forceinline__ void each(const F& f) const {
#pragma unroll
            for (int i = 0; i < Rows; ++i)
#pragma unroll
                for (int j = 0; j < Columns; ++j) f(row(i), column(j), sum_[i][j]);
        }

    private:
        static __device__ int row(int i) {
            return i / 4 * (4 * M / Rows) + static_cast<int>(threadIdx.x) / (N / Columns) * 4 + i % 4;
        }
        static __device__ int column(int j) {
            return j / 4 * (4 * N / Columns) + static_cast<int>(threadIdx.x) % (N / Columns) * 4 + j % 4;
        }
        float sum_[Rows][Columns] = {};
    };
};
using WideTile = Tile<128, 128, 8, 8, 8>;
using SmallTile = Tile<64, 64, 16, 4, 4>;

// Blocks for all tiles of C, in x, where a grid has room for any number; in z the batch and its parts.
template <class T>
dim3 tiles_of(const ProductSize& s, int64_t parts) {
    return dim3(static_cast<unsigned>(ceil_div(s.m, int64_t(T::m)) * ceil_div(s.n, int64_t(T::n))), 1, static_cast<unsigned>(s.batch * parts));
}

template <class T, class A, class B, class Write>
__global__ void __launch_bounds__(kThreads) product_kernel(ProductSize size, int64_t parts, A a, B b, Write write) {
    using Left = Slices<T, A, T::m>;
    using Right = Slices<T, B, T::n>;
    using Word = typename T::Operand::Word;
    __shared__ Shared<Word, 2 * Left::words> left_memory;
    __shared__ Shared<Word, 2 * Right::words> right_memory;
    const int64_t batch = blockIdx.z / parts, part = blockIdx.z % parts;
    const int64_t high = ceil_div(size.m, int64_t(T::m)), row = blockIdx.x % high * T::m, column = blockIdx.x / high * T::n;
    Left left(a, batch, row);
    Right right(b, batch, column);
    typename T::Sums sums;
    constexpr int64_t deep = T::k * T::Operand::elements;  // a slice
    const int64_t each = ceil_div(size.depth.length, deep), slices = size.depth.segments * each;
    const int64_t begin = slices * part / parts, end = slices * (part + 1) / parts;
    SliceAt at(begin, max(each, int64_t(1)));
    typename A::Segment a_segment = a.segment(at.segment);
    typename B::Segment b_segment = b.segment(at.segment);
    if (begin < end) {
        left.load(a_segment, at.k * deep, size.depth.length);
        right.load(b_segment, at.k * deep, size.depth.length);
        left.store(left_memory, 0);
        right.store(right_memory, 0);
    }
    __syncthreads();
    for (int64_t slice = begin; slice < end; ++slice) {
        const int now = static_cast<int>((slice - begin) % 2);
        const bool more = slice + 1 < end;
        if (more) {
            if (at.next()) {
                a_segment = a.segment(at.segment);
                b_segment = b.segment(at.segment);
            }
            left.load(a_segment, at.k * deep, size.depth.length);
            right.load(b_segment, at.k * deep, size.depth.length);
        }
        sums.add(left_memory, now * Left::words, right_memory, now * Right::words);
        if (more) {
            left.store(left_memory, (1 - now) * Left::words);
            right.store(right_memory, (1 - now) * Right::words);
        }
        __syncthreads();
    }
    sums.each([&](int i, int j, float value) {
        if (row + i < size.m && column + j < size.n) write(blockIdx.z, row + i, column + j, value);
    });
}

// ---- readers and writers of matrices ----------------------------------------------------------------------------------------

// Rows of A, or columns of B, at data + batch: `step` apart, elements along the depth `along` apart.
struct MatrixReader {
    struct Line {
        const float* p;
    };
    struct Segment {};
    const float* data;
    int64_t count, step, along, batch_step;
    const int64_t* offsets;  // of the batch, where it has no step
    bool deep;

    __device__ Line line(int64_t batch, int64_t index) const {
        const float* first = data + (offsets != nullptr ? offsets[batch] : batch * batch_step);
        return {index < count ? first + index * step : nullptr};
    }
    __device__ Segment segment(int64_t) const { return {}; }
    __device__ float at(const Line& line, Segment, int64_t k) const { return line.p != nullptr ? line.p[k * along] : 0.0f; }
};
inline MatrixReader rows_of(const Matrix& a, int64_t rows, int64_t batch_step, const int64_t* offsets = nullptr) {
    return {a.data, rows, a.row, a.column, batch_step, offsets, magnitude(a.column) <= magnitude(a.row)};
}
inline MatrixReader columns_of(const Matrix& b, int64_t columns, int64_t batch_step, const int64_t* offsets = nullptr) {
    return {b.data, columns, b.column, b.row, batch_step, offsets, magnitude(b.row) < magnitude(b.column)};
}

// Into a compact (batch, m, n).
struct Store {
    float* c;
    int64_t m, n;
    __device__ void operator()(int64_t batch, int64_t row, int64_t column, float value) const { c[(batch * m + row) * n + column] = value; }
};

// Adds up the parts of every element in order and hands it on.
template <class Write>
__global__ void add_parts_kernel(int64_t batch, int64_t m, int64_t n, int64_t parts, const float* partial, Write write) {
    for (int64_t at = first_index(); at < batch * m * n; at += index_step()) {
        const int64_t b = at / (m * n), element = at - b * m * n;
        float sum = 0;
        for (int64_t part = 0; part < parts; ++part) sum += partial[(b * parts + part) * m * n + element];
        write(b, element / n, element % n, sum);
    }
}

// Into how many parts a deep product with few tiles is cut.
inline int64_t product_parts(const ProductSize& s) {
    const int64_t tiles = max(int64_t(1), s.batch * ceil_div(s.m, int64_t(SmallTile::m)) * ceil_div(s.n, int64_t(SmallTile::n)));
    const int64_t slices = s.depth.segments * ceil_div(s.depth.length, int64_t(SmallTile::k));
    return max(int64_t(1), min(slices / 16, int64_t(256) / tiles));
}
inline int64_t product_scratch(const ProductSize& s, int64_t parts) { return parts > 1 ? parts * s.batch * s.m * s.n : 0; }

// f(wide tile, small tile), those of the precision that was chosen; generated programs are exact.
template <class F>
void with_tiles(const F& f) {
#if defined(ND_DEVICE)
    const Precision precision = product_precision();
    if (precision == Precision::high) return f(WideMma<Tf32>{}, SmallMma<Tf32>{});
    if (precision == Precision::medium) return f(WideMma<Bfloat16>{}, SmallMma<Bfloat16>{});
#endif
    f(WideTile{}, SmallTile{});
}

template <class T, class A, class B, class Write>
void launch_tiles(T, const Executor& on, const char* name, const ProductSize& s, int64_t parts, const A& a, const B& b,
                  const Write& write) {
    launch(on, name, product_kernel<T, A, B, Write>, tiles_of<T>(s, parts), kThreads, s, parts, a, b, write);
}

// C = A B.
template <class A, class B, class Write>
void product(const Executor& on, const char* name, const ProductSize& s, const A& a, const B& b, const Write& write) {
    const bool many = ceil_div(s.m, int64_t(WideTile::m)) * ceil_div(s.n, int64_t(WideTile::n)) * s.batch >= 128;
    with_tiles([&](auto wide, auto small) {
        if (many) launch_tiles(wide, on, name, s, 1, a, b, write);
        else launch_tiles(small, on, name, s, 1, a, b, write);
    });
}

// The same with the depth in product_parts(size) parts; `scratch` holds product_scratch(size, parts) floats.
template <class A, class B, class Write>
void product_in_parts(const Executor& on, const char* name, const ProductSize& s, int64_t parts, const A& a, const B& b,
                      const Write& write, float* scratch) {
    if (parts == 1) return product(on, name, s, a, b, write);
    with_tiles([&](auto, auto small) { launch_tiles(small, on, name, s, parts, a, b, Store{scratch, s.m, s.n}); });
    launch(on, name, add_parts_kernel<Write>, grid_of(s.batch * s.m * s.n), kThreads, s.batch, s.m, s.n, parts, scratch, write);
}

}}  // namespace nd::ND_ISA
