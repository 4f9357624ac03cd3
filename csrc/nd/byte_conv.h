// Convolution of maps of bytes with weights of bytes: exact sums in 32 bits, and a result in bytes again or in floats. The
// pixels are walked as those of conv_tiles.h; four channels, which are multiplied at once, are one of its "floats".
#pragma once
#include "byte_arguments.h"
#include "byte_dots.h"
#include "byte_maps.h"
#include "conv.h"

namespace nd { namespace ND_ISA {

constexpr ConvShape<> byte_shape(const ByteConvShape& s) {
    return {s.height, s.width, s.in / kGroup, s.out, s.kernel, s.stride, s.padding};
}

// Zeros of another byte than 0 are put around maps; others are left out, as conv_tiles.h says.
constexpr Border byte_border(const ByteConvShape& s, int64_t images) {
    const ConvAxis v = conv_rows(byte_shape(s)), h = conv_columns(byte_shape(s));
    if (s.zero != 0) return {zeros_before(v), zeros_behind(v), zeros_before(h), zeros_behind(h)};
    return border_of(images, v, h);
}

constexpr bool borderless(const Border& b) { return b.top + b.bottom + b.left + b.right == 0; }

// Groups of four bytes of an image with its border.
constexpr int64_t byte_image(const ByteConvShape& s, const Border& b) {
    return (b.top + s.height + b.bottom) * (b.left + s.width + b.right) * (s.in / kGroup);
}

// Floats of scratch memory.
constexpr int64_t byte_conv_scratch(const ByteConvShape& s, int64_t images, int threads) {
    const Border border = byte_border(s, images);
    return borderless(border) ? 0 : threads * images_per_task(images, byte_image(s, border), threads) * byte_image(s, border);
}

// Maps with `zero` around them, side by side.
inline void put_border(const ByteConvShape& s, const Border& b, int64_t images, const uint8_t* x, uint8_t* out) {
    const std::size_t line = static_cast<std::size_t>(s.width * s.in), image = static_cast<std::size_t>(byte_image(s, b) * kGroup);
    const int64_t row = (b.left + s.width + b.right) * s.in;
    for (int64_t i = 0; i < images; ++i, out += image) {
        std::memset(out, int(s.zero), image);
        for (int64_t y = 0; y < s.height; ++y, x += line) std::memcpy(out + (b.top + y) * row + b.left * s.in, x, line);
    }
}

// How a value is stored: relu is a bound.
struct ToFloats {
    Vec low;
    ToFloats(int64_t, bool relu) : low(splat(relu ? 0.0f : -__builtin_inff())) {}
    ND_INLINE void store_some(float* y, Vec v, Const<kLanes>) const { store(y, select(v > low, v, low)); }
    ND_INLINE void store_some(float* y, Vec v, int64_t count) const { store_first(y, select(v > low, v, low), count); }
};
struct AsBytes {
    ToBytes to_bytes;
    AsBytes(int64_t zero, bool relu) : to_bytes(zero, relu) {}
    template <class N>
    ND_INLINE void store_some(uint8_t* y, Vec v, N count) const { store_bytes(y, to_bytes(v), count); }
};

template <int R, int V, class Y>
ND_INLINE void finish_bytes(const IVec (&sums)[R][V], const int64_t (&to)[R], int64_t column, int64_t columns,
                            const ByteEpilogue& e, Y* y) {
    const std::conditional_t<std::is_same_v<Y, float>, ToFloats, AsBytes> result(e.zero, e.relu_last);
    const auto finish = [&](int j, auto count) {
        const Vec scale = load(e.scale + column + j * kLanes);
        if (e.other) {
            const Vec low = splat(e.relu_first ? 0.0f : -__builtin_inff()), ratio = splat(e.ratio);
            for (int i = 0; i < R; ++i) {
                const int64_t at = to[i] + column + j * kLanes;
                const Vec v = floats_of(sums[i][j]) * scale;
                const Vec other = floats_of(load_bytes(e.other + at, count) - int32_t(e.other_zero)) * ratio;
                result.store_some(y + at, select(v > low, v, low) + other, count);
            }
        } else {
            for (int i = 0; i < R; ++i) result.store_some(y + to[i] + column + j * kLanes, floats_of(sums[i][j]) * scale, count);
        }
    };
    for (int j = 0; j < V && j * kLanes < columns; ++j) {
        if ((j + 1) * kLanes <= columns) finish(j, Const<kLanes>{});
        else finish(j, columns - j * kLanes);
    }
}

// Weights, and what sums begin with, from a column on.
struct BytePanel {
    const int8_t* weights;
    int64_t next;
    const int32_t* start;
};

// The pixels of a strip, image after image: what each reads first, and where it is written. Along a row both move by a step.
struct ByteWalk {
    const Grid& grid;
    const Source& source;
    const Strip& strip;
    int64_t across, image = 0, y, x, to;
    const uint8_t* from;

    ND_INLINE ByteWalk(const Grid& grid, const Source& source, const Strip& strip)
        : grid(grid), source(source), strip(strip), across(grid.h.step * grid.channels * kGroup), y(strip.y0) {
        begin_row();
    }

    ND_INLINE void begin_row() {
        const int64_t row = y * grid.v.step + grid.v.begin + strip.v.first, pixel = strip.x0 * grid.h.step + grid.h.begin + strip.h.first;
        from = reinterpret_cast<const uint8_t*>(source.p) +
               kGroup * (image * source.image + row * source.row + pixel * grid.channels);
        to = grid.base + image * grid.to_image + y * grid.to_row + strip.x0 * grid.to_column;
        x = strip.x0;
    }

