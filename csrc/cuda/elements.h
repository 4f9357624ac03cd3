// Arrays of other types than float32 as the bindings see them: memory, and what is done with it.
#pragma once
#include <string>
#include "../bind/array.h"
#include "../bind/pointwise.h"

namespace nd {

// A flat block of elements of a type of needle/types.py, uninitialised.
struct Elements : Zeroed {
    Elements(int64_t count, int type);
    ~Elements();
    Elements(const Elements&) = delete;
    Elements& operator=(const Elements&) = delete;

    void* ptr;
    int64_t size;
    int type, device;
};

int type_named(const std::string& name);  // -1 for a name of none
const char* name_of_type(int type);
int64_t bytes_of_type(int type);

// What a kernel reads or writes: memory, and the element that a view begins with.
struct TypedView {
    void* memory;
    int type;
    int64_t offset;
};

// y = functor(x...) over a loop nest (y, x...); false where there is no such functor of as many operands of these types.
bool map_elements(const std::string& functor, const Loops& loops, const TypedView& y, const TypedView* x, int inputs);
// y[row] = the fold of a row of x (rows, count) by Add, Maximum or Minimum; false for other functors and for fractions.
bool fold_elements(const std::string& functor, int64_t rows, int64_t count, const TypedView& x, const TypedView& y);

}  // namespace nd
