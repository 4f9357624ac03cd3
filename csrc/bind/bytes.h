// Quantized maps and convolutions, as a table of plain functions.
#pragma once
#include "../nd/byte_arguments.h"
#include "select.h"

namespace nd {

struct Bands;     // of pooling.h
struct Strides4;  // of conv_tiles.h

struct BytesTable {
    void (*quantize)(const Executor&, int64_t images, int64_t height, int64_t width, int64_t channels, int64_t filled, int64_t zero,
                     const float* x, const Strides4& strides, float inverse, uint8_t* y);
    void (*dequantize)(const Executor&, int64_t n, int64_t zero, const uint8_t* x, float step, float* y);
    void (*table)(const Executor&, int64_t rows, int64_t channels, int64_t tables, const uint8_t* x, const uint8_t* table, uint8_t* y);
    void (*max_pool)(const Executor&, int64_t images, int64_t channels, const Bands& v, const Bands& h, const uint8_t* x, uint8_t* y);
    void (*conv)(const Executor&, const ByteConvShape&, int64_t images, const uint8_t* x, const int8_t* packed, const int32_t* start,
                 const ByteEpilogue&, uint8_t* y, float* scratch);
    void (*conv_to_floats)(const Executor&, const ByteConvShape&, int64_t images, const uint8_t* x, const int8_t* packed,
                           const int32_t* start, const ByteEpilogue&, float* y, float* scratch);
};

}  // namespace nd
ND_FAMILY(BytesTable, bytes)
