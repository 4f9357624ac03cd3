// What programs call for quantized networks and weights.
#include "../nd/conv_tiles.h"
#include "../nd/pooling.h"
#include "../nd/direct_conv.h"
#include "bytes.h"
#include "coded.h"
#include "program.h"
#include <iterator>

namespace nd {
namespace {

template <class T>
T* of(const Arguments& a, int64_t i) { return reinterpret_cast<T*>(a.operands[i]); }

void check_zero(const Draft& draft, std::size_t i) { draft.known(i, "what stands for zero", 0, 255); }

void check_quantize(const Draft& draft) {
    const int64_t channels = draft.known(3, "the number of channels", 1);
    draft.known(4, "the number of channels of the result", channels);
    check_zero(draft, 5);
}

void check_dequantize(const Draft& draft) { check_zero(draft, 1); }

void check_table(const Draft& draft) {
    const int64_t channels = draft.known(1, "the number of channels", 1), tables = draft.known(2, "the number of tables", 1);
    if (tables != 1 && tables != channels)
        draft.refuse("needs one table, or one for each of " + std::to_string(channels) + " channels, got " + std::to_string(tables));
}

void check_byte_pool(const Draft& draft) {
    std::size_t from = 2;
    check_bands(draft, from, true);
    check_bands(draft, from, true);
    draft.need(static_cast<int64_t>(from), 0, 2);
}

// Whether the result is one of floats.
int result_dtype(const std::string& name) { return name == "uint8" ? 0 : name == "float32" ? 1 : -1; }

void check_byte_conv(const Draft& draft) {
    if (draft.known(3, "the number of channels", 4) % 4 != 0) draft.refuse("the number of channels must be a multiple of 4");
    draft.known(4, "the number of outputs", 1);
    draft.known(5, "the kernel size", 1);
    draft.known(6, "the stride", 1);
    draft.known(7, "the padding", 0);
    for (const std::size_t zero : {8u, 11u, 12u}) check_zero(draft, zero);
    if (draft.operands() != 7) draft.need(13, 1, 6);
}

void run_byte_conv(const Arguments& a) {
    const int64_t* n = a.integers;
    const ByteConvShape shape{n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]};
    const uint8_t* other = a.operand_count == 7 ? of<uint8_t>(a, 6) : nullptr;
    const ByteEpilogue epilogue{a.operands[3], n[9] != 0, n[10] != 0, other, a.numbers[0], n[11], n[12]};
    const auto run = [&](auto kernel, auto* y) {
        kernel(a.on, shape, n[0], of<uint8_t>(a, 0), of<int8_t>(a, 1), of<int32_t>(a, 2), epilogue, y, a.operands[5]);
    };
    if (a.functor == 1) run(bytes().conv_to_floats, a.operands[4]);
    else run(bytes().conv, of<uint8_t>(a, 4));
}

constexpr struct {
    const char* name;
    CodedLinear CodedTable::* kernel;
} kFormats[] = {{"int8", &CodedTable::int8}, {"int4", &CodedTable::int4}, {"bf16", &CodedTable::bf16}, {"fp16", &CodedTable::fp16}};

int weight_format(const std::string& name) {
    for (int i = 0; i < int(std::size(kFormats)); ++i)
        if (kFormats[i].name == name) return i;
    return -1;
}

void check_coded(const Draft& draft) {
    const int64_t depth = draft.known(1, "the depth", 1), least = draft.functor >= 2 ? 0 : 1;
    if (draft.functor == 1 && depth % 2 != 0) draft.refuse("the depth of int4 must be even, got " + std::to_string(depth));
    draft.known(2, "the number of columns", 1);
    draft.known(3, "the size of a group", least);
    if (draft.functor == 1 && draft.known(3, "the size of a group", 1) % 2 != 0) draft.refuse("groups of int4 must be even");
    check_epilogue(draft, 4, 5);
}

void run_coded(const Arguments& a) {
    const int64_t* n = a.integers;
    (coded().*kFormats[a.functor].kernel)(a.on, n[0], n[1], n[2], n[3], a.operands[0], a.operands[1], a.operands[2], a.operands[3],
                                          a.operands[4], steps_of(a, 4, 5));
}

}  // namespace

std::vector<Kernel> byte_kernels() {
    return {
        // images, height, width, channels, channels of y, what stands for zero, strides of x; one over the step; x, y
        {"quantize", 10, 1, 2, 1u << 1, nullptr, check_quantize, [](const Arguments& a) {
            const int64_t* n = a.integers;
            bytes().quantize(a.on, n[0], n[1], n[2], n[3], n[4], n[5], a.operands[0], {n[6], n[7], n[8], n[9]}, a.numbers[0],
                             of<uint8_t>(a, 1)); }},
        // n, what stands for zero; the step; x, y
        {"dequantize", 2, 1, 2, 1u << 1, nullptr, check_dequantize, [](const Arguments& a) {
            bytes().dequantize(a.on, a.integers[0], a.integers[1], of<uint8_t>(a, 0), a.numbers[0], a.operands[1]); }},
        // rows, channels, tables; x, tables of 256 bytes, y
        {"byte_table", 3, 0, 3, 1u << 2, nullptr, check_table, [](const Arguments& a) {
            const int64_t* n = a.integers;
            bytes().table(a.on, n[0], n[1], n[2], of<uint8_t>(a, 0), of<uint8_t>(a, 1), of<uint8_t>(a, 2)); }},
        // images, channels, the bands of rows and of columns; x, y
        {"byte_max_pool", -1, 0, 2, 1u << 1, nullptr, check_byte_pool, [](const Arguments& a) {
            const int64_t* n = a.integers;
            const Bands rows = bands_of(n + 2, nullptr), columns = bands_of(rows.start + rows.outputs + 1, nullptr);
            bytes().max_pool(a.on, n[0], n[1], rows, columns, of<uint8_t>(a, 0), of<uint8_t>(a, 1)); }},
        // images, height, width, in, out, kernel, stride, padding, what stands for zero, whether relu comes before and after what
        // is added, what stands for zero in it, in the result; its step over the result's; x, packed weights, what sums begin
        // with, scales, y of the dtype that the functor names, scratch[, what is added]
        {"byte_conv", 13, 1, -1, 1u << 4 | 1u << 5, result_dtype, check_byte_conv, run_byte_conv},
        // rows, depth, columns, weights of a scale, steps; x, packed codes of the format that the functor names, scales (of bf16
        // and fp16 anything), y, scratch, one for each bias and add
        {"coded_linear", -1, 0, -1, 1u << 3 | 1u << 4, weight_format, check_coded, run_coded},
    };
}

}  // namespace nd
