// Batches of images against one pixel at a time: odd sizes, images smaller than a register, buffers without slack.
#include "../../csrc/nd/image_batch.h"
#include "../../csrc/nd/pool_impl.h"
#include "check.h"

namespace {

int64_t below(int64_t limit) { return int64_t(random_bits() % uint32_t(limit)); }

void batch(int64_t channels, int64_t height, int64_t width, int64_t padding, bool reflect, int64_t size, nd::Executor on) {
    const int64_t count = 7, images = 3, area = height * width;
    std::vector<uint8_t> pixels(images * channels * area), mirror(count);
    for (uint8_t& pixel : pixels) pixel = uint8_t(random_bits() >> 24);
    std::vector<int64_t> index(count), top(count), left(count), row(count), column(count);
    for (int64_t i = 0; i < count; ++i) {
        index[i] = below(images), top[i] = below(2 * padding + 1), left[i] = below(2 * padding + 1), mirror[i] = i % 2;
        row[i] = below(height + 2) - size / 2 - 1, column[i] = below(width + 2) - size / 2 - 1;
    }
    const std::vector<float> scale = random_floats(channels), shift = random_floats(channels), cover = random_floats(channels);
    std::vector<float> y(count * channels * area);
    nd::image_batch(on, count, {pixels.data(), channels, height, width},
                    {index.data(), top.data(), left.data(), mirror.data(), padding, reflect, row.data(), column.data(), size},
                    {scale.data(), shift.data(), cover.data()}, y.data());
    const auto source = [&](int64_t i, int64_t length) {
        if (i >= 0 && i < length) return i;
        return reflect ? (i < 0 ? -i : 2 * (length - 1) - i) : int64_t(-1);
    };
    for (int64_t k = 0; k < count * channels * area; ++k) {
        const int64_t i = k / (channels * area), c = k / area % channels, r = k / width % height, s = k % width;
        const int64_t from_row = source(r + top[i] - padding, height);
        const int64_t from_column = source((mirror[i] ? width - 1 - s : s) + left[i] - padding, width);
        const bool zero = from_row < 0 || from_column < 0;
        const float pixel = zero ? 0 : pixels[((index[i] * channels + c) * height + from_row) * width + from_column];
        const bool covered = r >= row[i] && r < row[i] + size && s >= column[i] && s < column[i] + size;
        const float expected = covered ? cover[c] : pixel * scale[c] + shift[c];
        CHECK(same_bits(y[k], expected), "%dx%d padding %d: element %d", int(height), int(width), int(padding), int(k));
    }
}

}  // namespace

int main() {
    nd::Pool* pool = nd::pool_create(3);
    for (int64_t width : {1, 2, 5, 15, 16, 17, 31, 33, 70})
        for (int64_t height : {1, 4, 9})
            for (int64_t padding = 0; padding < nd::min<int64_t>(4, nd::min(width, height)); ++padding)
                for (bool reflect : {false, true})
                    batch(1 + width % 3, height, width, padding, reflect, 3 * padding, width % 2 ? nd::Executor{} : nd::pool_executor(pool));
    nd::pool_destroy(pool);
    return finish("images");
}
