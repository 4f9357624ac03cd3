// Maps and folds of whole numbers and bool, and casts, for eager code: on numpy's arrays, which say their shape and type.
#include "bindings.h"
#include "elements.h"

namespace nd {
namespace {

const ElementType& type_of(const char* where, const py::array& x) {
    const py::dtype dtype = x.dtype();
    const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
    for (int i = 0; i < elements().type_count; ++i) {
        const ElementType& type = elements().types[i];  // numpy's kinds are how its names begin
        if (native && type.name[0] == dtype.kind() && type.bytes == dtype.itemsize()) return type;
    }
    refuse(where, "has no elements of " + py::str(dtype).cast<std::string>());
}

const ElementFunctor& functor_of(const char* where, const std::string& name) {
    for (int i = 0; i < elements().functor_count; ++i)
        if (elements().functors[i].name == name) return elements().functors[i];
    refuse(where, "has no functor " + name);
}

Sizes shape_of(const py::array& x) { return Sizes(x.shape(), x.shape() + x.ndim()); }

// Steps in elements. numpy's arrays may lie anywhere, at steps that are no whole elements.
Sizes steps_of(const char* where, const py::array& x) {
    Sizes steps(x.strides(), x.strides() + x.ndim());
    for (int64_t& step : steps) {
        if (step % x.itemsize() != 0) refuse(where, "needs steps of whole elements");
        step /= x.itemsize();
    }
    return steps;
}

void check_output(const char* where, const py::array& y) {
    if (!y.writeable()) refuse(where, "the output is read-only");
    if (y.ndim() > kMaxAxes) refuse(where, "has too many axes");
}

// y = functor(x...), all of one shape and, but for the mask of a choice, the x of one type.
void map(const std::string& name, py::array y, const std::vector<py::array>& x) {
    const char* where = "map_elements";
    check_output(where, y);
    const ElementFunctor& functor = functor_of(where, name);
    if (functor.inputs != static_cast<int>(x.size())) refuse(where, name + " takes " + std::to_string(functor.inputs));
    const ElementMap map{&functor, &type_of(where, x.back()), &type_of(where, y)};
    if (functor.run[map.from->kind] == nullptr) refuse(where, "has no " + name + " of " + map.from->name);
    const Sizes shape = shape_of(y), to = steps_of(where, y);
    Sizes steps[3];
    Loops loops{static_cast<int>(shape.size()), shape.data(), {to.data()}};
    const void* from[3] = {};
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool mask = functor.inputs == 3 && i == 0;
        if (mask && x[i].dtype().kind() != 'b') refuse(where, "needs a mask of bool");
        if (!mask && &type_of(where, x[i]) != map.from) refuse(where, "needs operands of one type");
        if (shape_of(x[i]) != shape) refuse(where, "shapes must be equal, got " + text(shape_of(x[i])) + " and " + text(shape));
        steps[i] = steps_of(where, x[i]);
        loops.stride[i + 1] = steps[i].data();
        from[i] = x[i].data();
    }
    void* out = y.mutable_data();
    py::gil_scoped_release released;
    elements().map(threads(), map, loops, out, from);
}

// y[i] = the fold of row i of x (rows, count), both without gaps, by a functor of two operands.
void fold(const std::string& name, py::array y, const py::array& x) {
    const char* where = "fold_elements";
    check_output(where, y);
    const ElementMap map{&functor_of(where, name), &type_of(where, x), &type_of(where, y)};
    if (map.functor->inputs != 2 || map.from->kind == real || map.from->kind == wide) refuse(where, "folds whole numbers by a functor of two");
    const bool dense = (x.flags() & py::array::c_style) != 0 && (y.flags() & py::array::c_style) != 0;
    if (!dense || x.ndim() != 2 || y.size() != x.shape(0)) refuse(where, "needs rows without gaps, and a place for each");
    const int64_t rows = x.shape(0), count = x.shape(1);
    const void* from = x.data();
    void* out = y.mutable_data();
    py::gil_scoped_release released;
    elements().fold(threads(), map, rows, count, from, out);
}

}  // namespace

void bind_elements(py::module_& m) {
    m.def("map_elements", &map);
    m.def("fold_elements", &fold);
}

}  // namespace nd
