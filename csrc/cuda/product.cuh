// The matrix product that everything with a product is made of: C = A B, where readers say what A and B are (a matrix of any
// strides, the windows of a convolution) and a writer what becomes of C.
//
// A block computes a tile of C, a thread a part of it in registers. Slices of A and B go through shared memory: while one
// slice is multiplied, the next is on its way from global memory into registers, and is then stored into the other buffer.
// The depth is `segments` times `length`; slices lie inside a segment, so that a reader finds out once for a slice what is
// the same for all of it. An element of C is one chain of fused multiply-adds along the depth, as on the processor: the
// same bits; only where a product has few tiles and is deep is the depth cut into parts that are added up in order.
//
// A reader has
//   deep                                   whether elements along the depth are neighbours in memory
//   Line line(batch, index)                a row of A or a column of B; of an index outside, one that reads zeros
//   Segment segment(number)
//   float at(line, segment, k)             k < length
// and a writer `void operator()(batch, row, column, value)`.
#pragma once
#include "../nd/arguments.h"
#include "../nd/scalar.h"
#include "launch.h"

namespace nd { namespace ND_ISA {

struct Depth {
    int64_t segments, length;
};

struct ProductSize {
    int64_t batch, m, n;
    Depth depth;
};

template <int M, int N, int K, int Rows, int Columns>
struct Tile {
    static constexpr int m = M, n = N, k = K, rows = Rows, columns = Columns;
    static constexpr int threads = (M / Rows) * (N / Columns);
    static_assert(threads == kThreads && M * K % threads == 0 && N * K % threads == 0 && Rows % 4 == 0 && Columns % 4 == 0);
};
using WideTile = Tile<128, 128, 8, 8, 8>;
using SmallTile = Tile<64, 64, 16, 4, 4>;

// How a block brings slices of one operand, `Width` lines of `K` elements, into shared memory as [K][Width + 4].
template <class Reader, int Width, int K>
class Slices {
public:
    static constexpr int pitch = Width + 4, each = Width * K / kThreads;

    __device__ Slices(const Reader& reader, int64_t batch, int64_t first) : reader_(reader) {
        for (int i = 0; i < each; ++i) line_[i] = reader.line(batch, first + line_of(i));
    }
    __device__ void load(const typename Reader::Segment& segment, int64_t k, int64_t length) {
        for (int i = 0; i < each; ++i) {
            const int64_t at = k + depth_of(i);
            held_[i] = at < length ? reader_.at(line_[i], segment, at) : 0.0f;
        }
    }
    template <class Memory>
    __device__ void store(Memory& memory, int base) const {
        for (int i = 0; i < each; ++i) memory[base + depth_of(i) * pitch + line_of(i)] = held_[i];
    }

private:
    // Neighbouring threads read neighbours in memory.
    __device__ int place(int i) const { return static_cast<int>(threadIdx.x) + i * kThreads; }
    __device__ int line_of(int i) const { return reader_.deep ? place(i) / K : place(i) % Width; }
    __device__ int depth_of(int i) const { return reader_.deep ? place(i) % K : place(i) / Width; }

    const Reader& reader_;
    typename Reader::Line line_[each];
    float held_[each];
};

// The slices of a part of the depth, one after the other.
struct SliceAt {
    int64_t number, each, segment, k;  // `each` slices of a segment

