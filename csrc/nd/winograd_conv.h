// Convolutions of programs by Winograd's minimal filtering (winograd_points.h), weights taken to the points beforehand, with an
// epilogue: those of 3 x 3 taps with stride 1, and transposed ones whose kernel is twice as wide as their stride. A tile of
// outputs, and with it a row of a batch, has the same bits whatever tiles are beside it.
//
// Weights (T, T, I, O) -> [ceil(O / 16)][points * points][I][16], zeros behind column O: for each block of 16 columns, what
// G w G^T gives at each point, in the order in which it is read.
#pragma once
#include "direct_conv.h"
#include "winograd_tiles.h"

namespace nd { namespace ND_ISA {

constexpr int64_t kPointSkew = 16;  // floats between points and blocks, which then do not share the low bits of their addresses

// Maps of `in` channels to maps of `out` channels; `round` tiles lie at their points at one time.
template <class Filter>
struct WinogradProduct {
    static constexpr int64_t points = Filter::points * Filter::points;
    int64_t in, out, round;

    constexpr int64_t blocks() const { return ceil_div(out, kBlock); }
    // Columns that one task takes to the points and back: of few tiles many, so that the tiles of the products are full.
    constexpr int64_t panel() const { return min<int64_t>(blocks(), round < kTileRows ? 4 : 2) * kBlock; }
    constexpr int64_t weight_block() const { return points * in * kBlock; }
    constexpr int64_t sum_point() const { return round * panel() + kPointSkew; }
    constexpr PointLayout inputs() const {
        const int64_t block = round * kBlock + kPointSkew;
        return {ceil_div(in, kBlock) * block + kPointSkew, kBlock, block};
    }
    constexpr int64_t scratch(int threads) const { return points * (inputs().point + threads * sum_point()); }
};

// Where the `high` x `wide` outputs of an image lie in y: the first at `base`, and distances between images, rows, pixels.
struct Placement {
    int64_t base, high, wide, image, row, pixel;
};

// Tiles first .. end - 1, of which the sums at the points are [point][tile][panel], as the output's columns from `column` on.
template <class Filter, class Epilogue>
inline void sums_to_outputs(const WinogradProduct<Filter>& plan, const TiledMap& map, const Placement& place, const float* sums,
                            int64_t first, int64_t end, int64_t column, float* y, const Epilogue& epilogue) {
    constexpr int P = Filter::points, T = Filter::outputs;
    const int64_t out = plan.out, point = plan.sum_point(), stop = min(out, column + plan.panel());
    for (int64_t t = first; t < end; ++t, sums += plan.panel()) {
        const int64_t tile = t % map.tiles(), top = tile / map.across * T, left = tile % map.across * T;
        const int64_t corner = place.base + t / map.tiles() * place.image + top * place.row + left * place.pixel;
        const int64_t high = min<int64_t>(T, place.high - top), wide = min<int64_t>(T, place.wide - left);
        for (int64_t j = column; j < stop; j += kLanes) {
            const float* from = sums + j - column;
            Vec value[T][T];
            transform_axes<P, T>(typename Filter::Outputs{}, [&](int r, int c) { return load(from + (r * P + c) * point); },
                                 [&](int r, const Vec (&row)[T]) {
#pragma GCC unroll 4
                for (int c = 0; c < T; ++c) value[r][c] = row[c];
            });
            const int64_t count = min<int64_t>(kLanes, out - j);
            const Extent extent{j, count, false, true};
            if (high == T && wide == T) {
                Vec all[T * T][1];
#pragma GCC unroll 16
                for (int i = 0; i < T * T; ++i) all[i][0] = value[i / T][i % T];
                store_tile(all, y, [&](int i) { return corner + i / T * place.row + i % T * place.pixel + j; }, extent, epilogue);
                continue;
            }
            for (int r = 0; r < high; ++r)
                for (int c = 0; c < wide; ++c) {
                    const Vec one[1][1] = {{value[r][c]}};
                    const int64_t at = corner + r * place.row + c * place.pixel + j;
                    store_tile(one, y, [&](int) { return at; }, extent, epilogue);
                }
        }
    }
}

// Tiles at a point: 16 channels of a tile, then those of the tile beside it, so that their distance is known to the compiler.
struct TilesLeft {
    const float* p;
    ND_INLINE float operator()(int i, int64_t k) const { return p[i * kBlock + k]; }
};

// R tiles times B blocks of weights, `block` floats between 16 channels and the next 16.
template <int R, int B>
ND_INLINE void point_tile(int64_t depth, const float* tiles, int64_t block, const Blocks& w, float* sums, int64_t panel) {
    Vec acc[R][B * kBlockVecs] = {};
    for (int64_t k = 0; k < depth; k += kBlock)
        multiply(acc, min<int64_t>(kBlock, depth - k), TilesLeft{tiles + k / kBlock * block}, {w.p + k * w.step, w.step, w.next});
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < B * kBlockVecs; ++j) store(sums + i * panel + j * kLanes, acc[i][j]);
}

// sums [tile][panel] = `count` tiles times `blocks` blocks of weights. 16 tiles are taken at once where there are no more, so
// that weights, which come from far away, are read once; else as many as other products take; what is left 4, 2, 1 at a time.
inline void product_at_point(int64_t count, int64_t depth, const float* tiles, int64_t block, const Blocks& w, int64_t blocks,
                             float* sums, int64_t panel) {
    const auto rows = [&](auto height, auto width) {
        constexpr int R = decltype(height)::value, B = decltype(width)::value;
        for (; count >= R; count -= R, tiles += R * kBlock, sums += R * panel) {
            int64_t j = 0;
            for (; j + B <= blocks; j += B)
                point_tile<R, B>(depth, tiles, block, {w.p + j * w.next, w.step, w.next}, sums + j * kBlock, panel);
            if constexpr (B > 1)
                for (; j < blocks; ++j)
                    point_tile<R, 1>(depth, tiles, block, {w.p + j * w.next, w.step, w.next}, sums + j * kBlock, panel);
        }
    };
    if constexpr (kLanes == kBlock)
        if (count == 16) return rows(Const<16>{}, Const<1>{});
    rows(Const<kTileRows>{}, Const<tile_blocks(kTileRows)>{});
    if constexpr (kTileRows > 4) rows(Const<4>{}, Const<tile_blocks(4)>{});
    rows(Const<2>{}, Const<tile_blocks(2)>{});
    rows(Const<1>{}, Const<min(4, tile_blocks(1))>{});
}

// All tiles of `images` maps, round after round: to the points, and then panel by panel of columns through the products to
// outputs. `scratch` holds plan.scratch(executor.threads) floats.
template <class Filter, class Epilogue>
ND_NOINLINE void winograd_rounds(const Executor& executor, const WinogradProduct<Filter>& plan, int64_t images, const TiledMap& map,
                                 const Placement& place, const float* w, float* y, float* scratch, const Epilogue& epilogue) {
    const PointLayout inputs = plan.inputs();
    const int64_t tiles = images * map.tiles(), panels = ceil_div(plan.blocks() * kBlock, plan.panel());
    const Executor on = alone_if_small(executor, tiles * plan.points * plan.out, plan.in);
    const int64_t parts = ceil_div(on.threads, panels);
    float* own = scratch + plan.points * inputs.point;
    for (int64_t first = 0; first < tiles; first += plan.round) {
        const int64_t count = min(plan.round, tiles - first);
        parallel(on, ceil_div(count, 8), [&](int64_t task) {
            const int64_t t = 8 * task;
            tiles_to_points<Filter::outputs + Filter::taps - 1, Filter::points>(
                map, first + t, first + min(t + 8, count), scratch + t * inputs.tile, inputs, typename Filter::Inputs{});
        });
        const int64_t part = round_up(ceil_div(count, parts), kTileRows);
        balance(on, panels * parts, [&](int64_t worker, int64_t task) {
            const int64_t t = task % parts * part, some = min(part, count - t), column = task / parts * plan.panel();
            if (some <= 0) return;
            const int64_t columns = min(plan.panel(), plan.blocks() * kBlock - column);
            float* sums = own + worker * plan.points * plan.sum_point();
            for (int64_t p = 0; p < plan.points; ++p) {
                const float* at = w + column / kBlock * plan.weight_block() + p * plan.in * kBlock;
                product_at_point(some, plan.in, scratch + p * inputs.point + t * inputs.tile, inputs.block,
                                 {at, kBlock, plan.weight_block()}, columns / kBlock, sums + p * plan.sum_point(), plan.panel());
            }
            sums_to_outputs(plan, map, place, sums, first + t, first + t + some, column, y, epilogue);
        });
    }
}

// y (N, Ho, Wo, O) compact = epilogue(x * w), x (N, H, W, I) with any strides, w (3, 3, I, O) as above, stride 1.
// `scratch` holds WinogradProduct<Filter>{s.in, s.out, round}.scratch(executor.threads) floats.
template <class Filter, class Epilogue = Keep>
inline void winograd_conv(const Executor& executor, const ConvShape<>& s, int64_t round, int64_t images, const float* x,
                          const Strides4& strides, const float* w, float* y, float* scratch, const Epilogue& epilogue = {}) {
    constexpr int64_t T = Filter::outputs;
    const int64_t high = conv_rows(s).outputs, wide = conv_columns(s).outputs;
    const TiledMap map{x, strides, s.height, s.width, s.in, 1, s.padding, s.padding, ceil_div(high, T), ceil_div(wide, T), T};
    const Placement place{0, high, wide, high * wide * s.out, wide * s.out, s.out};
    winograd_rounds(executor, WinogradProduct<Filter>{s.in, s.out, round}, images, map, place, w, y, scratch, epilogue);
}

// y (N, H, W, Ci) compact = epilogue(the transposed convolution of x (N, Ho, Wo, Co), with any strides), as transposed_conv of
// conv_gradients.h, where the kernel is 2 S wide: each of the S x S phases of y is a convolution of x with 2 x 2 taps, the later
// ones of the kernel first. w holds the phases in a row, each as above with I = Co and O = Ci; `scratch` holds
// WinogradProduct<Filter>{s.out, s.in, round}.scratch(executor.threads) floats.
template <class Filter, class Epilogue = Keep>
inline void winograd_transposed(const Executor& executor, const ConvShape<>& s, int64_t round, int64_t images, const float* x,
                                const Strides4& strides, const float* w, float* y, float* scratch, const Epilogue& epilogue = {}) {
    constexpr int64_t T = Filter::outputs;
    const WinogradProduct<Filter> plan{s.out, s.in, round};
    const auto outputs = [&](int64_t size) { return conv_outputs(size, s.kernel, s.stride, s.padding); };
    const auto above = [&](int64_t first) { return 1 - (first + s.padding) / s.stride; };  // of the first pixel read
    for (int64_t a = 0; a < min(s.stride, s.height); ++a)
        for (int64_t b = 0; b < min(s.stride, s.width); ++b) {
            const int64_t high = ceil_div(s.height - a, s.stride), wide = ceil_div(s.width - b, s.stride);
            const TiledMap map{x, strides, outputs(s.height), outputs(s.width), s.out, 1, above(a), above(b), ceil_div(high, T),
                               ceil_div(wide, T), T};
            const Placement place{(a * s.width + b) * s.in, high, wide, s.height * s.width * s.in, s.stride * s.width * s.in,
                                  s.stride * s.in};
            const float* phase = w + (a * s.stride + b) * plan.blocks() * plan.weight_block();
            winograd_rounds(executor, plan, images, map, place, phase, y, scratch, epilogue);
        }
}

}}  // namespace nd::ND_ISA
