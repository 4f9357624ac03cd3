// What programs call for elements of any type.
#include <sstream>
#include "elements.h"
#include "program.h"

namespace nd {
namespace {

constexpr int kMostTypes = 16;

template <class Named>
int number_of(const Named* all, int count, const std::string& name) {
    for (int i = 0; i < count; ++i)
        if (all[i].name == name) return i;
    return -1;
}
int type_number(const std::string& name) { return number_of(elements().types, elements().type_count, name); }

// Of "Add int32 int64": a functor, the type of its operands and that of its result.
int map_number(const std::string& words) {
    std::istringstream text(words);
    std::string functor, from, to, more;
    text >> functor >> from >> to;
    const int f = number_of(elements().functors, elements().functor_count, functor), a = type_number(from), b = type_number(to);
    if (f < 0 || a < 0 || b < 0 || text >> more) return -1;
    const bool real = elements().types[a].load == nullptr;
    return real && elements().functors[f].real == nullptr ? -1 : (f * kMostTypes + a) * kMostTypes + b;
}
int fold_number(const std::string& words) {
    const int map = map_number(words);
    const int functor = map / (kMostTypes * kMostTypes), from = map / kMostTypes % kMostTypes;
    return map < 0 || elements().functors[functor].inputs != 2 || elements().types[from].load == nullptr ? -1 : map;
}

ElementMap map_of(int number) {
    const ElementTable& table = elements();
    return {table.functors + number / (kMostTypes * kMostTypes), table.types + number / kMostTypes % kMostTypes,
            table.types + number % kMostTypes};
}

void check_elements(const Draft& draft) {
    const int operands = 1 + map_of(draft.functor).functor->inputs;
    draft.need(1 + draft.known(0, "the rank", 0, kMaxAxes) * (1 + operands), 0, operands);
}

// Of elements of 1, 4 and 8 bytes, and of floats, which have a NaN for what is outside.
int choice_of(int type) {
    const ElementType& of = elements().types[type];
    return of.load == nullptr ? 3 : of.bytes == 1 ? 0 : of.bytes == 4 ? 1 : 2;
}

template <ElementTable::Choice (ElementTable::* kernels)[4]>
void run_choice(const Arguments& a) {
    const int64_t* n = a.integers;
    const auto* ids = reinterpret_cast<const int64_t*>(a.operands[1]);
    (elements().*kernels)[choice_of(a.functor)](a.on, n[0], n[1], n[2], n[3], a.operands[0], ids, a.operands[2]);
}

}  // namespace

std::vector<Kernel> element_kernels() {
    return {
        // rank, shape, strides of y, of x0, ... in elements; y, x0[, x1[, x2]], of the types that the functor names
        {"map_elements", -1, 0, -1, 1u << 0, map_number, check_elements, [](const Arguments& a) {
            const void* const x[] = {a.operands[1], a.operand_count > 2 ? a.operands[2] : nullptr,
                                     a.operand_count > 3 ? a.operands[3] : nullptr};
            elements().map(a.on, map_of(a.functor), loops_of(a), a.operands[0], x); }},
        // outer, count; x, y, of the types that the functor names
        {"fold_elements", 2, 0, 2, 1u << 1, fold_number, nullptr, [](const Arguments& a) {
            elements().fold(a.on, map_of(a.functor), a.integers[0], a.integers[1], a.operands[0], a.operands[1]); }},
        // outer, n, count, inner; x, ids of int64, y of the type that the functor names
        {"take_elements", 4, 0, 3, 1u << 2, type_number, nullptr, run_choice<&ElementTable::take>},
        {"gather_elements", 4, 0, 3, 1u << 2, type_number, nullptr, run_choice<&ElementTable::gather>},
    };
}

}  // namespace nd