    ND_NOINLINE void next_row() {
        if (++y == strip.y1) y = strip.y0, ++image;
        begin_row();
    }

    template <int R>
    ND_INLINE void take(const uint8_t* (&row)[R], int64_t (&place)[R]) {
        for (int r = 0; r < R; ++r) {
            row[r] = from;
            place[r] = to;
            from += across;
            to += grid.to_column;
            if (++x == strip.x1) next_row();
        }
    }
};

template <int R, int B, class Y>
ND_NOINLINE void byte_tile(ByteWalk& walk, const BytePanel& panel, int64_t column, const ByteEpilogue& epilogue, Y* y) {
    const Grid& grid = walk.grid;
    const Taps v = walk.strip.v, h = walk.strip.h;
    const uint8_t* row[R];
    int64_t to[R];
    walk.take(row, to);
    IVec sums[R][B * kBlockVecs];
    const int8_t* weights = panel.weights + (v.first * grid.h.taps + h.first) * grid.channels * kGroupBytes;
    const int64_t groups = (h.end - h.first) * grid.channels;
    byte_dots(ByteTile{row, v.end - v.first, groups, walk.source.row * kGroup, weights, grid.h.taps * grid.channels * kGroupBytes,
                       panel.next, panel.start}, sums);
    finish_bytes(sums, to, column, grid.columns - column, epilogue, y);
}

constexpr int byte_blocks(int rows) { return kLanes == 16 ? tile_blocks(rows) : 1; }

// `pixels` pixels of a strip in tiles of R rows and B blocks, the last one with fewer rows.
template <int R, int B, class Y>
ND_INLINE void byte_strip(ByteWalk walk, int64_t pixels, const BytePanel& panel, int64_t column, const ByteEpilogue& epilogue, Y* y) {
    for (; pixels >= R; pixels -= R) byte_tile<R, B>(walk, panel, column, epilogue, y);
    if constexpr (R > 1)
        if (pixels > 0)
            with_height<1, R - 1>(pixels, [&](auto rest) { byte_tile<decltype(rest)::value, B>(walk, panel, column, epilogue, y); });
}

// All pixels of `images` images, as conv_grid of conv_tiles.h.
template <class Y>
ND_INLINE void byte_grid(const Grid& grid, const Source& source, int64_t images, const int8_t* packed, const int32_t* start,
                         const ByteEpilogue& epilogue, Y* y) {
    const int64_t next = grid.v.taps * grid.h.taps * grid.channels * kGroupBytes, blocks = ceil_div(grid.columns, kBlock);
    int64_t pixels = 0;
    each_strip(grid, [&](const Strip& strip) { pixels = max(pixels, images * strip.pixels()); });
    if (pixels == 0) return;
    with_height<1, kByteRows>(min<int64_t>(pixels, kByteRows), [&](auto height) {
        constexpr int R = decltype(height)::value, B = byte_blocks(R);
        const auto panel = [&](auto width, int64_t j) {
            const BytePanel part{packed + j * next, next, start + j * kBlock};
            each_strip(grid, [&](const Strip& strip) {
                const ByteWalk walk(grid, source, strip);
                byte_strip<R, decltype(width)::value>(walk, images * strip.pixels(), part, j * kBlock, epilogue, y);
            });
        };
        int64_t j = 0;
        for (; j + B <= blocks; j += B) panel(Const<B>{}, j);
        if constexpr (B > 2)
            for (; j + 2 <= blocks; j += 2) panel(Const<2>{}, j);
        if constexpr (B > 1)
            for (; j < blocks; ++j) panel(Const<1>{}, j);
    });
}

// y (N, Ho, Wo, out) = epilogue(start + x * w), x (N, H, W, in) without gaps, w packed with the taps that conv_line keeps, as
// byte_dots.h says; start (out,) filled up to whole blocks.
template <class Y>
inline void byte_conv(const Executor& executor, const ByteConvShape& s, int64_t images, const uint8_t* x, const int8_t* packed,
                      const int32_t* start, const ByteEpilogue& epilogue, Y* y, float* scratch) {
    const ConvShape<> shape = byte_shape(s);
    const ConvAxis v = conv_rows(shape), h = conv_columns(shape);
    const Border border = byte_border(s, images);
    const int64_t image = byte_image(s, border), step = images_per_task(images, image, executor.threads);
    const int64_t row = (border.left + s.width + border.right) * shape.in, size = v.outputs * h.outputs * s.out;
    const Executor on = alone_if_small(executor, images * size, v.taps * h.taps * shape.in);
    balance(on, ceil_div(images, step), [&](int64_t worker, int64_t task) {
        const int64_t first = task * step, count = min(step, images - first);
        const uint8_t* from = x + first * s.height * s.width * s.in;
        if (!borderless(border)) {
            uint8_t* copies = reinterpret_cast<uint8_t*>(scratch + worker * step * image);
            put_border(s, border, count, from, copies);
            from = copies;
        }
        const Source source{reinterpret_cast<const float*>(from), image, row};
        const ConvAxis rows = widened(v, border.top, border.bottom), columns = widened(h, border.left, border.right);
        const Grid grid{rows, columns, shape.in, s.out, first * size, size, h.outputs * s.out, s.out};
        byte_grid(grid, source, count, packed, start, epilogue, y);
    });
}

}}  // namespace nd::ND_ISA
