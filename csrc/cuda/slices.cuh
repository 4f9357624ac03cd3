// How the operands of a product reach shared memory, whatever they are: a matrix of any strides, the windows of a convolution.
//
// The depth of a product is `segments` times `length`; slices of it lie inside a segment, so that a reader finds out once for
// a slice what is the same for all of it. A reader has
//   deep                                   whether elements along the depth are neighbours in memory
//   Line line(batch, index)                a row of A or a column of B; of an index outside, one that reads zeros
//   Segment segment(number)
//   float at(line, segment, k)             k < length
// What a tile multiplies are Words of one or more elements along the depth: float32 itself, or what tensor cores take (mma.cuh).
#pragma once
#include "launch.h"

namespace nd { namespace ND_ISA {

struct Depth {
    int64_t segments, length;
};

struct ProductSize {
    int64_t batch, m, n;
    Depth depth;
};

// How a block brings slices of one operand, `Width` lines of `Tile::k` words, into shared memory; Tile::place says
// where each word lies there.
template <class Tile, class Reader, int Width>
class Slices {
    using Operand = typename Tile::Operand;

public:
    static constexpr int words = Tile::k * (Width + Tile::pad);

    __device__ Slices(const Reader& reader, int64_t batch, int64_t first) : reader_(reader) {
#pragma unroll
        for (int i = 0; i < each; i += run) line_[i / run] = reader.line(batch, first + line_of(i));
    }
    __device__ void load(const typename Reader::Segment& segment, int64_t k, int64_t length) {
#pragma unroll
        for (int i = 0; i < each; ++i)
#pragma unroll
            for (int e = 0; e < Operand::elements; ++e) {
                const int64_t at = k + depth_of(i) * Operand::elements + e;
                held_[i][e] = at < length ? reader_.at(line_[i / run], segment, at) : 0.0f;
            }
    }
    template <class Memory>
    __device__ void store(Memory& memory, int base) const {
#pragma unroll
        for (int i = 0; i < each; ++i)
            memory[base + Tile::template place<Width>(depth_of(i), line_of(i))] = Operand::word(held_[i]);
    }

private:
    // Neighbouring threads read neighbours in memory: eight words of a line, or all lines at one depth. Either way a thread
    // stays on a line for `run` words.
    static constexpr int each = Width * Tile::k / kThreads, run = Tile::k / 8;
    static_assert(Tile::k % 8 == 0 && kThreads % Width == 0 && each % run == 0);
    static __device__ int thread() { return static_cast<int>(threadIdx.x); }
    __device__ int line_of(int i) const { return reader_.deep ? thread() / 8 + i / run * (kThreads / 8) : thread() % Width; }
    __device__ int depth_of(int i) const {
        return reader_.deep ? thread() % 8 + i % run * 8 : thread() / Width + i * (kThreads / Width);
    }

    const Reader& reader_;
    typename Reader::Line line_[each / run];
    float held_[each][Operand::elements];
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

}}  // namespace nd::ND_ISA
