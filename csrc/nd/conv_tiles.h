// The pixels of a convolution as rows of register tiles. Output pixels that use the same taps are taken together, over
// several images, so that nothing is multiplied with padding and maps are read where they are. Where that would leave too
// few pixels for a tile, maps are widened by zeros instead. Either way the bits are the same: products with zeros add nothing.
#pragma once
#include "gemm.h"

namespace nd { namespace ND_ISA {

// One axis: output i reads the positions i * step + begin + t, t < taps, of which 0 .. size - 1 exist.
struct ConvAxis {
    int64_t outputs, step, begin, taps, size;
};

// The taps first .. end - 1 of output i are those that exist.
struct Taps {
    int64_t first, end;
};

constexpr Taps taps_at(const ConvAxis& line, int64_t i) {
    const int64_t at = i * line.step + line.begin;
    const int64_t first = min(line.taps, max<int64_t>(0, -at));
    return {first, max(first, min(line.taps, line.size - at))};
}

// A map as the tiles read it, its pixels side by side, and the distances between images and between rows.
struct Source {
    const float* p;
    int64_t image, row;
};

// A grid of output pixels, and where it lies in the output.
struct Grid {
    ConvAxis v, h;
    int64_t channels, columns;  // of the pixels read, of those written
    int64_t base, to_image, to_row, to_column;
};

// The outputs (y, x) with y0 <= y < y1 and x0 <= x < x1 of every image: all use the same taps.
struct Strip {
    int64_t y0, y1, x0, x1;
    Taps v, h;
    ND_INLINE int64_t pixels() const { return (y1 - y0) * (x1 - x0); }
};

// Calls f(strip) for all strips of a grid.
template <class F>
ND_INLINE void each_strip(const Grid& grid, const F& f) {
    const auto end = [](const ConvAxis& line, int64_t i) {  // of the outputs from i on that use the same taps
        const Taps taps = taps_at(line, i);
        for (++i; i < line.outputs; ++i) {
            const Taps next = taps_at(line, i);
            if (next.first != taps.first || next.end != taps.end) break;
        }
        return i;
    };
    for (int64_t y = 0, y1; y < grid.v.outputs; y = y1) {
        y1 = end(grid.v, y);
        for (int64_t x = 0, x1; x < grid.h.outputs; x = x1) {
            x1 = end(grid.h, x);
            f(Strip{y, y1, x, x1, taps_at(grid.v, y), taps_at(grid.h, x)});
        }
    }
}

// Walks over the pixels of a strip, image after image: what each reads first, and where it is written. From one pixel to the
// next it adds, in runs as long as one step leads on: a tile of few taps takes no longer than multiplying for each would.
class Walk {
public:
    ND_INLINE Walk(const Grid& grid, const Source& source, const Strip& strip)
        : grid(grid), source(source), strip(strip), run_(strip.x1 - strip.x0), rows_(strip.y1 - strip.y0) {
        from_ = (strip.y0 * grid.v.step + grid.v.begin + strip.v.first) * source.row +
                (strip.x0 * grid.h.step + grid.h.begin + strip.h.first) * grid.channels;
        to_ = grid.base + strip.y0 * grid.to_row + strip.x0 * grid.to_column;
        pixel_ = {grid.h.step * grid.channels, grid.to_column};
        const Move down{grid.v.step * source.row, grid.to_row};
        row_ = {down.from - (run_ - 1) * pixel_.from, down.to - (run_ - 1) * pixel_.to};
        image_ = {source.image - (rows_ - 1) * down.from - (run_ - 1) * pixel_.from,
                  grid.to_image - (rows_ - 1) * down.to - (run_ - 1) * pixel_.to};
        if (run_ == 1 || row_.is(pixel_)) pixel_ = row_, run_ *= rows_, rows_ = 1;
        if (rows_ == 1 && (run_ == 1 || image_.is(pixel_))) pixel_ = image_, run_ = INT64_MAX;
        left_ = run_;
        rows_left_ = rows_;
    }

    ND_INLINE void next(const float*& from, int64_t& to) {
        from = source.p + from_;
        to = to_;
        if (--left_ > 0) go(pixel_);
        else turn();
    }

    const Grid& grid;
    const Source& source;
    const Strip& strip;

private:
    struct Move {
        int64_t from, to;
        bool is(const Move& other) const { return from == other.from && to == other.to; }
    };
    ND_INLINE void go(const Move& move) {
        from_ += move.from;
        to_ += move.to;
    }
    ND_NOINLINE void turn() {
        left_ = run_;
        if (--rows_left_ > 0) return go(row_);
        rows_left_ = rows_;
        go(image_);
    }

