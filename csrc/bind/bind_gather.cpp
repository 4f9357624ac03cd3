#include "bindings.h"
#include "fused.h"
#include "gather.h"

namespace nd {
namespace {

// A kernel from `from` to `to`: one of them has n along the axis, the other `count`. There is one number for each of the
// `count` slices, or one for each element of them.
int64_t run(const char* name, GatherTable::Kernel GatherTable::* kernel, Array& from, Array& ids, Array& to, int64_t outer,
            int64_t n, int64_t count, int64_t inner, bool backwards, bool each) {
    Arguments check(name);
    const int64_t table = check.count({outer, n, inner}), chosen = check.count({outer, count, inner});
    const float* x = check.in(from, backwards ? chosen : table);
    const int64_t numbers = each ? chosen : check.count({count});
    const float* id = check.in(ids, numbers);
    float* y = check.out(to, backwards ? table : chosen);
    const int64_t bad = gather_kernels().first_bad_place(numbers, id, n);
    if (bad >= 0) return bad;
    py::gil_scoped_release unlocked;
    (gather_kernels().*kernel)(threads(), outer, n, count, inner, x, id, y);
    return -1;
}

void def(py::module_& m, const char* name, GatherTable::Kernel GatherTable::* kernel, bool backwards, bool each) {
    const auto call = [=](Array& from, Array& ids, Array& to, int64_t outer, int64_t n, int64_t count, int64_t inner) {
        return run(name, kernel, from, ids, to, outer, n, count, inner, backwards, each);
    };
    m.def(name, call, "-1, or the first place whose index is no whole number in -n..n-1: then nothing was done.");
}

}  // namespace

void bind_gather(py::module_& m) {
    def(m, "take", &GatherTable::take, false, false);
    def(m, "take_gradient", &GatherTable::take_gradient, true, false);
    def(m, "gather", &GatherTable::gather, false, true);
    def(m, "gather_gradient", &GatherTable::gather_gradient, true, true);
}

}  // namespace nd
