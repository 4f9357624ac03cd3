// Decoding with a cache, against loops anyone can read; in place and not, for places inside and outside, memory to the float.
#include "../../csrc/nd/cached_attention.h"
#include "../../csrc/nd/pool_impl.h"
#include "check.h"

namespace {

using Floats = std::vector<float>;

nd::Executor three_threads() {
    static nd::Pool* pool = nd::pool_create(3);
    return nd::pool_executor(pool);
}

template <class Id>
bool inside(Id id, int64_t limit) { return double(id) >= 0 && double(id) < double(limit); }

template <class Id>
void written(const nd::CacheShape& s, const std::vector<Id>& slot, const std::vector<Id>& position) {
    const int64_t width = s.heads * s.depth;
    const Floats cache = random_floats(s.slots * s.context * width), fresh = random_floats(s.batch * s.steps * width);
    Floats y(cache.size(), 7.0f), place = cache, expected = cache;
    nd::cache_write(three_threads(), s.batch, s.steps, s.slots, s.context, width, cache.data(), fresh.data(), slot.data(),
                    position.data(), y.data());
    nd::cache_write({}, s.batch, s.steps, s.slots, s.context, width, place.data(), fresh.data(), slot.data(), position.data(),
                    place.data());
    for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t t = 0; t < s.steps; ++t) {
            if (!inside(slot[b], s.slots) || !inside(position[b], s.context) || int64_t(position[b]) + t >= s.context) continue;
            for (int64_t c = 0; c < width; ++c)
                expected[(int64_t(slot[b]) * s.context + int64_t(position[b]) + t) * width + c] = fresh[(b * s.steps + t) * width + c];
        }
    CHECK(y == expected && place == expected, "%d rows of %d", int(s.batch), int(s.steps));
}

template <class Id>
void attended(const nd::CacheShape& s, const std::vector<Id>& slot, const std::vector<Id>& position) {
    const int64_t width = s.heads * s.depth;
    const Floats q = random_floats(s.batch * s.steps * width), k = random_floats(s.slots * s.context * width), v = random_floats(k.size());
    Floats y(q.size()), again(q.size()), scratch(nd::cached_attention_scratch(s.heads, s.depth, s.context, 3));
    const nd::Heads<const float> from{q.data(), s.steps * width, s.depth, width};
    const auto run = [&](const nd::Executor& on, Floats& to) {
        nd::cached_attention(on, s, from, k.data(), v.data(), slot.data(), position.data(),
                             nd::Heads<float>{to.data(), s.steps * width, s.depth, width}, scratch.data());
    };
    run(three_threads(), y);
    run({}, again);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(same_bits(y[i], again[i]), "the same bits for all threads");
    for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t i = 0; i < s.steps; ++i)
            for (int64_t h = 0; h < s.heads; ++h) {
                const float* found = y.data() + (b * s.steps + i) * width + h * s.depth;
                if (!inside(slot[b], s.slots) || !inside(position[b], s.context) || int64_t(position[b]) + i >= s.context) {
                    for (int64_t c = 0; c < s.depth; ++c) CHECK(std::isnan(found[c]), "row %d is outside", int(b));
                    continue;
                }
                const float* query = q.data() + (b * s.steps + i) * width + h * s.depth;
                std::vector<double> sum(s.depth);
                double total = 0;
                for (int64_t j = 0; j <= int64_t(position[b]) + i; ++j) {
                    const int64_t at = (int64_t(slot[b]) * s.context + j) * width + h * s.depth;
                    double score = 0;
                    for (int64_t c = 0; c < s.depth; ++c) score += double(query[c]) * k[at + c];
                    const double weight = std::exp(s.scale * score);
                    total += weight;
                    for (int64_t c = 0; c < s.depth; ++c) sum[c] += weight * v[at + c];
                }
                for (int64_t c = 0; c < s.depth; ++c)
                    CHECK(std::abs(found[c] - sum[c] / total) < 1e-5, "row %d, step %d, column %d", int(b), int(i), int(c));
            }
}

}  // namespace

int main() {
    const nd::CacheShape shapes[] = {{3, 2, 1, 5, 4, 9, 0.5f}, {2, 3, 4, 16, 2, 40, 0.25f}, {1, 1, 70, 33, 1, 70, 0.2f},
                                     {4, 2, 2, 64, 3, 300, 0.1f}, {0, 2, 3, 4, 0, 3, 1.0f}, {2, 1, 0, 3, 1, 2, 1.0f},
                                     {2, 2, 2, 0, 2, 2, 1.0f},
                                     {1, 20, 1, 24, 2, 300, 0.2f}, {1, 17, 3, 18, 1, 90, 0.2f}};  // heads shared by threads, or alone
    for (const nd::CacheShape& s : shapes) {
        std::vector<int32_t> slot(s.batch), position(s.batch);
        for (int64_t b = 0; b < s.batch; ++b) {
            slot[b] = int32_t(random_bits() % s.slots);
            position[b] = int32_t(random_bits() % (s.context - s.steps + 1));
        }
        written(s, slot, position);
        attended(s, slot, position);
        attended(s, std::vector<float>(slot.begin(), slot.end()), std::vector<float>(position.begin(), position.end()));
        if (s.batch == 0) continue;
        for (const int32_t bad : {-1, INT32_MIN, INT32_MAX, int32_t(s.context), int32_t(s.context - 1)}) {
            std::vector<int32_t> other = position;
            other[s.batch - 1] = bad;  // the last of which has room for one step
            written(s, slot, other);
            attended(s, slot, other);
            other = slot;
            other[0] = bad;
            written(s, other, position);
            attended(s, other, position);
        }
        for (const float bad : {NAN, INFINITY, -INFINITY, -0.5f, 1e30f}) {
            std::vector<float> slots(slot.begin(), slot.end()), positions(s.batch, bad);
            written(s, slots, positions);
            attended(s, slots, positions);
            attended(s, positions, std::vector<float>(s.batch, 0.0f));
        }
    }
    return finish("test_cache");
}
