// Pooling and resampling against plain loops: windows that overlap, leave gaps, or are as large as the map, ties and NaN,
// views, channels that fill no vector, one thread and three, bit for bit.
#include "../../csrc/nd/pool_impl.h"
#include "../../csrc/nd/pooling.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

// Windows of `kernel` positions every `stride`, from -padding on, cut to the axis; weights are random.
struct Axis {
    std::vector<int64_t> first, start{0};
    Floats weight;
    int64_t size;
    Axis(int64_t size, int64_t kernel, int64_t stride, int64_t padding) : size(size) {
        for (int64_t at = -padding; at + kernel <= size + padding; at += stride) {
            const int64_t low = nd::max<int64_t>(at, 0), high = nd::min(at + kernel, size);
            first.push_back(low);
            start.push_back(start.back() + high - low);
        }
        weight = random_floats(start.back());
    }
    nd::Bands bands() const { return {int64_t(first.size()), size, first.data(), start.data(), weight.data()}; }
};

// Maps with gaps between their rows, and numbers of which several are equal or none.
struct Maps {
    int64_t n, h, w, c, row;
    Floats floats;
    Maps(int64_t n, int64_t h, int64_t w, int64_t c) : n(n), h(h), w(w), c(c), row(w * c + 2), floats(random_floats(n * h * row)) {
        for (float& f : floats) f = std::round(4 * f);
        if (!floats.empty()) floats[floats.size() / 2] = std::nanf("");
    }
    nd::Pixels pixels() const { return {floats.data(), h * row, row, c}; }
    float at(int64_t i, int64_t y, int64_t x, int64_t k) const { return floats[(i * h + y) * row + x * c + k]; }
};

void same(const char* what, const Maps& x, const Floats& got, const Floats& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK(same_bits(got[i], expected[i]), "%s of %d maps %d x %d x %d: element %d is %g, not %g", what, int(x.n), int(x.h),
              int(x.w), int(x.c), int(i), got[i], expected[i]);
}

void check(int64_t images, int64_t channels, const Axis& vertical, const Axis& horizontal) {
    const nd::Bands v = vertical.bands(), h = horizontal.bands();
    const Maps x(images, v.size, h.size, channels), u(images, v.size, h.size, channels);
    const Maps g(images, v.outputs, h.outputs, channels);
    Floats sums, largest, picked, scattered(images * v.size * h.size * channels);
    for (int64_t n = 0; n < images; ++n)
        for (int64_t i = 0; i < v.outputs; ++i)
            for (int64_t j = 0; j < h.outputs; ++j)
                for (int64_t c = 0; c < channels; ++c) {
                    float sum = 0, best = x.at(n, v.first[i], h.first[j], c);
                    int64_t top = v.first[i], left = h.first[j];
                    for (int64_t a = v.first[i]; a < v.end(i); ++a) {
                        float part = 0;
                        for (int64_t b = h.first[j]; b < h.end(j); ++b) {
                            const float next = x.at(n, a, b, c);
                            part = nd::fma(next, h.weights(j)[b - h.first[j]], part);
                            if (next > best || next != next) { best = next; top = a; left = b; }
                        }
                        sum = nd::fma(part, v.weights(i)[a - v.first[i]], sum);
                    }
                    sums.push_back(sum);
                    largest.push_back(best);
                    picked.push_back(u.at(n, top, left, c));
                    scattered[((n * v.size + top) * h.size + left) * channels + c] += g.at(n, i, j, c);
                }
    for (const nd::Executor& on : {nd::Executor{}, three_threads()}) {
        Floats y(sums.size(), -7.0f), dx(scattered.size(), -7.0f);
        nd::resample(on, images, channels, v, h, x.pixels(), y.data());
        same("resampling", x, y, sums);
        nd::max_pool(on, images, channels, v, h, x.pixels(), x.pixels(), y.data());
        same("maximum", x, y, largest);
        nd::max_pool(on, images, channels, v, h, x.pixels(), u.pixels(), y.data());
        same("picking", x, y, picked);
        nd::max_pool_gradient(on, images, channels, v, h, g.pixels(), x.pixels(), dx.data());
        same("gradient of the maximum", x, dx, scattered);
    }
}

}  // namespace

int main() {
    for (int64_t channels : {1, 3, 16, 21, 70})
        for (int64_t kernel : {1, 2, 3, 5})
            for (int64_t stride : {1, 2, 3})
                for (int64_t padding = 0; padding <= kernel / 2; ++padding)
                    check(2, channels, Axis(5, kernel, stride, padding), Axis(7, nd::min<int64_t>(kernel, 3), 2, padding > 0));
    check(0, 4, Axis(4, 2, 2, 0), Axis(4, 2, 2, 0));
    check(1, 130, Axis(31, 3, 2, 1), Axis(30, 2, 2, 0));  // one image is shared out by channels
    check(13, 40, Axis(16, 2, 2, 0), Axis(16, 2, 2, 0));
    return finish("pooling");
}
