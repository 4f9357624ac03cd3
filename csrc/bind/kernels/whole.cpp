// Arithmetic and comparisons of whole numbers of one type: loops of which the compiler makes vectors as wide as the type.
#include "../elements.h"

namespace nd { namespace ND_ISA {
namespace {

// y = f(a, b) for operands in a row, of which b may be one number for all of them; whether these are such.
template <class F, class Y, class T>
bool loop(int64_t n, const int64_t* step, void* out, const void* const* x) {
    if (step[0] != 1 || step[1] != 1 || (step[2] != 1 && step[2] != 0)) return false;
    Y* y = static_cast<Y*>(out);
    const T *a = static_cast<const T*>(x[0]), *b = static_cast<const T*>(x[1]);
    if (const int64_t one = *b; step[2] == 0)
        for (int64_t i = 0; i < n; ++i) y[i] = convert<Y>(F{}(int64_t(a[i]), one));
    else
        for (int64_t i = 0; i < n; ++i) y[i] = convert<Y>(F{}(int64_t(a[i]), int64_t(b[i])));
    return true;
}

// An extremum of n numbers in a row, n > 0: of as many at once as some vectors hold, then of those.
template <class F, class T>
int64_t fold(int64_t n, const void* from) {
    constexpr int kAtOnce = 256 / sizeof(T);
    const T* x = static_cast<const T*>(from);
    T some[kAtOnce];
    for (T& each : some) each = x[0];
    int64_t i = 0;
    for (; i + kAtOnce <= n; i += kAtOnce)
        for (int j = 0; j < kAtOnce; ++j) some[j] = convert<T>(F{}(int64_t(some[j]), int64_t(x[i + j])));
    int64_t found = x[0];
    for (; i < n; ++i) found = F{}(found, int64_t(x[i]));
    for (T each : some) found = F{}(found, int64_t(each));
    return found;
}

}  // namespace

#define ND_LOOPS(T, type)                                                                                            \
    {"Add", type, type, loop<Add, T, T>}, {"Subtract", type, type, loop<Subtract, T, T>},                            \
    {"Multiply", type, type, loop<Multiply, T, T>}, {"Maximum", type, type, loop<Maximum, T, T>},                    \
    {"Minimum", type, type, loop<Minimum, T, T>}, {"Equal", type, "bool", loop<Equal, bool, T>},                     \
    {"Less", type, "bool", loop<Less, bool, T>}, {"Greater", type, "bool", loop<Greater, bool, T>}
#define ND_FOLDS(T, type) {"Maximum", type, type, fold<Maximum, T>}, {"Minimum", type, type, fold<Minimum, T>}

extern const WholeTable whole_numbers_table = {
    {ND_LOOPS(uint8_t, "uint8"), ND_LOOPS(int8_t, "int8"), ND_LOOPS(int32_t, "int32"), ND_LOOPS(int64_t, "int64")},
    {ND_FOLDS(uint8_t, "uint8"), ND_FOLDS(int8_t, "int8"), ND_FOLDS(int32_t, "int32"), ND_FOLDS(int64_t, "int64")},
};

}}  // namespace nd::ND_ISA
