// Convolutions by Winograd's minimal filtering: 36 multiplications make 16 outputs of 3x3 taps instead of 144, 25 instead of 64
// with 2x2 taps. Tiles of the input and the weights are taken to points, multiplied there (one matrix product over the channels
// for each point), and taken back to 4x4 outputs. Kernels of 4x4 with stride 2 have 2x2 taps in each of four phases.
// Sums have one order, whatever the threads, the register width and the number of tiles at a time.
#pragma once
#include "conv_gradients.h"
#include "product.h"
#include "winograd_tiles.h"

namespace nd { namespace ND_ISA {

// Calls f(ThreeTaps or TwoTaps) for the taps that one phase of the kernel has.
template <class F>
ND_INLINE auto with_filter(const ConvShape<>& s, const F& f) {
    return s.kernel == 3 * s.stride ? f(ThreeTaps{}) : f(TwoTaps{});
}

// Whether this is a convolution for the functions below, and one that they speed up: maps that fill the tiles, channels that
// fill vectors, and enough tiles for each weight that is taken to the points. The transforms cost less than 3/4 of the products.
inline bool winograd_pays(const ConvShape<>& s, int64_t images) {
    if ((s.kernel != 3 * s.stride && s.kernel != 2 * s.stride) || s.in % kBlock != 0 || s.out % kBlock != 0) return false;
    const auto meetings = [](const ConvAxis& line) {  // of outputs and taps
        int64_t count = 0;
        for (int64_t i = 0; i < line.outputs; ++i) count += taps_at(line, i).end - taps_at(line, i).first;
        return count;
    };
    const ConvAxis v = conv_rows(s), h = conv_columns(s);
    const int64_t tiles = ceil_div(v.outputs, kTileOutputs) * ceil_div(h.outputs, kTileOutputs);
    const int64_t side = s.stride * with_filter(s, [](auto filter) { return filter.points; });
    return images * tiles >= 8 && 4 * meetings(v) * meetings(h) >= 7 * side * side * tiles;
}

constexpr int64_t kPanelBlocks = 2, kPanel = kPanelBlocks * kBlock;  // columns that one task takes to the points and back
constexpr int64_t kRoundTiles = 120;                                 // tiles that lie at their points at one time
constexpr int64_t kSkew = 16;  // floats between points and rows, so that they do not share the low bits of their addresses

// The outputs of an image, `high` x `wide` pixels, and distances between images, rows, pixels.
struct Placed {
    float* p;
    int64_t high, wide, image, row, pixel;
};

template <class Filter>
struct Winograd {
    static constexpr int64_t points = Filter::points * Filter::points;
    int64_t tiles, depth, columns;  // of all images; channels of all phases; channels of the output

