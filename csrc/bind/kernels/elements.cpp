#include "../elements.h"
#include <cstring>
#include <iterator>
#include "../nest.h"

namespace nd { namespace ND_ISA {
namespace {

constexpr int64_t kSome = 256;  // elements of a block
struct Block { alignas(64) char memory[8 * kSome]; };

template <class T> constexpr Kind kind_of = std::is_same_v<Wide<T>, int64_t> ? whole : std::is_same_v<Wide<T>, uint64_t> ? natural
                                          : std::is_same_v<Wide<T>, float> ? real : wide;

template <class T>
void load(int64_t n, const void* from, int64_t step, void* block) {
    const T* x = static_cast<const T*>(from);
    auto* y = static_cast<Wide<T>*>(block);
    if (step == 1) for (int64_t i = 0; i < n; ++i) y[i] = widened(x[i]);
    else for (int64_t i = 0; i < n; ++i) y[i] = widened(x[i * step]);
}
template <class T>
void store(int64_t n, const void* block, void* to, int64_t step) {
    const auto* x = static_cast<const Wide<T>*>(block);
    T* y = static_cast<T*>(to);
    if (step == 1) for (int64_t i = 0; i < n; ++i) y[i] = convert<T>(x[i]);
    else for (int64_t i = 0; i < n; ++i) y[i * step] = convert<T>(x[i]);
}

template <class T>
constexpr ElementType type(const char* name) {
    constexpr Kind kind = kind_of<T>;
    uint64_t none = 0;
    if constexpr (kind == wide) none = 0x7ff8000000000000;
    else if constexpr (is_small_float<T>) none = T::kNaN;
    else if constexpr (kind == real) none = 0x7fc00000;
    return {name, sizeof(T), kind, std::is_same_v<T, bool> ? truths : is_small_float<T> ? rounded : Target(kind), none, load<T>, store<T>};
}
constexpr ElementType kTypes[] = {
    type<bool>("bool"), type<uint8_t>("uint8"), type<int8_t>("int8"), type<uint16_t>("uint16"), type<int16_t>("int16"),
    type<uint32_t>("uint32"), type<int32_t>("int32"), type<uint64_t>("uint64"), type<int64_t>("int64"), type<float>("float32"),
    type<double>("float64"), type<Float16>("float16"), type<BFloat16>("bfloat16"), type<Float8E4M3>("float8_e4m3fn"),
    type<Float8E4M3Z>("float8_e4m3fnuz"), type<Float8E5M2>("float8_e5m2"), type<Float8E5M2Z>("float8_e5m2fnuz"),
    type<Float4E2M1>("float4_e2m1fn"), type<Int4>("int4"), type<UInt4>("uint4"), type<Int2>("int2"), type<UInt2>("uint2"),
};

// A block of one kind as what is stored: by the rules of `convert`, of which Float16 stands for all that are rounded twice.
template <class W, int to>
void turn(int64_t n, const void* from, void* block) {
    const W* x = static_cast<const W*>(from);
    using To = std::conditional_t<to == whole || to == truths, int64_t, std::conditional_t<to == natural, uint64_t,
               std::conditional_t<to == wide, double, float>>>;
    To* y = static_cast<To*>(block);
    for (int64_t i = 0; i < n; ++i) {
        if constexpr (to == truths) y[i] = x[i] != W(0);
        else if constexpr (to == rounded) y[i] = to_odd(double(x[i]));
        else y[i] = convert<To>(x[i]);
    }
}
using Turn = void (*)(int64_t n, const void* from, void* block);
#define ND_TURNS(W) {turn<W, whole>, turn<W, natural>, turn<W, real>, turn<W, wide>, turn<W, truths>, turn<W, rounded>}
constexpr Turn kTurns[kinds][targets] = {ND_TURNS(int64_t), ND_TURNS(uint64_t), ND_TURNS(float), ND_TURNS(double)};

void store_as(const ElementType& to, Kind kind, int64_t n, const void* block, void* y, int64_t step) {
    Block turned;
    if (to.kind != kind) kTurns[kind][to.target](n, block, turned.memory), block = turned.memory;
    to.store(n, block, y, step);
}

template <class F, class W, std::size_t... K>
ND_INLINE void apply(int64_t n, W* y, const void* const* x, std::index_sequence<K...>) {
    for (int64_t i = 0; i < n; ++i) y[i] = F{}(static_cast<const W*>(x[K])[i]...);
}
template <class F, class W, int Inputs>
void apply(int64_t n, void* y, const void* const* x) { apply<F>(n, static_cast<W*>(y), x, std::make_index_sequence<Inputs>{}); }

#define ND_ANY(F, inputs) \
    {#F, inputs, {apply<F, int64_t, inputs>, apply<F, uint64_t, inputs>, apply<F, float, inputs>, apply<F, double, inputs>}}
#define ND_WHOLE(F, inputs) {#F, inputs, {apply<F, int64_t, inputs>, apply<F, uint64_t, inputs>, nullptr, nullptr}}
#define ND_REAL(F, inputs) {#F, inputs, {nullptr, nullptr, apply<F, float, inputs>, apply<F, double, inputs>}}
#define ND_WIDE(F, inputs) {#F, inputs, {nullptr, nullptr, nullptr, apply<F, double, inputs>}}
constexpr ElementFunctor kFunctors[] = {
    ND_ANY(Add, 2), ND_ANY(Subtract, 2), ND_ANY(Multiply, 2), ND_ANY(Maximum, 2), ND_ANY(Minimum, 2), ND_ANY(Negate, 1),
    ND_ANY(Absolute, 1), ND_ANY(Sign, 1), ND_ANY(Relu, 1), ND_ANY(Equal, 2), ND_ANY(NotEqual, 2), ND_ANY(Less, 2),
    ND_ANY(LessEqual, 2), ND_ANY(Greater, 2), ND_ANY(GreaterEqual, 2), ND_ANY(LogicalAnd, 2), ND_ANY(LogicalOr, 2),
    ND_ANY(LogicalNot, 1), ND_ANY(Where, 3), ND_ANY(Copy, 1), ND_ANY(Second, 2), ND_ANY(Remainder, 2), ND_ANY(Modulo, 2),
    ND_WHOLE(Quotient, 2), ND_WHOLE(WholePower, 2), ND_WHOLE(BitAnd, 2), ND_WHOLE(BitOr, 2), ND_WHOLE(BitXor, 2),
    ND_WHOLE(BitNot, 1), ND_WHOLE(ShiftLeft, 2), ND_WHOLE(ShiftRight, 2), ND_REAL(Floor, 1), ND_REAL(Ceil, 1), ND_REAL(Round, 1),
    ND_REAL(Divide, 2), ND_REAL(Sin, 1), ND_REAL(Cos, 1), ND_REAL(Tan, 1), ND_REAL(Asin, 1), ND_REAL(Acos, 1), ND_REAL(Atan, 1),
    ND_REAL(Sinh, 1), ND_REAL(Cosh, 1), ND_REAL(Asinh, 1), ND_REAL(Acosh, 1), ND_REAL(Atanh, 1), ND_WIDE(Power, 2),
    ND_WIDE(Exp, 1), ND_WIDE(Log, 1), ND_WIDE(Sqrt, 1), ND_WIDE(Erf, 1), ND_WIDE(Tanh, 1), ND_WIDE(Sigmoid, 1),
    ND_WIDE(Softplus, 1), ND_WIDE(Silu, 1), ND_WIDE(Gelu, 1), ND_WIDE(SquaredDifference, 2),
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
char* moved(void* p, int64_t elements, int bytes) { return static_cast<char*>(p) + elements * bytes; }

// A block of each operand, computed, and stored.
void map_row(const ElementMap& map, int64_t n, const int64_t* step, void* y, const void* const* x) {
    const auto& [functor, from, to] = map;
    const Kind kind = from->kind;
    Block memory[5];
    const void* const operands[] = {memory[1].memory, memory[2].memory, memory[3].memory};
    for (int64_t i = 0; i < n; i += kSome) {
        const int64_t count = min(kSome, n - i);
        for (int k = 0; k < functor->inputs; ++k) {
            const bool mask = functor->inputs == 3 && k == 0;
            const ElementType& of = mask ? kTypes[0] : *from;
            const bool turned = of.kind != kind;
            of.load(count, moved(x[k], i * step[k + 1], of.bytes), step[k + 1], memory[turned ? 4 : k + 1].memory);
            if (turned) kTurns[of.kind][kind](count, memory[4].memory, memory[k + 1].memory);
        }
        functor->run[kind](count, memory[0].memory, operands);
        store_as(*to, kind, count, memory[0].memory, moved(y, i * step[0], to->bytes), step[0]);
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
        char* to = moved(y, at[0], map.to->bytes);
        if (loop == nullptr || !loop(n, step, to, from)) map_row(map, n, step, to, from);
    });
}

void map_any(const Executor& executor, const ElementMap& map, const Loops& loops, void* y, const void* const* x) {
    if (map.functor->inputs == 1) map_nest<2>(executor, map, loops, y, x);
    else if (map.functor->inputs == 2) map_nest<3>(executor, map, loops, y, x);
    else map_nest<4>(executor, map, loops, y, x);
}

// Of whole numbers, in whatever order is fast.
void fold_whole(const Executor& executor, const ElementMap& map, int64_t outer, int64_t count, const void* x, void* y) {
    const auto loop = count > 0 ? loop_of(map, whole_numbers_table.folds) : nullptr;
    const auto run = map.functor->run[map.from->kind];
    parallel_rows(executor, outer, count, [&](int64_t row) {
        char* to = moved(y, row, map.to->bytes);
        if (loop != nullptr) {
            const int64_t total = loop(count, moved(x, row * count, map.from->bytes));
            return store_as(*map.to, map.from->kind, 1, &total, to, 1);
        }
        int64_t block[kSome], totals[kSome] = {0};
        int64_t width = min(kSome, count);
        map.from->load(width, moved(x, row * count, map.from->bytes), 1, totals);
        for (int64_t i = width; i < count; i += kSome) {
            const int64_t some = min(kSome, count - i);
            map.from->load(some, moved(x, row * count + i, map.from->bytes), 1, block);
            const void* pair[] = {totals, block};
            run(some, totals, pair);
        }
        for (int64_t half; width > 1; width -= half) {  // the upper half into the lower
            half = width / 2;
            const void* pair[] = {totals, totals + width - half};
            run(half, totals, pair);
        }
        store_as(*map.to, map.from->kind, 1, totals, to, 1);
    });
}

void fold_any(const Executor& executor, const ElementMap& map, int64_t outer, int64_t count, const void* x, void* y) {
    const auto run = map.functor->run[map.from->kind];
    const int wide = map.from->kind == real ? 4 : 8;
    if (map.from->kind == whole || map.from->kind == natural) return fold_whole(executor, map, outer, count, x, y);
    parallel_rows(executor, outer, count, [&](int64_t row) {
        Block block;
        uint64_t total = 0;
        for (int64_t i = 0; i < count; i += kSome) {
            const int64_t some = min(kSome, count - i);
            map.from->load(some, moved(x, row * count + i, map.from->bytes), 1, block.memory);
            for (int64_t j = 0; j < some; ++j) {
                const void* pair[] = {&total, block.memory + j * wide};
                if (i + j == 0) std::memcpy(&total, block.memory, static_cast<std::size_t>(wide));
                else run(1, &total, pair);
            }
        }
        store_as(*map.to, map.from->kind, 1, &total, moved(y, row, map.to->bytes), 1);
    });
}

void scatter_any(const Executor&, const ElementMap& map, int64_t n, int64_t count, int64_t inner, const void* x, const int64_t* ids,
                 void* y) {
    const ElementType& of = *map.to;
    Block old, next, made;
    const void* const pair[] = {old.memory, next.memory};
    for (int64_t i = 0; i < count; ++i) {
        const int64_t at = place_inside(ids[i], n);
        for (int64_t j = 0; at >= 0 && j < inner; j += kSome) {
            const int64_t some = min(kSome, inner - j);
            char* to = moved(y, at * inner + j, of.bytes);
            of.load(some, to, 1, old.memory);
            of.load(some, moved(x, i * inner + j, of.bytes), 1, next.memory);
            map.functor->run[of.kind](some, made.memory, pair);
            of.store(some, made.memory, to, 1);
        }
    }
}

template <class T>
void take(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const void* x, const int64_t* ids,
          void* y, uint64_t none) {
    take_elements(executor, outer, n, count, inner, static_cast<const T*>(x), ids, static_cast<T*>(y), T(none));
}
template <class T>
void gather(const Executor& executor, int64_t outer, int64_t n, int64_t count, int64_t inner, const void* x, const int64_t* ids,
            void* y, uint64_t none) {
    gather_elements(executor, outer, n, count, inner, static_cast<const T*>(x), ids, static_cast<T*>(y), T(none));
}
template <class F, class W>
void scan(const Executor& executor, int64_t outer, int64_t count, const void* x, void* y) {
    scan_elements(executor, outer, count, F{}, static_cast<const W*>(x), static_cast<W*>(y));
}
template <class F, class W>
void order(const Executor& executor, int64_t outer, int64_t count, int64_t most, bool nan_first, const void* x, int64_t* y) {
    order_elements(executor, outer, count, most, nan_first, F{}, static_cast<const W*>(x), y);
}
template <class W>
void matmul(const Executor& executor, int64_t batch, int64_t m, int64_t n, int64_t k, const void* a, const void* b, void* y) {
    matmul_elements(executor, batch, m, n, k, static_cast<const W*>(a), static_cast<const W*>(b), static_cast<W*>(y));
}
#define ND_EACH(run, F) {run<F, int64_t>, run<F, uint64_t>, run<F, float>, run<F, double>}

}  // namespace

extern const ElementTable elements_table = {
    kTypes, kFunctors, static_cast<int>(std::size(kTypes)), static_cast<int>(std::size(kFunctors)), map_any, fold_any, scatter_any,
    {take<uint8_t>, take<uint16_t>, take<uint32_t>, take<uint64_t>},
    {gather<uint8_t>, gather<uint16_t>, gather<uint32_t>, gather<uint64_t>},
    {ND_EACH(scan, Add), ND_EACH(scan, Multiply)},
    {ND_EACH(order, Greater), ND_EACH(order, Less)},
    {matmul<int64_t>, matmul<uint64_t>, nullptr, matmul<double>},
};

}}  // namespace nd::ND_ISA
