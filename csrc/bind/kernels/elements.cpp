#include "../elements.h"
#include <cstring>
#include <iterator>
#include "../nest.h"

namespace nd { namespace ND_ISA {
namespace {

constexpr int64_t kSome = 256;  // elements of a block

template <class To, class From>
void move(int64_t n, const From* x, int64_t from_step, To* y, int64_t to_step) {
    if (from_step == 1 && to_step == 1)
        for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
    else
        for (int64_t i = 0; i < n; ++i) y[i * to_step] = convert<To>(x[i * from_step]);
}

template <class W, class T>
void load(int64_t n, const void* x, int64_t step, W* to) { move(n, static_cast<const T*>(x), step, to, 1); }
template <class W, class T>
void store(int64_t n, const W* x, void* y, int64_t step) { move(n, x, 1, static_cast<T*>(y), step); }

template <class T>
constexpr ElementType type(const char* name) {
    if constexpr (is_float<T>) return {name, sizeof(T), nullptr, load<float, T>, store<int64_t, T>, store<float, T>};
    else return {name, sizeof(T), load<int64_t, T>, load<float, T>, store<int64_t, T>, store<float, T>};
}
constexpr ElementType kTypes[] = {type<bool>("bool"), type<uint8_t>("uint8"), type<int8_t>("int8"), type<int32_t>("int32"),
                                  type<int64_t>("int64"), type<float>("float32")};

template <class F, class W, std::size_t... K>
ND_INLINE void apply(int64_t n, W* y, const W* const* x, std::index_sequence<K...>) {
    for (int64_t i = 0; i < n; ++i) y[i] = F{}(x[K][i]...);
}
template <class F, class W, int Inputs>
void apply(int64_t n, W* y, const W* const* x) { apply<F>(n, y, x, std::make_index_sequence<Inputs>{}); }

#define ND_WHOLE(F, inputs) {#F, inputs, apply<F, int64_t, inputs>, nullptr}
#define ND_ANY(F, inputs) {#F, inputs, apply<F, int64_t, inputs>, apply<F, float, inputs>}
constexpr ElementFunctor kFunctors[] = {
    ND_WHOLE(Add, 2), ND_WHOLE(Subtract, 2), ND_WHOLE(Multiply, 2), ND_WHOLE(Maximum, 2), ND_WHOLE(Minimum, 2),
    ND_WHOLE(Negate, 1), ND_WHOLE(Absolute, 1), ND_WHOLE(Sign, 1), ND_WHOLE(Relu, 1),
    ND_ANY(Equal, 2), ND_ANY(NotEqual, 2), ND_ANY(Less, 2), ND_ANY(LessEqual, 2), ND_ANY(Greater, 2), ND_ANY(GreaterEqual, 2),
    ND_ANY(LogicalAnd, 2), ND_ANY(LogicalOr, 2), ND_ANY(LogicalNot, 1), ND_ANY(Where, 3), ND_ANY(Copy, 1),
};

// The loop, and the fold, of a functor's own for the type of a map's operands; null where there is none.
template <class Table>
auto loop_of(const ElementMap& map, const Table& table) {
    for (const auto& row : table)
        if (std::strcmp(row.functor, map.functor->name) == 0 && std::strcmp(row.from, map.from->name) == 0 &&
            std::strcmp(row.to, map.to->name) == 0) return row.run;
    return decltype(table[0].run)(nullptr);
}

const char* moved(const void* p, int64_t elements, int bytes) { return static_cast<const char*>(p) + elements * bytes; }

// A block of each operand, computed in W, and stored.
template <class W>
void map_row(const ElementMap& map, int64_t n, const int64_t* step, void* y, const void* const* x) {
    const auto& [functor, from, to] = map;
    W memory[4][kSome];
    const W* const operands[] = {memory[1], memory[2], memory[3]};
    for (int64_t i = 0; i < n; i += kSome) {
        const int64_t count = min(kSome, n - i);
        for (int k = 0; k < functor->inputs; ++k) {
            const ElementType& of = functor->inputs == 3 && k == 0 ? kTypes[0] : *from;
            const void* at = moved(x[k], i * step[k + 1], of.bytes);
            if constexpr (is_float<W>) of.load_float(count, at, step[k + 1], memory[k + 1]);
            else of.load(count, at, step[k + 1], memory[k + 1]);
        }
        void* at = const_cast<char*>(moved(y, i * step[0], to->bytes));
        if constexpr (is_float<W>) functor->real(count, memory[0], operands), to->store_float(count, memory[0], at, step[0]);
        else functor->whole(count, memory[0], operands), to->store(count, memory[0], at, step[0]);
    }
}

template <int K>
void map_nest(const Executor& executor, const ElementMap& map, const Loops& loops, void* y, const void* const* x) {
    Nest<K> nest = nest_of<K>(loops);
    if (nest.count() == 0) return;
    simplify(nest);
    int64_t step[K];
    for (int k = 0; k < K; ++k) step[k] = nest.stride[k][nest.dims - 1];
    const auto loop = K == 3 ? loop_of(map, whole_numbers_table.loops) : nullptr;
    for_pieces(executor, nest, kGrain, [&](const int64_t (&at)[K], int64_t n) {
        const void* from[K - 1];
        for (int k = 0; k + 1 < K; ++k) from[k] = moved(x[k], at[k + 1], K == 4 && k == 0 ? 1 : map.from->bytes);
        void* to = const_cast<char*>(moved(y, at[0], map.to->bytes));
        if (loop != nullptr && loop(n, step, to, from)) return;
        if (map.from->load == nullptr) map_row<float>(map, n, step, to, from);
        else map_row<int64_t>(map, n, step, to, from);
    });
}

void map_any(const Executor& executor, const ElementMap& map, const Loops& loops, void* y, const void* const* x) {
    if (map.functor->inputs == 1) map_nest<2>(executor, map, loops, y, x);
    else if (map.functor->inputs == 2) map_nest<3>(executor, map, loops, y, x);
    else map_nest<4>(executor, map, loops, y, x);
}

void fold_any(const Executor& executor, const ElementMap& map, int64_t outer, int64_t count, const void* x, void* y) {
    const auto loop = count > 0 ? loop_of(map, whole_numbers_table.folds) : nullptr;
    parallel_rows(executor, outer, count, [&](int64_t row) {
        if (loop != nullptr) {
            const int64_t total = loop(count, moved(x, row * count, map.from->bytes));
            return map.to->store(1, &total, const_cast<char*>(moved(y, row, map.to->bytes)), 1);
        }
        int64_t block[kSome], totals[kSome] = {0};
        int64_t width = min(kSome, count);
        map.from->load(width, moved(x, row * count, map.from->bytes), 1, totals);
        for (int64_t i = width; i < count; i += kSome) {
            const int64_t some = min(kSome, count - i);
            map.from->load(some, moved(x, row * count + i, map.from->bytes), 1, block);
            const int64_t* pair[] = {totals, block};
            map.functor->whole(some, totals, pair);
        }
        for (int64_t half; width > 1; width -= half) {  // the upper half into the lower
            half = width / 2;
            const int64_t* pair[] = {totals, totals + width - half};
            map.functor->whole(half, totals, pair);
        }
        map.to->store(1, totals, const_cast<char*>(moved(y, row, map.to->bytes)), 1);
    });
}

template <class T>
void take(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const void* x, const int64_t* ids,
          void* y) {
    take_elements(executor, outer, n, count, inner, static_cast<const T*>(x), ids, static_cast<T*>(y));
}
template <class T>
void gather(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const void* x, const int64_t* ids,
            void* y) {
    gather_elements(executor, outer, n, count, inner, static_cast<const T*>(x), ids, static_cast<T*>(y));
}

}  // namespace

extern const ElementTable elements_table = {
    kTypes, kFunctors, static_cast<int>(std::size(kTypes)), static_cast<int>(std::size(kFunctors)), map_any, fold_any,
    {take<uint8_t>, take<int32_t>, take<int64_t>, take<float>},
    {gather<uint8_t>, gather<int32_t>, gather<int64_t>, gather<float>},
};

}}  // namespace nd::ND_ISA