    int64_t round() const { return min(tiles, kRoundTiles); }
    PointLayout inputs() const { return {round() * (depth + kSkew) + kSkew, depth + kSkew, kBlock}; }
    int64_t weight_point() const { return depth * kPanel + kSkew; }
    int64_t sum_point() const { return round() * kPanel + kSkew; }
    int64_t scratch(int threads) const { return points * (inputs().point + threads * (weight_point() + sum_point())); }
};

// Tiles first .. end - 1, of which the sums at the points are [point][tile][kPanel], as `columns` output channels.
template <class Filter>
inline void points_to_outputs(const TiledMap& map, const float* sums, int64_t point, int64_t first, int64_t end, int64_t columns,
                              const Placed& y) {
    constexpr int P = Filter::points;
    for (int64_t t = first; t < end; ++t, sums += kPanel) {
        const int64_t place = t % map.tiles(), row = place / map.across * kTileOutputs, column = place % map.across * kTileOutputs;
        float* corner = y.p + t / map.tiles() * y.image + row * y.row + column * y.pixel;
        const int64_t high = min<int64_t>(kTileOutputs, y.high - row), wide = min<int64_t>(kTileOutputs, y.wide - column);
        for (int64_t j = 0; j < columns; j += kLanes) {
            Vec value[P][P], out[kTileOutputs][kTileOutputs];
            for (int p = 0; p < P * P; ++p) value[p / P][p % P] = load(sums + p * point + j);
            both_axes(value, out, typename Filter::Outputs{});
            for (int r = 0; r < high; ++r)
                for (int c = 0; c < wide; ++c) store(corner + r * y.row + c * y.pixel + j, out[r][c]);
        }
    }
}

// y = x * w, round after round of tiles: to the points, and then panel by panel of columns through the products to outputs.
template <class Filter>
inline void winograd_tiles(const Executor& executor, const Winograd<Filter>& plan, const TiledMap& x, const TapWeights& w,
                           const Placed& y, float* scratch) {
    constexpr int P = Filter::points;
    const int64_t panels = ceil_div(plan.columns, kPanel), parts = ceil_div(executor.threads, panels);
    const PointLayout inputs = plan.inputs();
    float* own = scratch + plan.points * inputs.point;
    for (int64_t first = 0; first < plan.tiles; first += plan.round()) {
        const int64_t count = min(plan.round(), plan.tiles - first);
        parallel(executor, ceil_div(count, int64_t(8)), [&](int64_t task) {
            const int64_t t = 8 * task;
            tiles_to_points<kTileOutputs + Filter::taps - 1, P>(x, first + t, first + min(t + 8, count), scratch + t * inputs.tile,
                                                                inputs, typename Filter::Inputs{});
        });
        const int64_t part = round_up(ceil_div(count, parts), kTileRows);
        balance(executor, panels * parts, [&](int64_t worker, int64_t task) {
            const int64_t t = task % parts * part, tiles = min(part, count - t), column = task / parts * kPanel;
            if (tiles <= 0) return;
            const int64_t columns = min(kPanel, plan.columns - column);
            float* weights = own + worker * plan.points * (plan.weight_point() + plan.sum_point());
            float* sums = weights + plan.points * plan.weight_point();
            weights_to_points<Filter>(w, plan.depth, column, columns / kBlock, weights, plan.weight_point());
            for (int p = 0; p < P * P; ++p) {
                const Right right{{weights + p * plan.weight_point(), kBlock, plan.depth * kBlock}, nullptr, columns / kBlock};
                const Matrix left{scratch + p * inputs.point + t * inputs.tile, inputs.tile, 1};
                small_product(tiles, columns, plan.depth, left, right, sums + p * plan.sum_point(), kPanel, false);
            }
            Placed panel = y;
            panel.p += column;
            points_to_outputs<Filter>(x, sums, plan.sum_point(), first + t, first + t + tiles, columns, panel);
        });
    }
}

inline TiledMap tiled(const ConvShape<>& s, const float* x, const Strides4& strides) {
    const int64_t rows = conv_rows(s).outputs, columns = conv_columns(s).outputs;
    return {x, strides, s.height, s.width, s.in, s.stride, s.padding, s.padding, ceil_div(rows, kTileOutputs),
            ceil_div(columns, kTileOutputs)};
}

// Weights (K, K, Ci, Co), phase by phase.
inline TapWeights weights_of(const ConvShape<>& s, const float* w) {
    const int64_t across = s.in * s.out, down = s.kernel * across;
    return {w, s.stride * down, s.stride * across, s.stride, s.in, down, across, s.out, 1};
}

template <class Filter>
Winograd<Filter> winograd_plan(const ConvShape<>& s, int64_t images) {
    return {images * tiled(s, nullptr, {}).tiles(), s.stride * s.stride * s.in, s.out};
}

inline int64_t winograd_scratch(const ConvShape<>& s, int64_t images, int threads) {
    return with_filter(s, [&](auto filter) { return winograd_plan<decltype(filter)>(s, images).scratch(threads); });
}

// y (N, Ho, Wo, Co) compact = x * w, x (N, H, W, Ci) with any strides, w (K, K, Ci, Co) compact; Ci and Co are multiples of 16.
// `scratch` holds winograd_scratch(s, images, executor.threads) floats.
inline void winograd(const Executor& executor, const ConvShape<>& s, int64_t images, const float* x, const Strides4& strides,
                     const float* w, float* y, float* scratch) {
    const int64_t rows = conv_rows(s).outputs, columns = conv_columns(s).outputs;
    const Placed out{y, rows, columns, rows * columns * s.out, columns * s.out, s.out};
    with_filter(s, [&](auto filter) {
        winograd_tiles(executor, winograd_plan<decltype(filter)>(s, images), tiled(s, x, strides), weights_of(s, w), out,
                       scratch);
    });
}

}}  // namespace nd::ND_ISA