    __device__ SliceAt(int64_t number, int64_t each) : number(number), each(each), segment(number / each), k(number % each) {}
    __device__ bool next() {  // whether another segment begins
        ++number;
        if (++k < each) return false;
        k = 0;
        ++segment;
        return true;
    }
};

// Blocks for all tiles of C, in x, where a grid has room for any number; in z the batch and its parts.
template <class T>
dim3 tiles_of(const ProductSize& s, int64_t parts) {
    return dim3(static_cast<unsigned>(ceil_div(s.m, int64_t(T::m)) * ceil_div(s.n, int64_t(T::n))), 1, static_cast<unsigned>(s.batch * parts));
}

template <class T, class A, class B, class Write>
__global__ void __launch_bounds__(kThreads) product_kernel(ProductSize size, int64_t parts, A a, B b, Write write) {
    using Left = Slices<A, T::m, T::k>;
    using Right = Slices<B, T::n, T::k>;
    constexpr int kLeft = T::k * Left::pitch, kRight = T::k * Right::pitch, kAcross = T::n / T::columns;
    __shared__ Shared<float, 2 * kLeft> left_memory;
    __shared__ Shared<float, 2 * kRight> right_memory;
    const int64_t batch = blockIdx.z / parts, part = blockIdx.z % parts;
    const int64_t high = ceil_div(size.m, int64_t(T::m)), row = blockIdx.x % high * T::m, column = blockIdx.x / high * T::n;
    const int across = static_cast<int>(threadIdx.x) % kAcross, down = static_cast<int>(threadIdx.x) / kAcross;
    Left left(a, batch, row);
    Right right(b, batch, column);
    float sum[T::rows][T::columns] = {};
    const int64_t each = ceil_div(size.depth.length, int64_t(T::k)), slices = size.depth.segments * each;
    const int64_t begin = slices * part / parts, end = slices * (part + 1) / parts;
    SliceAt at(begin, max(each, int64_t(1)));
    typename A::Segment a_segment = a.segment(at.segment);
    typename B::Segment b_segment = b.segment(at.segment);
    if (begin < end) {
        left.load(a_segment, at.k * T::k, size.depth.length);
        right.load(b_segment, at.k * T::k, size.depth.length);
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
            left.load(a_segment, at.k * T::k, size.depth.length);
            right.load(b_segment, at.k * T::k, size.depth.length);
        }
#pragma unroll
        for (int k = 0; k < T::k; ++k) {
            float x[T::rows], y[T::columns];
#pragma unroll
            for (int i = 0; i < T::rows; i += 4) {  // fours that lie T::m / (T::rows / 4) apart: no bank is met twice
                const float4 four = left_memory.four(now * kLeft + k * Left::pitch + i / 4 * (T::m / (T::rows / 4)) + down * 4);
                x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
            }
#pragma unroll
            for (int j = 0; j < T::columns; j += 4) {
                const float4 four = right_memory.four(now * kRight + k * Right::pitch + j / 4 * (T::n / (T::columns / 4)) + across * 4);
                y[j] = four.x, y[j + 1] = four.y, y[j + 2] = four.z, y[j + 3] = four.w;
            }
#pragma unroll
            for (int i = 0; i < T::rows; ++i)
#pragma unroll
                for (int j = 0; j < T::columns; ++j) sum[i][j] = fma(x[i], y[j], sum[i][j]);
        }
        if (more) {
            left.store(left_memory, (1 - now) * kLeft);
            right.store(right_memory, (1 - now) * kRight);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < T::rows; ++i)
#pragma unroll
        for (int j = 0; j < T::columns; ++j) {
            const int64_t r = row + i / 4 * (T::m / (T::rows / 4)) + down * 4 + i % 4;
            const int64_t c = column + j / 4 * (T::n / (T::columns / 4)) + across * 4 + j % 4;
            if (r < size.m && c < size.n) write(blockIdx.z, r, c, sum[i][j]);
        }
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

// C = A B. `scratch` holds product_scratch(size, parts) floats.
template <class A, class B, class Write>
void product(const Executor& on, const char* name, const ProductSize& s, int64_t parts, const A& a, const B& b, const Write& write,
             float* scratch) {
    const auto run = [&](auto tile, const auto& to) {
        using T = decltype(tile);
        launch(on, name, product_kernel<T, A, B, std::decay_t<decltype(to)>>, tiles_of<T>(s, parts), T::threads, s, parts, a, b, to);
    };
    const bool wide = ceil_div(s.m, int64_t(128)) * ceil_div(s.n, int64_t(128)) * s.batch >= 128;
    if (parts > 1) {
        run(SmallTile{}, Store{scratch, s.m, s.n});
        launch(on, name, add_parts_kernel<Write>, grid_of(s.batch * s.m * s.n), kThreads, s.batch, s.m, s.n, parts, scratch, write);
    } else if (wide) {
        run(WideTile{}, write);
    } else {
        run(SmallTile{}, write);
    }
}

}}  // namespace nd::ND_ISA
