// Products with weights in fewer bits, decoded when a tile loads them, so that memory brings the codes alone. The layouts are
// those of csrc/nd/coded_linear.h: codes [ceil(columns / 16)][depth][16], two rows of int4 in a byte; scales
// [ceil(columns / 16)][ceil(depth / group)][16].
#pragma once
#include "../nd/stored.h"
#include "epilogue.cuh"
#include "product.cuh"

namespace nd { namespace ND_ISA {

// The number in row k of a block's column, but for its scale.
struct Int8Codes {
    static constexpr int64_t kBytes = 16, kRows = 1;  // of a block: bytes, and rows of the depth that they hold
    static constexpr bool kScales = true;
    static __device__ float at(const uint8_t* block, int64_t k, int64_t column) { return float(int8_t(block[k * 16 + column])); }
};
struct Int4Codes {
    static constexpr int64_t kBytes = 16, kRows = 2;
    static constexpr bool kScales = true;
    static __device__ float at(const uint8_t* block, int64_t k, int64_t column) {
        return float((block[k / 2 * 16 + column] >> (k % 2 * 4) & 15) - 8);
    }
};
template <class Half>
struct HalfCodes {
    static constexpr int64_t kBytes = 32, kRows = 1;
    static constexpr bool kScales = false;
    static __device__ float at(const uint8_t* block, int64_t k, int64_t column) {
        const uint8_t* p = block + (k * 16 + column) * 2;
        return Half{uint16_t(p[0] | p[1] << 8)}.wide();
    }
};
using Bf16Codes = HalfCodes<BFloat16>;
using Fp16Codes = HalfCodes<Float16>;

// Columns of coded weights; the segments of the depth, of which each has `length` rows, follow one another.
template <class Codes>
struct CodedReader {
    struct Line {
        const uint8_t* block;
        const float* scales;
        int64_t column;
    };
    struct Segment {
        int64_t first;
    };
    const uint8_t* codes;
    const float* scales;
    int64_t columns, length, depth, group;
    bool deep;

    __device__ Line line(int64_t, int64_t index) const {
        if (index >= columns) return {nullptr, nullptr, 0};
        const int64_t block = index / 16, bytes = ceil_div(depth, Codes::kRows) * Codes::kBytes;
        return {codes + block * bytes, Codes::kScales ? scales + block * ceil_div(depth, group) * 16 : nullptr, index % 16};
    }
    __device__ Segment segment(int64_t number) const { return {number * length}; }
    __device__ float at(const Line& line, Segment s, int64_t k) const {
        if (line.block == nullptr) return 0.0f;
        const int64_t row = s.first + k;
        const float number = Codes::at(line.block, row, line.column);
        return Codes::kScales ? number * line.scales[row / group * 16 + line.column] : number;
    }
};

// y (rows, columns) = epilogue(x (rows, depth) w); `group` weights of a column share a scale.
template <class Codes, class Epilogue>
void coded_linear(const Executor& on, int64_t rows, int64_t depth, int64_t columns, int64_t group, const float* x, const void* codes,
                  const float* scales, float* y, float*, const Epilogue& epilogue) {
    const CodedReader<Codes> weights{static_cast<const uint8_t*>(codes), scales, columns, depth, depth, group, false};
    product(on, "coded_linear", {1, rows, columns, {1, depth}}, rows_of({x, depth, 1}, rows, 0), weights,
            StoreFinished{y, columns, 1, steps_of(epilogue)});
}

}}  // namespace nd::ND_ISA