    int64_t run_, rows_, left_, rows_left_, from_, to_;
    Move pixel_, row_, image_;  // to the next pixel, to the first of the next row, of the next image
};

// Not inlined, so that all layers with the same epilogue share it: tiles are what compilers spend their time on.
template <int R, int B, class Epilogue>
ND_NOINLINE void conv_tile(Walk& walk, const Blocks& b, int64_t column, float* y, const Epilogue& epilogue) {
    const Grid& grid = walk.grid;
    const Taps v = walk.strip.v, h = walk.strip.h;
    RowsLeft<R> left;
    int64_t to[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) walk.next(left.row[r], to[r]);
    const Extent e{column, grid.columns - column, false, true};
    const auto row = [&](int i) { return to[i] + column; };
    Vec acc[R][B * kBlockVecs];
    load_tile(acc, y, row, e);
    for (int64_t t = v.first; t < v.end; ++t) {
        const int64_t k = (t * grid.h.taps + h.first) * grid.channels;
        multiply(acc, (h.end - h.first) * grid.channels, left, {b.p + k * b.step, b.step, b.next});
        for (int r = 0; r < R; ++r) left.row[r] += walk.source.row;
    }
    store_tile(acc, y, row, e, epilogue);
}

// `pixels` pixels of a strip in tiles of R rows and B blocks, the last one with fewer rows.
template <int R, int B, class Epilogue>
ND_INLINE void conv_strip(Walk walk, int64_t pixels, const Blocks& b, int64_t column, float* y, const Epilogue& epilogue) {
    for (; pixels >= R; pixels -= R) conv_tile<R, B>(walk, b, column, y, epilogue);
    if constexpr (R > 1)
        if (pixels > 0)
            with_height<1, R - 1>(pixels, [&](auto rest) { conv_tile<decltype(rest)::value, B>(walk, b, column, y, epilogue); });
}

// All pixels of `images` images times weights packed as [ceil(columns / 16)][tap rows][tap columns][channels][16]. Few
// pixels make tiles that are wide instead of high.
template <class Epilogue>
ND_INLINE void conv_grid(const Grid& grid, const Source& source, int64_t images, const float* packed, float* y,
                         const Epilogue& epilogue) {
    const int64_t depth = grid.v.taps * grid.h.taps * grid.channels, blocks = ceil_div(grid.columns, kBlock);
    int64_t pixels = 0;  // of the largest strip: high tiles read the weights less often
    each_strip(grid, [&](const Strip& strip) { pixels = max(pixels, images * strip.pixels()); });
    if (pixels == 0) return;
    with_height(min<int64_t>(pixels, kTileRows), [&](auto height) {
        constexpr int R = decltype(height)::value, B = tile_blocks(R);
        auto panel = [&](auto width, int64_t j) {
            const Blocks b{packed + j * depth * kBlock, kBlock, depth * kBlock};
            each_strip(grid, [&](const Strip& strip) {
                const Walk walk(grid, source, strip);
                conv_strip<R, decltype(width)::value>(walk, images * strip.pixels(), b, j * kBlock, y, epilogue);
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

// Zeros around a map.
struct Border {
    int64_t top, bottom, left, right;
};

constexpr int64_t zeros_before(const ConvAxis& line) { return max<int64_t>(0, -line.begin); }
constexpr int64_t zeros_behind(const ConvAxis& line) {
    return line.outputs == 0 ? 0 : max<int64_t>(0, (line.outputs - 1) * line.step + line.begin + line.taps - line.size);
}

// The zeros that joining pixels to tiles takes: beside the rows when images are few, above and below when rows are short too.
constexpr Border border_of(int64_t images, const ConvAxis& v, const ConvAxis& h) {
    const bool beside = images < kTileRows, above = images * h.outputs < 4;
    return {above ? zeros_before(v) : 0, above ? zeros_behind(v) : 0,
            beside ? zeros_before(h) : 0, beside ? zeros_behind(h) : 0};
}

constexpr ConvAxis widened(ConvAxis line, int64_t before, int64_t behind) {
    line.begin += before;
    line.size += before + behind;
    return line;
}

// How tiles get at a map (height, width, channels): in place where its pixels lie side by side and no border is wanted,
// otherwise through copies of image() floats each.
struct Reader {
    const float* x;
    Strides4 strides;
    int64_t height, width, channels;
    Border border;

    ND_INLINE int64_t row() const { return (border.left + width + border.right) * channels; }
    ND_INLINE int64_t image() const { return (border.top + height + border.bottom) * row(); }
    ND_INLINE bool in_place() const {
        return (strides.c == 1 || channels == 1) && (strides.w == channels || width == 1) &&
               border.top + border.bottom + border.left + border.right == 0;
    }

    void copy(const float* from, float* out) const {
        const auto zeros = [&](int64_t count) {
            for (int64_t i = 0; i < count; ++i) *out++ = 0.0f;
        };
        zeros(border.top * row());
        for (int64_t y = 0; y < height; ++y, from += strides.h) {
            zeros(border.left * channels);
            copy_pixels(from, strides.w, strides.c, width, channels, out);
            out += width * channels;
            zeros(border.right * channels);
        }
        zeros(border.bottom * row());
    }

    // The images from `first` on; `copies` receives those that are not read in place.
    ND_INLINE Source read(int64_t first, int64_t images, float* copies) const {
        const float* from = x + first * strides.n;
        if (in_place()) return {from, strides.n, strides.h};
        for (int64_t i = 0; i < images; ++i) copy(from + i * strides.n, copies + i * image());
        return {copies, image(), row()};
    }
};

// Images per task: whole tiles of images, enough tasks to balance, maps that fit the first cache levels.
constexpr int64_t images_per_task(int64_t images, int64_t floats, int threads) {
    const int64_t fit = 16384 / max<int64_t>(1, floats), share = threads > 1 ? ceil_div(images, 4 * threads) : images;
    if (images < kTileRows) return max<int64_t>(1, share);
    return min(images, round_up(max<int64_t>(1, min(fit, share)), kTileRows));
}

}}  // namespace nd::ND_ISA
