// Convolutions of programs by Winograd's minimal filtering (winograd_points.h): 3 x 3 taps, stride 1, weights taken to the points
// beforehand, an epilogue. A tile of outputs, and with it a row of a batch, has the same bits whatever tiles are beside it.
//
// Weights (3, 3, I, O) -> [ceil(O / 16)][points * points][I][16], zeros behind column O: for each block of 16 columns, what
// G w G^T gives at each point, in the order in which it is read.
#pragma once
#include "direct_conv.h"
#include "winograd_tiles.h"

namespace nd {

// Maps (height, width, in) with `padding` zeros around them; `round` tiles lie at their points at one time.
struct WinogradShape {
    int64_t height, width, in, out, padding, round;
};

namespace ND_ISA {

constexpr int64_t kPointSkew = 16;  // floats between points and blocks, which then do not share the low bits of their addresses

template <class Filter>
struct WinogradConv {
    static constexpr int64_t points = Filter::points * Filter::points;
    WinogradShape s;

    constexpr int64_t rows() const { return conv_outputs(s.height, 3, 1, s.padding); }
    constexpr int64_t columns() const { return conv_outputs(s.width, 3, 1, s.padding); }
    constexpr int64_t blocks() const { return ceil_div(s.out, kBlock); }
    // Columns that one task takes to the points and back: of few tiles many, so that the tiles of the products are full.
    constexpr int64_t panel() const { return min<int64_t>(blocks(), s.round < kTileRows ? 4 : 2) * kBlock; }
    constexpr int64_t weight_block() const { return points * s.in * kBlock; }
    constexpr int64_t sum_point() const { return s.round * panel() + kPointSkew; }
    constexpr PointLayout inputs() const {
        const int64_t block = s.round * kBlock + kPointSkew;
        return {ceil_div(s.in, kBlock) * block + kPointSkew, kBlock, block};
    }
    constexpr int64_t scratch(int threads) const { return points * (inputs().point + threads * sum_point()); }

    TiledMap tiled(const float* x, const Strides4& strides) const {
        constexpr int64_t outputs = Filter::outputs;
        return {x, strides, s.height, s.width, s.in, 1, s.padding, s.padding, ceil_div(rows(), outputs), ceil_div(columns(), outputs),
                outputs};
    }
};

// Tiles first .. end - 1, of which the sums at the points are [point][tile][panel], as the output's columns from `column` on.
template <class Filter, class Epilogue>
inline void sums_to_outputs(const WinogradConv<Filter>& plan, const TiledMap& map, const float* sums, int64_t first, int64_t end,
                            int64_t column, float* y, const Epilogue& epilogue) {
    constexpr int P = Filter::points, T = Filter::outputs;
    const int64_t rows = plan.rows(), columns = plan.columns(), out = plan.s.out, point = plan.sum_point();
    const int64_t stop = min(out, column + plan.panel());
    for (int64_t t = first; t < end; ++t, sums += plan.panel()) {
        const int64_t place = t % map.tiles(), top = place / map.across * T, left = place % map.across * T;
        const int64_t corner = ((t / map.tiles() * rows + top) * columns + left) * out;
        const int64_t high = min<int64_t>(T, rows - top), wide = min<int64_t>(T, columns - left);
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
                store_tile(all, y, [&](int i) { return corner + (i / T * columns + i % T) * out + j; }, extent, epilogue);
                continue;
            }
            for (int r = 0; r < high; ++r)
                for (int c = 0; c < wide; ++c) {
                    const Vec one[1][1] = {{value[r][c]}};
                    const int64_t at = corner + (r * columns + c) * out + j;
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

// y (N, Ho, Wo, O) compact = epilogue(x * w), x (N, H, W, I) with any strides, w as above; `scratch` holds
// WinogradConv<Filter>{shape}.scratch(executor.threads) floats.
template <class Filter, class Epilogue = Keep>
ND_NOINLINE void winograd_conv(const Executor& executor, const WinogradShape& shape, int64_t images, const float* x,
                               const Strides4& strides, const float* w, float* y, float* scratch, const Epilogue& epilogue = {}) {
    const WinogradConv<Filter> plan{shape};
    const TiledMap map = plan.tiled(x, strides);
    const PointLayout inputs = plan.inputs();
    const int64_t tiles = images * map.tiles(), panels = ceil_div(plan.blocks() * kBlock, plan.panel());
    const Executor on = alone_if_small(executor, tiles * plan.points * shape.out, shape.in);
    const int64_t parts = ceil_div(on.threads, panels);
    float* own = scratch + plan.points * inputs.point;
    for (int64_t first = 0; first < tiles; first += shape.round) {
        const int64_t count = min(shape.round, tiles - first);
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
                const float* at = w + column / kBlock * plan.weight_block() + p * shape.in * kBlock;
                product_at_point(some, shape.in, scratch + p * inputs.point + t * inputs.tile, inputs.block,
                                 {at, kBlock, plan.weight_block()}, columns / kBlock, sums + p * plan.sum_point(), plan.panel());
            }
            sums_to_outputs(plan, map, sums, first + t, first + t + some, column, y, epilogue);
        });
    }
}

}}  // namespace nd::ND_ISA
