#include "elements.h"
#include <cstring>
#include "elements.cuh"
#include "stream.h"

namespace nd {
namespace {

#define ND_NAME(name, T) #name,
constexpr const char* kNames[] = {ND_DEVICE_TYPES(ND_NAME)};
#undef ND_NAME
#define ND_BYTES(name, T) sizeof(T),
constexpr int64_t kBytes[] = {ND_DEVICE_TYPES(ND_BYTES)};
#undef ND_BYTES

Typed typed(const TypedView& x) { return {static_cast<char*>(x.memory) + x.offset * kBytes[x.type], x.type}; }

using Run = void (*)(const Executor&, const char*, Nest<4>, const Typed&, const Typed (&)[3]);
struct Functor {
    const char* name;
    int inputs;
    Run whole, real;
};
#define ND_WHOLE(F, inputs) {#F, inputs, map_elements<F, int64_t, inputs>, nullptr}
constexpr Functor kFunctors[] = {
    {"Copy", 1, map_elements<Copy, int64_t, 1>, map_elements<Copy, double, 1>},
    ND_WHOLE(Negate, 1), ND_WHOLE(Absolute, 1), ND_WHOLE(Sign, 1), ND_WHOLE(Relu, 1), ND_WHOLE(LogicalNot, 1),
    ND_WHOLE(Add, 2), ND_WHOLE(Subtract, 2), ND_WHOLE(Multiply, 2), ND_WHOLE(Maximum, 2), ND_WHOLE(Minimum, 2),
    ND_WHOLE(Equal, 2), ND_WHOLE(NotEqual, 2), ND_WHOLE(Less, 2), ND_WHOLE(LessEqual, 2), ND_WHOLE(Greater, 2),
    ND_WHOLE(GreaterEqual, 2), ND_WHOLE(LogicalAnd, 2), ND_WHOLE(LogicalOr, 2), ND_WHOLE(Where, 3),
};

bool is_whole(int type) { return type < type_float32; }

}  // namespace

int type_named(const std::string& name) {
    for (int type = 0; type < type_count; ++type)
        if (name == kNames[type]) return type;
    return -1;
}
const char* name_of_type(int type) { return kNames[type]; }
int64_t bytes_of_type(int type) { return kBytes[type]; }

Elements::Elements(int64_t count, int type) : ptr(nullptr), size(count), type(type), device(current_device()) {
    if (count < 0) refuse("Elements", "size must not be negative, got " + std::to_string(count));
    if (count > (int64_t(1) << 46)) throw std::bad_alloc();
    ptr = allocate(static_cast<std::size_t>(count * kBytes[type]));
}
Elements::~Elements() { release(ptr, static_cast<std::size_t>(size * kBytes[type]), device); }

bool map_elements(const std::string& functor, const Loops& loops, const TypedView& y, const TypedView* x, int inputs) {
    for (const Functor& each : kFunctors) {
        if (functor != each.name || inputs != each.inputs) continue;
        const Run run = is_whole(x[inputs - 1].type) ? each.whole : each.real;
        if (run == nullptr) return false;
        Nest<4> nest{};
        for (int d = 0; d < loops.dims; ++d) {
            int64_t steps[4] = {};
            for (int k = 0; k <= inputs; ++k) steps[k] = loops.stride[k][d];
            nest.push(loops.size[d], steps);
        }
        Typed from[3] = {};
        for (int k = 0; k < inputs; ++k) from[k] = typed(x[k]);
        run(the_device(), each.name, nest, typed(y), from);
        return true;
    }
    return false;
}

bool fold_elements(const std::string& functor, int64_t rows, int64_t count, const TypedView& x, const TypedView& y) {
    if (!is_whole(x.type)) return false;
    const Executor on = the_device();
    if (functor == "Add") fold_elements<WholeSum>(on, "sum", rows, count, typed(x), typed(y));
    else if (functor == "Maximum") fold_elements<WholeMax>(on, "max", rows, count, typed(x), typed(y));
    else if (functor == "Minimum") fold_elements<WholeMin>(on, "min", rows, count, typed(x), typed(y));
    else return false;
    return true;
}

}  // namespace nd
