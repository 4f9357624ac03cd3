#include "fused.h"
#include "view.h"

namespace nd {
namespace {

using Table = GatherTable::Kernel GatherTable::*;

Sizes joined(const Sizes& a, const Sizes& b, const Sizes& c) {
    Sizes all(a);
    all.insert(all.end(), b.begin(), b.end());
    all.insert(all.end(), c.begin(), c.end());
    return all;
}

// The sizes of x before and behind `axes` of its axes.
struct Around {
    Around(const char* where, const View& x, int64_t first, int axes) {
        if (first < 0 || first > x.dims - axes)
            refuse_shape(where, "needs an axis and indices that fit, got axis " + std::to_string(first) + " of " + text(x.sizes()));
        before = Sizes(x.shape, x.shape + first), behind = Sizes(x.shape + first + axes, x.shape + x.dims);
        outer = count_of(where, before), inner = count_of(where, behind);
    }
    Sizes before, behind;
    int64_t outer, inner;
};

// A kernel from x to a new array: one of them has n along the axis, the other `count`.
py::object run(const char* where, Table kernel, const Dense& x, const Ids& ids, const Sizes& shape, int64_t n, int64_t count,
               const Around& around) {
    check_whole(where, "indices", "", -n, n, ids, gather_kernels().first_bad_place(ids.size, ids.p, n));
    Result y(x, shape);
    unlocked(kAlways, [&] { (gather_kernels().*kernel)(threads(), around.outer, n, count, around.inner, x.p, ids.p, y.p); });
    return y.array();
}

py::object take(const Dense& x, const Ids& ids, int64_t axis) {
    const Around around("take", x, axis, 1);
    const Sizes shape = joined(around.before, ids.sizes(), around.behind);
    return run("take", &GatherTable::take, x, ids, shape, x.shape[axis], ids.size, around);
}

py::object take_gradient(const Dense& g, const Ids& ids, int64_t axis, int64_t size) {
    const Around around("take_gradient", g, axis, ids.dims);
    if (size < 0 || !std::equal(ids.shape, ids.shape + ids.dims, g.shape + axis))
        misfit("take_gradient", "g with the shape of the ids from the axis on", {&g, &ids});
    const Sizes shape = joined(around.before, {size}, around.behind);
    return run("take_gradient", &GatherTable::take_gradient, g, ids, shape, size, ids.size, around);
}

py::object gather(const Dense& x, const Ids& index, int64_t axis) {
    const Around around("gather", index, axis, 1);
    const Sizes needed = joined(around.before, {x.dims == index.dims ? x.shape[axis] : 0}, around.behind);
    if (needed != x.sizes()) misfit("gather", "an index of the shape of x but for its size along the axis", {&x, &index});
    return run("gather", &GatherTable::gather, x, index, index.sizes(), x.shape[axis], index.shape[axis], around);
}

py::object gather_gradient(const Dense& g, const Ids& index, int64_t axis, int64_t size) {
    const Around around("gather_gradient", index, axis, 1);
    if (size < 0 || !g.same_shape(index)) misfit("gather_gradient", "g with the shape of the index", {&g, &index});
    const Sizes shape = joined(around.before, {size}, around.behind);
    return run("gather_gradient", &GatherTable::gather_gradient, g, index, shape, size, index.shape[axis], around);
}

py::object embedding(const Ids& ids, const Dense& weight) {
    if (weight.dims != 2) misfit("embedding", "a weight (n, d)", {&weight});
    const int64_t n = weight.shape[0], d = weight.shape[1];
    check_whole("embedding", "ids", "position ", 0, n, ids, sequence_kernels().first_bad_index(ids.size, ids.p, n));
    Result y(weight, joined(ids.sizes(), {d}, {}));
    unlocked(kAlways, [&] { sequence_kernels().embedding(threads(), ids.size, d, ids.p, weight.p, y.p); });
    return y.array();
}

py::object embedding_gradient(const Dense& g, const Ids& ids, int64_t n) {
    const char* where = "embedding_gradient";
    if (n < 0 || g.dims != ids.dims + 1 || !std::equal(ids.shape, ids.shape + ids.dims, g.shape))
        misfit(where, "g of shape ids.shape + (d,)", {&g, &ids});
    check_whole(where, "ids", "position ", 0, n, ids, sequence_kernels().first_bad_index(ids.size, ids.p, n));
    Result dweight(g, {n, g.last()});
    unlocked(kAlways, [&] { sequence_kernels().embedding_gradient(threads(), ids.size, g.last(), n, ids.p, g.p, dweight.p); });
    return dweight.array();
}

}  // namespace

void bind_gather(py::module_& m) {
    m.def("take", &take);
    m.def("take_gradient", &take_gradient);
    m.def("gather", &gather);
    m.def("gather_gradient", &gather_gradient);
    m.def("embedding", &embedding);
    m.def("embedding_gradient", &embedding_gradient);
}

}  // namespace nd
