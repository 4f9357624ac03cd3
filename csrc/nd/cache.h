// Decoding with a cache of keys or values: memory (slots, context, heads, depth) in which each slot holds one sequence. Row b
// of a call goes on at `position[b]` of `slot[b]`. A row that names no place inside writes nothing, reads nothing and gives
// NaN, so any numbers are safe. What a row gives depends on that row and its slot alone: not on the batch, on which slot it
// is, on threads, or on how a sequence was cut into calls.
#pragma once
#include "arguments.h"
#include "rows.h"

namespace nd { namespace ND_ISA {

// `id` where it is in 0..limit-1, else -1: also for NaN.
template <class Id>
ND_INLINE int64_t place_of(Id id, int64_t limit) { return id >= Id(0) && id < Id(limit) ? int64_t(id) : -1; }

// y[row][i] = first[row] + i.
template <class Rows, class Count, class Id>
void positions(const Executor& executor, Rows rows, Count count, const Id* first, Id* y) {
    parallel_rows(executor, rows, count, [&](int64_t row) {
        for (int64_t i = 0; i < count; ++i) y[row * count + i] = first[row] + Id(i);
    });
}

// y = cache, with y[slot[b]][position[b] + t] = fresh[b][t], each `width` floats. y may be the cache itself: then nothing but
// what is new is written. Rows are written in order, so the last of those that name one place stays.
template <class Batch, class Steps, class Slots, class Context, class Width, class Id>
void cache_write(const Executor& executor, Batch batch, Steps steps, Slots slots, Context context, Width width,
                 const float* cache, const float* fresh, const Id* slot, const Id* position, float* y) {
    if (width == 0) return;
    const auto bytes = sizeof(float) * static_cast<std::size_t>(width);
    if (y != cache)
        parallel_rows(executor, slots * context, width, [&](int64_t row) { std::memcpy(y + row * width, cache + row * width, bytes); });
    for (int64_t b = 0; b < batch; ++b) {
        const int64_t s = place_of(slot[b], slots), first = place_of(position[b], context);
        if (s < 0 || first < 0 || steps == 0) continue;
        const auto count = static_cast<std::size_t>(min<int64_t>(steps, context - first));
        std::memcpy(y + (s * context + first) * width, fresh + b * steps * width, count * bytes);
    }
}

}}  // namespace nd::ND_ISA
