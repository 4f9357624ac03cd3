// Maps, folds and choices by number for elements of any type. Functions of every functor with every type would be many: here
// elements come into a block as what they are computed in, are computed there, and are stored as what they shall be. A
// program that a compiler makes has the one loop of elements.h instead, with the same results.
#pragma once
#include "../nd/order.h"
#include "pointwise.h"

namespace nd {

// What elements are computed in: int64_t, uint64_t, float, double. A block holds some of them.
enum Kind { whole, natural, real, wide, kinds };
// What a block becomes before it is stored: one of another kind, truths, or floats that are rounded once more.
enum Target { truths = kinds, rounded, targets };

struct ElementType {
    const char* name;
    int bytes;
    Kind kind;
    Target target;
    uint64_t missing;  // what stands for an element outside
    void (*load)(int64_t n, const void* x, int64_t step, void* block);
    void (*store)(int64_t n, const void* block, void* y, int64_t step);
};

struct ElementFunctor {
    const char* name;
    int inputs;
    void (*run[kinds])(int64_t n, void* y, const void* const* x);  // on blocks; null for kinds that it does not know
};

// Loops over whole numbers of one type, by functor: y = f(a, b) of all of n, or nothing and false where the steps are not 1
// (of b also 0); and the extrema of n numbers in a row. `map` and `fold` below use them where there are some.
template <class Run>
struct WholeRow {
    const char *functor, *from, *to;
    Run run;
};
struct WholeTable {
    WholeRow<bool (*)(int64_t n, const int64_t* step, void* y, const void* const* x)> loops[32];
    WholeRow<int64_t (*)(int64_t n, const void* x)> folds[8];
};

// A functor with the type of its operands and that of its result; the first operand of Where is a bool.
struct ElementMap {
    const ElementFunctor* functor;
    const ElementType *from, *to;
};

struct ElementTable {
    using Choice = void (*)(const Executor&, int64_t outer, int64_t n, int64_t count, int64_t inner, const void* x,
                            const int64_t* ids, void* y, uint64_t none);
    const ElementType* types;
    const ElementFunctor* functors;
    int type_count, functor_count;
    void (*map)(const Executor&, const ElementMap&, const Loops&, void* y, const void* const* x);
    // y[i] = the fold of the `count` elements of row i by a functor of two operands, which of whole numbers is associative: they
    // are folded in any order, others in that of memory.
    void (*fold)(const Executor&, const ElementMap&, int64_t outer, int64_t count, const void* x, void* y);
    // y[ids[i]] = f(y[ids[i]], x[i]), rows of `inner` elements.
    void (*scatter)(const Executor&, const ElementMap&, int64_t n, int64_t count, int64_t inner, const void* x, const int64_t* ids,
                    void* y);
    Choice take[4], gather[4];  // of elements of 1, 2, 4 and 8 bytes
    // Of elements as they are computed, by kind (order.h).
    void (*scan[2][kinds])(const Executor&, int64_t outer, int64_t count, const void* x, void* y);  // sums, products
    void (*order[2][kinds])(const Executor&, int64_t outer, int64_t count, int64_t most, bool nan_first, const void* x,
                            int64_t* y);  // the largest, the smallest
    void (*matmul[kinds])(const Executor&, int64_t batch, int64_t m, int64_t n, int64_t k, const void* a, const void* b, void* y);
};

}  // namespace nd
ND_FAMILY(ElementTable, elements)
ND_FAMILY(WholeTable, whole_numbers)
