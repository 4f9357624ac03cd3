// Sums of bytes by both ways to compute them, against integers: the largest factors, odd numbers of groups, every height of a
// tile; whole convolutions against sums in 64 bits, with borders of zeros and of other bytes, for one thread and three.
#include "../../csrc/nd/pool_impl.h"
#include "../../csrc/nd/byte_conv.h"
#include "../../csrc/nd/coded_linear.h"
#include "check.h"

namespace {

uint32_t state = 1;
uint32_t drawn() { return (state = state * 1664525u + 1013904223u) >> 8; }

std::vector<uint8_t> bytes(int64_t n, bool extreme) {
    std::vector<uint8_t> found(static_cast<std::size_t>(n));
    for (uint8_t& x : found) x = extreme ? 255 : uint8_t(drawn());
    return found;
}
std::vector<int8_t> weights(int64_t n, bool extreme) {
    std::vector<int8_t> found(static_cast<std::size_t>(n));
    for (int8_t& x : found) x = extreme ? int8_t(drawn() % 2 ? 127 : -127) : int8_t(int(drawn() % 255) - 127);
    return found;
}

// [ceil(columns / 16)][depth / 4][16][4] of w (depth, columns).
std::vector<int8_t> packed(const std::vector<int8_t>& w, int64_t depth, int64_t columns) {
    std::vector<int8_t> found(static_cast<std::size_t>(nd::round_up(columns, 16) * depth));
    for (int64_t k = 0; k < depth; ++k)
        for (int64_t c = 0; c < columns; ++c)
            found[((c / 16 * (depth / 4) + k / 4) * 16 + c % 16) * 4 + k % 4] = w[k * columns + c];
    return found;
}

template <int R>
void check_dots(int64_t groups, bool extreme) {
    constexpr int V = nd::kBlockVecs;
    const int64_t depth = 4 * groups;
    const auto x = bytes(R * depth, extreme);
    const auto w = weights(depth * 16, extreme), p = packed(w, depth, 16);
    int32_t start[16];
    for (int32_t& s : start) s = int32_t(drawn()) - (1 << 23);
    const uint8_t* row[R];
    for (int r = 0; r < R; ++r) row[r] = x.data() + r * depth;
    const nd::ByteTile tile{row, 1, groups, depth, p.data(), 0, 0, start};
    const auto same = [&](const char* how, const nd::IVec (&sums)[R][V]) {
        for (int r = 0; r < R; ++r)
            for (int c = 0; c < 16; ++c) {
                int64_t sum = start[c];
                for (int64_t k = 0; k < depth; ++k) sum += int64_t(x[r * depth + k]) * w[k * 16 + c];
                CHECK(sums[r][c / nd::kLanes][c % nd::kLanes] == sum, "%s: row %d of %d, column %d, %d groups", how, r, R, c, int(groups));
            }
    };
    nd::IVec sums[R][V];
    nd::dots_by_pairs(tile, sums);
    same("pairs", sums);
#if defined(__AVX512F__)
    if (!nd::has_vnni()) return;
    nd::dots_by_vnni(tile, sums);
    same("vnni", sums);
#endif
}

void check_conv(const nd::ByteConvShape& s, int64_t images) {
    const nd::ConvShape<> shape = nd::byte_shape(s);
    const nd::ConvAxis v = nd::conv_rows(shape), h = nd::conv_columns(shape);
    const auto x = bytes(images * s.height * s.width * s.in, false);
    const auto w = weights(v.taps * h.taps * s.in * s.out, false), p = packed(w, v.taps * h.taps * s.in, s.out);
    const int64_t columns = nd::round_up(s.out, 16), size = images * v.outputs * h.outputs * s.out;
    std::vector<int32_t> start(static_cast<std::size_t>(columns));
    std::vector<float> scale(static_cast<std::size_t>(columns));
    for (int64_t c = 0; c < s.out; ++c) start[c] = int32_t(drawn() % 2000) - 1000, scale[c] = 1.0f / float(1 + drawn() % 5000);
    const auto other = bytes(size, false);
    const nd::ByteEpilogue epilogue{scale.data(), true, false, other.data(), 0.5f, 3, 7};
    std::vector<float> floats(static_cast<std::size_t>(size)), again(floats.size());
    std::vector<uint8_t> found(floats.size());
    static nd::Pool* pool = nd::pool_create(3);
    for (const nd::Executor& on : {nd::Executor{}, nd::pool_executor(pool)}) {
        std::vector<float> scratch(static_cast<std::size_t>(nd::byte_conv_scratch(s, images, on.threads)));
        nd::byte_conv(on, s, images, x.data(), p.data(), start.data(), epilogue, floats.data(), scratch.data());
        nd::byte_conv(on, s, images, x.data(), p.data(), start.data(), epilogue, found.data(), scratch.data());
        for (int64_t at = 0; at < size; ++at) {
            const int64_t c = at % s.out, pixel = at / s.out, b = pixel % h.outputs, a = pixel / h.outputs % v.outputs;
            const int64_t n = pixel / h.outputs / v.outputs;
            int64_t sum = start[c];
            for (int64_t i = 0; i < v.taps; ++i)
                for (int64_t j = 0; j < h.taps; ++j)
                    for (int64_t k = 0; k < s.in; ++k) {
                        const int64_t r = a * s.stride + v.begin + i, q = b * s.stride + h.begin + j;
                        const bool inside = r >= 0 && r < s.height && q >= 0 && q < s.width;
                        const int64_t value = inside ? x[((n * s.height + r) * s.width + q) * s.in + k] : s.zero;
                        sum += value * w[((i * h.taps + j) * s.in + k) * s.out + c];
                    }
            float expected = float(int32_t(sum)) * scale[c];
            expected = (expected > 0 ? expected : 0.0f) + float(int(other[at]) - 3) * 0.5f;
            CHECK(floats[at] == expected, "element %d is %g, not %g", int(at), floats[at], expected);
            const float whole = std::nearbyint(expected < -7 ? -7.0f : expected > 248 ? 248.0f : expected) + 7;
            CHECK(float(found[at]) == whole, "byte %d is %d, not %g", int(at), found[at], whole);
        }
        if (on.threads == 1) again = floats;
        CHECK(std::memcmp(again.data(), floats.data(), sizeof(float) * again.size()) == 0, "threads change the bits");
    }
}

// Codes in memory that ends where they end.
template <class Codes>
void check_coded(int64_t rows, int64_t depth, int64_t out, int64_t group) {
    const auto codes = bytes(nd::ceil_div(out, 16) * depth / Codes::kRows * Codes::kBytes, false);
    const int64_t groups = nd::ceil_div(depth, group);
    const std::vector<float> scales(static_cast<std::size_t>(nd::ceil_div(out, 16) * groups * 16), 0.25f);
    const auto x = random_floats(rows * depth);
    std::vector<float> y(static_cast<std::size_t>(rows * out)), one(y.size()), scratch(static_cast<std::size_t>(3 * nd::coded_scratch(depth)));
    static nd::Pool* pool = nd::pool_create(3);
    nd::coded_linear<Codes>(nd::pool_executor(pool), rows, depth, out, group, x.data(), codes.data(), scales.data(), y.data(), scratch.data(), {});
    for (int64_t r = 0; r < rows; ++r)
        nd::coded_linear<Codes>({}, 1, depth, out, group, x.data() + r * depth, codes.data(), scales.data(), one.data() + r * out, scratch.data(), {});
    CHECK(std::memcmp(y.data(), one.data(), sizeof(float) * y.size()) == 0, "%d rows have other bits than each alone", int(rows));
}

// Every float16 in lanes as stored.h has it alone; which NaN is left open.
void check_halves() {
    for (uint32_t first = 0; first < 65536; first += nd::kLanes) {
        uint16_t codes[nd::kLanes];
        for (int i = 0; i < nd::kLanes; ++i) codes[i] = uint16_t(first + i);
        const nd::Vec found = nd::Fp16Codes::at<0>(reinterpret_cast<const uint8_t*>(codes), 0);
        for (int i = 0; i < nd::kLanes; ++i) {
            const float alone = nd::Float16{codes[i]}.wide(), lane = found[i];
            CHECK(nd::bits_of(lane) == nd::bits_of(alone) || (lane != lane && alone != alone), "%x: %g, not %g", codes[i], lane, alone);
        }
    }
}

}  // namespace

int main() {
    check_halves();
    for (const bool extreme : {true, false})
        for (const int64_t groups : {1, 2, 3, 64, 4001}) {
            check_dots<1>(groups, extreme);
            check_dots<nd::kByteRows>(groups, extreme);
        }
    for (const int64_t zero : {0, 128})
        for (const int64_t images : {1, 3, 9}) {
            check_conv({5, 7, 4, 20, 3, 1, 1, zero}, images);
            check_conv({4, 4, 8, 37, 3, 2, 1, zero}, images);
            check_conv({1, 1, 12, 16, 1, 1, 0, zero}, images);
            check_conv({9, 6, 4, 3, 5, 3, 4, zero}, images);
        }
    for (const int64_t rows : {1, 3, 8, 15, 16, 21}) {
        check_coded<nd::Int8Codes>(rows, 33, 21, 8);
        check_coded<nd::Int4Codes>(rows, 34, 150, 8);
    }
    return finish("bytes");
}
