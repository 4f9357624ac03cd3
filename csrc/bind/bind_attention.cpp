#include "fused.h"
#include "view.h"

namespace nd {
namespace {

// Results are in the memory order of an operand: (B, T, H, D) seen as (B, H, T, D) stays so.
Heads<const float> heads(const Columns& x) { return x.as<Heads<const float>>(); }
Heads<float> heads(const Result& y) { return {y.p, y.stride[0], y.stride[1], y.stride[2]}; }

AttentionShape<> shape_of(const char* where, const View& q, const View& k, const View& v, float scale, bool causal) {
    if (q.dims != 4 || k.dims != 4 || !v.same_shape(k) || !k.is({q.shape[0], q.shape[1], k.shape[2], q.shape[3]}) ||
        k.shape[2] == 0 || k.shape[3] == 0)
        misfit(where, "q (B, H, Tq, D), k and v (B, H, Tk, D)", {&q, &k, &v});
    const AttentionShape<> s{q.shape[0], q.shape[1], q.shape[2], k.shape[2], k.shape[3], scale, causal};
    count_of(where, {s.batch, s.heads, s.queries, s.keys, s.depth});  // refuses sizes that overflow
    constexpr int64_t most = int64_t(1) << 31;  // a view may repeat one key for ever, scratch memory is per key
    if (s.keys > most) refuse_shape(where, "needs at most 2^31 keys, got " + std::to_string(s.keys));
    if (causal && s.queries > s.keys)
        refuse_shape(where, "causal needs a key for every query, got " + std::to_string(s.queries) + " queries and " +
                                std::to_string(s.keys) + " keys");
    return s;
}

py::object attention(const Columns& q, const Columns& k, const Columns& v, float scale, bool causal) {
    const AttentionShape<> s = shape_of("attention", q, k, v, scale, causal);
    Result out(q), lse(q, {s.batch, s.heads, s.queries});
    const Executor on = threads();
    unlocked(kAlways, sequence_kernels().attention_scratch(s.queries, s.keys, s.depth, on.threads), [&](float* scratch) {
        sequence_kernels().attention(on, s, heads(q), heads(k), heads(v), heads(out), lse.p, scratch);
    });
    return py::make_tuple(out.array(), lse.array());
}

py::object attention_gradient(const Columns& g, const Columns& q, const Columns& k, const Columns& v, const Columns& out,
                              const Dense& lse, float scale, bool causal) {
    const AttentionShape<> s = shape_of("attention_gradient", q, k, v, scale, causal);
    if (!g.same_shape(q) || !out.same_shape(q) || !lse.is({s.batch, s.heads, s.queries}))
        misfit("attention_gradient", "g and out of the shape of q, " + text(q.sizes()) + ", and lse of that without D",
               {&g, &out, &lse});
    Result dq(q), dk(k), dv(v);
    const AttentionGradientInputs in{heads(g), heads(q), heads(k), heads(v), heads(out), lse.p};
    const AttentionGradientOutputs to{heads(dq), heads(dk), heads(dv)};
    const Executor on = threads();
    unlocked(kAlways, sequence_kernels().attention_gradient_scratch(s.keys, s.depth, on.threads), [&](float* scratch) {
        sequence_kernels().attention_gradient(on, s, in, to, scratch);
    });
    return py::make_tuple(dq.array(), dk.array(), dv.array());
}

// The cache that rows of `steps` positions go on in; every slot and position is checked.
struct Places {
    Places(const char* where, const View& cache, int64_t batch, int64_t steps, const Ids& slot, const Ids& position)
        : slots(cache.shape[0]), context(cache.shape[1]) {
        if (!slot.is({batch}) || !position.is({batch})) misfit(where, "a slot and a position for every row", {&slot, &position});
        if (steps > context)
            refuse_shape(where, "has room for " + std::to_string(context) + " positions, got " + std::to_string(steps));
        const auto check = [&](const char* what, int64_t limit, const Ids& ids) {
            check_whole(where, what, "row ", 0, limit, ids, sequence_kernels().first_bad_index(batch, ids.p, limit));
        };
        check("slots", slots, slot);
        check("positions", context - steps + 1, position);
    }
    int64_t slots, context;
};

py::object cache_write(const Dense& cache, const Dense& fresh, const Ids& slot, const Ids& position) {
    if (cache.dims != 4 || fresh.dims != 4 || !fresh.is({fresh.shape[0], fresh.shape[1], cache.shape[2], cache.shape[3]}))
        misfit("cache_write", "a cache (slots, context, H, D) and new ones (B, T, H, D)", {&cache, &fresh});
    const int64_t batch = fresh.shape[0], steps = fresh.shape[1], width = cache.shape[2] * cache.shape[3];
    const Places sizes("cache_write", cache, batch, steps, slot, position);
    Result y(cache, cache.sizes());
    unlocked(kAlways, [&] {
        cache_kernels().write(threads(), batch, steps, sizes.slots, sizes.context, width, cache.p, fresh.p, slot.p, position.p, y.p);
    });
    return y.array();
}

py::object cached_attention(const Columns& q, const Dense& keys, const Dense& values, const Ids& slot, const Ids& position,
                            float scale) {
    if (q.dims != 4 || keys.dims != 4 || !values.same_shape(keys) ||
        !keys.is({keys.shape[0], keys.shape[1], q.shape[1], q.shape[3]}))
        misfit("cached_attention", "q (B, H, T, D), keys and values (slots, context, H, D)", {&q, &keys, &values});
    const Places sizes("cached_attention", keys, q.shape[0], q.shape[2], slot, position);
    const CacheShape s{q.shape[0], q.shape[1], q.shape[2], q.shape[3], sizes.slots, sizes.context, scale};
    Result y(q);
    const Executor on = threads();
    unlocked(kAlways, q.size == 0 ? 0 : cache_kernels().scratch(s.heads, s.depth, s.context, on.threads), [&](float* scratch) {
        cache_kernels().attention(on, s, heads(q), keys.p, values.p, slot.p, position.p, heads(y), scratch);
    });
    return y.array();
}

}  // namespace

void bind_attention(py::module_& m) {
    const py::arg q("q"), k("k"), v("v"), scale("scale");
    const auto causal = py::arg("causal") = false;
    m.def("attention", &attention, q, k, v, scale, causal);
    m.def("attention_gradient", &attention_gradient, py::arg("g"), q, k, v, py::arg("out"), py::arg("lse"), scale, causal);
    const py::arg slot("slot"), position("position");
    m.def("cache_write", &cache_write, py::arg("cache"), py::arg("new"), slot, position);
    m.def("cached_attention", &cached_attention, q, py::arg("keys"), py::arg("values"), slot, position, scale);
}

}  // namespace nd
