// What programs call for elements of any type.
#include <sstream>
#include "elements.h"
#include "program.h"

namespace nd {
namespace {

constexpr int kMostTypes = 32;

template <class Named>
int number_of(const Named* all, int count, const std::string& name) {
    for (int i = 0; i < count; ++i)
        if (all[i].name == name) return i;
    return -1;
}
int type_number(const std::string& name) { return number_of(elements().types, elements().type_count, name); }
const ElementType& type_of(int number) { return elements().types[number]; }

// Of "Add int32 int64": a functor, the type of its operands and that of its result.
int map_number(const std::string& words) {
    std::istringstream text(words);
    std::string functor, from, to, more;
    text >> functor >> from >> to;
    const int f = number_of(elements().functors, elements().functor_count, functor), a = type_number(from), b = type_number(to);
    if (f < 0 || a < 0 || b < 0 || text >> more || elements().functors[f].run[type_of(a).kind] == nullptr) return -1;
    return (f * kMostTypes + a) * kMostTypes + b;
}

ElementMap map_of(int number) {
    const ElementTable& table = elements();
    return {table.functors + number / (kMostTypes * kMostTypes), table.types + number / kMostTypes % kMostTypes,
            table.types + number % kMostTypes};
}

int fold_number(const std::string& words) {
    const int map = map_number(words);
    return map < 0 || map_of(map).functor->inputs != 2 ? -1 : map;
}
int scatter_number(const std::string& words) {
    const int map = fold_number(words);
    return map < 0 || map_of(map).from != map_of(map).to ? -1 : map;
}

// Of "Add float32", for types that are computed in as they are: 2 * the kind, + 1 for the second functor.
int kind_number(const std::string& words, const char* first, const char* second) {
    std::istringstream text(words);
    std::string functor, type, more;
    text >> functor >> type;
    if (text >> more || (functor != first && functor != second)) return -1;
    constexpr const char* kNames[kinds] = {"int64", "uint64", "float32", "float64"};
    for (int kind = 0; kind < kinds; ++kind)
        if (type == kNames[kind]) return 2 * kind + (functor == second);
    return -1;
}
int scan_number(const std::string& words) { return kind_number(words, "Add", "Multiply"); }
int order_number(const std::string& words) { return kind_number(words, "Greater", "Less"); }
int matmul_number(const std::string& type) {
    const int number = kind_number("Add " + type, "Add", "");
    return number < 0 || elements().matmul[number / 2] == nullptr ? -1 : number;
}

void check_elements(const Draft& draft) {
    const int operands = 1 + map_of(draft.functor).functor->inputs;
    draft.need(1 + draft.known(0, "the rank", 0, kMaxAxes) * (1 + operands), 0, operands);
}

template <ElementTable::Choice (ElementTable::* kernels)[4]>
void run_choice(const Arguments& a) {
    const int64_t* n = a.integers;
    const ElementType& of = type_of(a.functor);
    const int bytes = of.bytes == 1 ? 0 : of.bytes == 2 ? 1 : of.bytes == 4 ? 2 : 3;
    const auto* ids = reinterpret_cast<const int64_t*>(a.operands[1]);
    (elements().*kernels)[bytes](a.on, n[0], n[1], n[2], n[3], a.operands[0], ids, a.operands[2], of.missing);
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
        // n, count, inner; x, ids of int64, y, which is changed, of the type that the functor names
        {"scatter_elements", 3, 0, 3, 1u << 2, scatter_number, nullptr, [](const Arguments& a) {
            const auto* ids = reinterpret_cast<const int64_t*>(a.operands[1]);
            elements().scatter(a.on, map_of(a.functor), a.integers[0], a.integers[1], a.integers[2], a.operands[0], ids, a.operands[2]); }},
        // outer, count; x, y
        {"scan_elements", 2, 0, 2, 1u << 1, scan_number, nullptr, [](const Arguments& a) {
            elements().scan[a.functor % 2][a.functor / 2](a.on, a.integers[0], a.integers[1], a.operands[0], a.operands[1]); }},
        // outer, count, most, whether NaN comes first; x, places of int64
        {"order_elements", 4, 0, 2, 1u << 1, order_number, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            elements().order[a.functor % 2][a.functor / 2](a.on, n[0], n[1], n[2], n[3] != 0, a.operands[0],
                                                           reinterpret_cast<int64_t*>(a.operands[1])); }},
        // batch, m, n, k; a, b, y
        {"matmul_elements", 4, 0, 3, 1u << 2, matmul_number, nullptr, [](const Arguments& a) {
            const int64_t* n = a.integers;
            elements().matmul[a.functor / 2](a.on, n[0], n[1], n[2], n[3], a.operands[0], a.operands[1], a.operands[2]); }},
        // bytes; x, y
        {"copy_bits", 1, 0, 2, 1u << 1, nullptr, nullptr, [](const Arguments& a) {
            std::memcpy(a.operands[1], a.operands[0], static_cast<std::size_t>(a.integers[0])); }},
    };
}

}  // namespace nd
