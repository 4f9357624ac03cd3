// Maps, folds and choices by number for elements of any type. Functions of every functor with every type would be many: here
// elements come as 64-bit integers or floats into a block, are computed there, and are stored as what they shall be. A program
// that a compiler makes has the one loop of elements.h instead, with the same results.
#pragma once
#include "../nd/elements.h"
#include "pointwise.h"

namespace nd {

struct ElementType {
    const char* name;
    int bytes;
    void (*load)(int64_t n, const void* x, int64_t step, int64_t* to);         // null for floats
    void (*load_float)(int64_t n, const void* x, int64_t step, float* to);
    void (*store)(int64_t n, const int64_t* x, void* y, int64_t step);
    void (*store_float)(int64_t n, const float* x, void* y, int64_t step);
};

struct ElementFunctor {
    const char* name;
    int inputs;
    void (*whole)(int64_t n, int64_t* y, const int64_t* const* x);
    void (*real)(int64_t n, float* y, const float* const* x);                   // null where floats have a kernel of their own
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
                            const int64_t* ids, void* y);
    const ElementType* types;
    const ElementFunctor* functors;
    int type_count, functor_count;
    void (*map)(const Executor&, const ElementMap&, const Loops&, void* y, const void* const* x);
    // y[i] = the fold of the `count` whole numbers of row i by an associative functor of two operands, in any order.
    void (*fold)(const Executor&, const ElementMap&, int64_t outer, int64_t count, const void* x, void* y);
    Choice take[4], gather[4];  // of elements of 1, 4 and 8 bytes, and of floats
};

}  // namespace nd
ND_FAMILY(ElementTable, elements)
ND_FAMILY(WholeTable, whole_numbers)
