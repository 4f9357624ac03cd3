// Arrays of the device that are not float32: the functions of bind_array.cpp for them, casts, and maps and folds of whole
// numbers and bool. A view comes as (memory, strides, offset); its shape is that of the call.
#include "../bind/memory.h"
#include "device.h"
#include "stream.h"

namespace nd {
namespace {

[[noreturn]] void refuse_absent(const std::string& functor, const char* what, int type) {
    throw DeviceError("[" + functor + "] has no " + what + " on " + device_text(current_device()) + " for " + name_of_type(type) +
                      " yet; x.to(ndl.cpu()) brings arrays to a device that has");
}

// An array of either kind, float32 or not.
struct Operand {
    Operand(const char* where, const Sizes& shape, const py::tuple& view) : strides(view[1].cast<Sizes>()) {
        const auto offset = view[2].cast<int64_t>();
        int64_t size = 0;
        if (py::isinstance<Array>(view[0])) {
            const auto& floats = view[0].cast<const Array&>();
            at = {floats.ptr, type_named("float32"), offset};
            size = floats.size;
            place = OnDevice(floats.device);
        } else {
            const auto& elements = view[0].cast<const Elements&>();
            at = {elements.ptr, elements.type, offset};
            size = elements.size;
            place = OnDevice(elements.device);
        }
        const Array bounds(nullptr, size);  // of which only the size counts
        checked(where, bounds, shape, strides, offset);
    }
    TypedView at;
    Sizes strides;
    OnDevice place;
};

// views[0] = functor(views[1], ...), all of one shape.
void map_views(const std::string& functor, const Sizes& shape, const std::vector<py::tuple>& views) {
    const char* where = "map_elements";
    if (views.size() < 2 || views.size() > 4) refuse(where, "needs a result and one to three operands");
    std::vector<Operand> operands;
    for (const py::tuple& view : views) operands.emplace_back(where, shape, view);
    Loops loops{static_cast<int>(shape.size()), shape.data(), {}};
    TypedView x[3];
    for (std::size_t k = 0; k < operands.size(); ++k) {
        loops.stride[k] = operands[k].strides.data();
        if (k > 0) x[k - 1] = operands[k].at;
    }
    const int inputs = static_cast<int>(operands.size()) - 1;
    bool known = false;
    {
        py::gil_scoped_release unlocked;
        known = map_elements(functor, loops, operands[0].at, x, inputs);
    }
    if (!known) refuse_absent(functor, "kernel", x[inputs - 1].type);
}

void fold_rows(const std::string& functor, const Elements& x, Elements& y, int64_t count) {
    if (x.size != count_of("fold_elements", {y.size, count})) refuse("fold_elements", "needs a row for each result");
    if (!fold_elements(functor, y.size, count, {x.ptr, x.type, 0}, {y.ptr, y.type, 0}))
        refuse_absent(functor, "fold", x.type);
}

Sizes row_major_of(const Sizes& shape) {
    Sizes strides(shape.size(), 1);
    for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * (shape[axis] > 1 ? shape[axis] : 1);
    return strides;
}

std::size_t bytes_held(const Elements& x) { return static_cast<std::size_t>(x.size * bytes_of_type(x.type)); }

std::unique_ptr<Elements> make(int64_t size, const std::string& dtype, int device) {
    const int type = type_named(dtype);
    if (type < 0) refuse("Elements", "has no elements of " + dtype);
    const OnDevice place(device);
    return std::make_unique<Elements>(size, type);
}

void from_host(const py::array& a, Elements& out) {
    const py::array values = py::module_::import("numpy").attr("ascontiguousarray")(a, name_of_type(out.type));
    if (values.size() != out.size)
        refuse("from_numpy", "needs " + std::to_string(out.size) + " elements, got " + std::to_string(values.size()));
    copy_in(out.ptr, values.data(), bytes_held(out));
}

// The copy of a view, in row-major order.
void copy_view(const char* where, const Elements& a, const Sizes& shape, const Sizes& a_strides, int64_t a_offset, Elements& out,
               const Sizes& strides, int64_t offset) {
    checked(where, Array(nullptr, a.size), shape, a_strides, a_offset);
    checked(where, Array(nullptr, out.size), shape, strides, offset);
    if (&a == &out) refuse(where, "the output must not be the input");
    const Loops loops{static_cast<int>(shape.size()), shape.data(), {strides.data(), a_strides.data()}};
    const TypedView x{a.ptr, a.type, a_offset};
    py::gil_scoped_release unlocked;
    map_elements("Copy", loops, {out.ptr, out.type, offset}, &x, 1);
}

py::array to_host(const Elements& a, const Sizes& shape, const Sizes& strides, int64_t offset) {
    Elements rows(count_of("to_numpy", shape), a.type);
    copy_view("to_numpy", a, shape, strides, offset, rows, row_major_of(shape), 0);
    py::array result(py::dtype(std::string(name_of_type(a.type))), shape);
    copy_out(result.mutable_data(), rows.ptr, bytes_held(rows));
    return result;
}

void setitem(int64_t size, const py::object& value, Elements& out, const Sizes& shape, const Sizes& strides, int64_t offset) {
    if (size != count_of("scalar_setitem", shape)) refuse("scalar_setitem", "the shape has another number of elements than the size given");
    Elements one(1, out.type);
    from_host(py::module_::import("numpy").attr("full")(1, value, name_of_type(out.type)), one);
    copy_view("scalar_setitem", one, shape, Sizes(shape.size(), 0), 0, out, strides, offset);
}

}  // namespace

void bind_device_elements(py::module_& m) {
    py::class_<Elements> elements(m, "Elements", "A flat block of elements that are not float32, uninitialised.");
    elements.def(py::init(&make), py::arg("size"), py::arg("dtype"), py::arg("device") = 0)
        .def("ptr", [](const Elements& x) { return reinterpret_cast<std::uintptr_t>(x.ptr); }, "The address of the first element.")
        .def_readonly("size", &Elements::size)
        .def_readonly("device", &Elements::device)
        .def_property_readonly("dtype", [](const Elements& x) { return name_of_type(x.type); });
    elements.attr("module") = m;
    m.def("map_elements", &map_views, "The first view = the functor of the others, all of one shape; Copy casts.");
    m.def("fold_elements", &fold_rows, "y = the fold of rows of x by a functor, each of `count` elements.");
    m.def("to_numpy", &to_host);
    m.def("from_numpy", &from_host);
    m.def("fill", [](Elements& out, const py::object& value) { setitem(out.size, value, out, {out.size}, {1}, 0); });
    m.def("compact", [](const Elements& a, Elements& out, const Sizes& shape, const Sizes& strides, int64_t offset) {
        copy_view("compact", a, shape, strides, offset, out, row_major_of(shape), 0);
    });
    m.def("strided_setitem", [](const Elements& a, const Sizes& a_strides, int64_t a_offset, Elements& out, const Sizes& shape,
                                const Sizes& strides, int64_t offset) {
        copy_view("strided_setitem", a, shape, a_strides, a_offset, out, strides, offset);
    });
    m.def("ewise_setitem", [](const Elements& a, Elements& out, const Sizes& shape, const Sizes& strides, int64_t offset) {
        copy_view("ewise_setitem", a, shape, row_major_of(shape), 0, out, strides, offset);
    });
    m.def("scalar_setitem", &setitem);
}

}  // namespace nd
