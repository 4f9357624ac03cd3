// Convolution of NHWC maps (N, H, W, Ci) with square kernels (K, K, Ci, Co), and its two gradients, as implicit matrix products:
// pixels times weights, one chain of fused multiply-adds per output over (kernel row, kernel column, channel). No patch matrix
// is built: inputs are read in place, or from a zero-padded copy of a few images at a time. Taps that meet nothing but padding
// (at the borders of small maps) are left out.
#pragma once
#include "gemm.h"

namespace nd {

struct Strides4 {
    int64_t n, h, w, c;
};

namespace ND_ISA {

// Sizes are int64_t, or Const<> where a compiler should unroll them. The maps may be rectangular, the kernel is square.
template <class H = int64_t, class W = int64_t, class I = int64_t, class O = int64_t, class K = int64_t, class S = int64_t,
          class P = int64_t>
struct ConvShape {
    H height;
    W width;
    I in;
    O out;
    K kernel;
    S stride;
    P padding;
};

// One axis of a convolution: which taps ever meet the input, and which part of the input they read.
struct Axis {
    int64_t outputs, first, taps;  // the taps first .. first + taps - 1
    int64_t begin, extent;         // input positions begin .. begin + extent - 1, padding among them
};

constexpr int64_t conv_outputs(int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
    return size + 2 * padding < kernel ? 0 : (size + 2 * padding - kernel) / stride + 1;
}

constexpr Axis conv_axis(int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
    const int64_t outputs = conv_outputs(size, kernel, stride, padding);
    const int64_t first = min(kernel, max<int64_t>(0, padding - (outputs - 1) * stride));
    const int64_t taps = max<int64_t>(0, min(kernel, size + padding) - first);
    return {outputs, first, taps, first - padding, max<int64_t>(0, (outputs - 1) * stride + taps)};
}

// A region of a map as the tiles read it, its pixels side by side, and the distances between images and between rows.
struct Source {
    const float* p;
    int64_t image, row;
};

// A grid of output pixels, what each reads and where it is written.
struct Grid {
    int64_t height, width;
    int64_t from_row, from_column;                 // distances in the source between neighbouring outputs
    int64_t base, to_image, to_row, to_column;     // positions in the output
    int64_t taps, run;                             // kernel rows, and floats read contiguously in each
};

// Walks over the pixels of a grid, image after image.
struct Walk {
    const Grid& grid;
    const Source& source;
    int64_t image, y, x;
    ND_INLINE void next(const float*& from, int64_t& to) {
        from = source.p + image * source.image + y * grid.from_row + x * grid.from_column;
        to = grid.base + image * grid.to_image + y * grid.to_row + x * grid.to_column;
        if (++x == grid.width) {
            x = 0;
            if (++y == grid.height) y = 0, ++image;
        }
    }
};

template <int R, int B, class Epilogue>
ND_INLINE void conv_tile(Walk& walk, const Blocks& b, int64_t column, int64_t columns, float* y, const Epilogue& epilogue) {
    RowsLeft<R> left;
    int64_t to[R];
    for (int r = 0; r < R; ++r) walk.next(left.row[r], to[r]);
    const Extent e{column, columns - column, false, true};
    const auto row = [&](int i) { return to[i] + column; };
    const Grid& grid = walk.grid;
    Vec acc[R][B * kBlockVecs];
    load_tile(acc, y, row, e);
    for (int64_t t = 0; t < grid.taps; ++t) {
        multiply(acc, grid.run, left, {b.p + t * grid.run * b.step, b.step, b.next});
        for (int r = 0; r < R; ++r) left.row[r] += walk.source.row;
    }
    store_tile(acc, y, row, e, epilogue);
}

// All pixels of `images` images times the packed weights [ceil(columns / 16)][taps * run][16]. Few pixels are held as one
// tile that is wide instead of high.
template <class Epilogue>
ND_INLINE void conv_grid(const Grid& grid, const Source& source, int64_t images, int64_t columns, const float* packed, float* y,
                         const Epilogue& epilogue) {
    const int64_t pixels = images * grid.height * grid.width, blocks = ceil_div(columns, kBlock), depth = grid.taps * grid.run;
    if (pixels == 0) return;
    with_height(min<int64_t>(kTileRows, pixels), [&](auto height) {
        constexpr int R = decltype(height)::value, B = tile_blocks(R);
        auto panel = [&](auto width, int64_t j) {
            constexpr int V = decltype(width)::value;
            const Blocks b{packed + j * depth * kBlock, kBlock, depth * kBlock};
            Walk walk{grid, source, 0, 0, 0};
            int64_t i = 0;
            for (; i + R <= pixels; i += R) conv_tile<R, V>(walk, b, j * kBlock, columns, y, epilogue);
            if constexpr (R == kTileRows)
                if (i < pixels)
                    with_height(pixels - i, [&](auto rest) {
                        conv_tile<decltype(rest)::value, V>(walk, b, j * kBlock, columns, y, epilogue);
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

// A zero-padded compact copy of the region that the two axes read of one image.
inline void copy_region(const float* x, const Strides4& s, int64_t height, int64_t width, int64_t channels, const Axis& v, const Axis& h,
                        float* out) {
    const int64_t left = max<int64_t>(0, -h.begin), right = max<int64_t>(left, min(h.extent, width - h.begin));
    for (int64_t y = 0; y < v.extent; ++y, out += h.extent * channels) {
        const int64_t from = v.begin + y;
        if (from < 0 || from >= height) {
            std::memset(out, 0, sizeof(float) * h.extent * channels);
            continue;
        }
        const float* row = x + from * s.h + (h.begin + left) * s.w;
        std::memset(out, 0, sizeof(float) * left * channels);
        std::memset(out + right * channels, 0, sizeof(float) * (h.extent - right) * channels);
        float* to = out + left * channels;
        if (s.c == 1 && s.w == channels) {
            std::memcpy(to, row, sizeof(float) * (right - left) * channels);
        } else if (s.c == 1) {
            for (int64_t i = 0; i < right - left; ++i) std::memcpy(to + i * channels, row + i * s.w, sizeof(float) * channels);
        } else {
            for (int64_t c = 0; c < channels; ++c)
                for (int64_t i = 0; i < right - left; ++i) to[i * channels + c] = row[i * s.w + c * s.c];
        }
    }
}

// How the tiles get at a map: in place where they can, otherwise through copies of `region` floats per image.
struct Reader {
    const float* x;
    Strides4 strides;
    int64_t height, width, channels;
    Axis v, h;

    ND_INLINE int64_t region() const { return v.extent * h.extent * channels; }
    ND_INLINE bool in_place() const {
        return strides.c == 1 && strides.w == channels && v.begin >= 0 && h.begin >= 0 && v.begin + v.extent <= height &&
               h.begin + h.extent <= width;
    }
    // The images from `first` on; `copies` receives them where they are not read in place.
    ND_INLINE Source read(int64_t first, int64_t images, float* copies) const {
        const float* from = x + first * strides.n;
        if (in_place()) return {from + v.begin * strides.h + h.begin * strides.w, strides.n, strides.h};
        for (int64_t i = 0; i < images; ++i)
            copy_region(from + i * strides.n, strides, height, width, channels, v, h, copies + i * region());
        return {copies, region(), h.extent * channels};
    }
};

// Images per task: enough tasks to balance, copies that fit the first cache levels.
constexpr int64_t images_per_task(int64_t images, int64_t region, int threads) {
    const int64_t fit = max<int64_t>(1, 16384 / max<int64_t>(1, region));
    return max<int64_t>(1, min(fit, threads > 1 ? ceil_div(images, 4 * threads) : images));
}

template <class Shape>
constexpr int64_t conv_depth(const Shape& s) {
    return conv_axis(s.height, s.kernel, s.stride, s.padding).taps * conv_axis(s.width, s.kernel, s.stride, s.padding).taps * s.in;
}

// Floats of packed weights, and of scratch memory.
template <class Shape>
constexpr int64_t conv_packed_size(const Shape& s) { return packed_size(conv_depth(s), s.out); }

template <class Shape>
constexpr int64_t conv_region(const Shape& s) {
    return conv_axis(s.height, s.kernel, s.stride, s.padding).extent * conv_axis(s.width, s.kernel, s.stride, s.padding).extent * s.in;
}

template <class Shape>
constexpr int64_t conv_scratch(const Shape& s, int64_t images, int threads) {
    return threads * images_per_task(images, conv_region(s), threads) * conv_region(s);
}

// Weights (K, K, Ci, Co) packed as [ceil(Co / 16)][kept kernel rows][kept kernel columns][Ci][16], zeros behind column Co.
// The kept rows are first .. first + taps - 1 of conv_axis(height, ...), the kept columns those of conv_axis(width, ...).
template <class Shape>
inline void conv_pack(const Executor& executor, const Shape& s, const float* w, float* packed) {
    const Axis v = conv_axis(s.height, s.kernel, s.stride, s.padding), h = conv_axis(s.width, s.kernel, s.stride, s.padding);
    const int64_t run = h.taps * s.in, depth = v.taps * run;
    parallel(executor, ceil_div(s.out, kBlock), [&](int64_t j) {
        for (int64_t t = 0; t < v.taps; ++t) {
            const float* from = w + ((v.first + t) * s.kernel + h.first) * s.in * s.out + j * kBlock;
            pack_block({from, s.out, 1}, run, min<int64_t>(kBlock, s.out - j * kBlock), packed + (j * depth + t * run) * kBlock);
        }
    });
}

// y (N, Ho, Wo, Co) compact = epilogue(x * w), x (N, H, W, Ci) with any strides, w packed by conv_pack.
template <class Shape, class Epilogue = Keep>
ND_INLINE void conv(const Executor& executor, const Shape& shape, int64_t images, const float* x, const Strides4& strides,
                    const float* packed, float* y, float* scratch, const Epilogue& epilogue = {}) {
    const int64_t step = images_per_task(images, conv_region(shape), executor.threads);
    balance(executor, ceil_div(images, step), [&, s = shape](int64_t worker, int64_t task) {
        const Axis v = conv_axis(s.height, s.kernel, s.stride, s.padding), h = conv_axis(s.width, s.kernel, s.stride, s.padding);
        const Reader reader{x, strides, s.height, s.width, s.in, v, h};
        const int64_t first = task * step, count = min(step, images - first), size = v.outputs * h.outputs * s.out;
        const Source source = reader.read(first, count, scratch + worker * step * conv_region(s));
        const Grid grid{v.outputs, h.outputs, s.stride * source.row, s.stride * s.in, first * size, size, h.outputs * s.out, s.out,
                        v.taps, h.taps * s.in};
        conv_grid(grid, source, count, s.out, packed, y, epilogue);
    });
}

}}  // namespace nd::ND_ISA
