#include "bindings.h"
#include "memory.h"
#include "pointwise.h"

namespace nd {
namespace {

void check_count(const char* where, int64_t count, int64_t other, const char* what) {
    if (count != other)
        refuse(where, "the shape has " + std::to_string(count) + " elements, the " + what + " " + std::to_string(other));
}

// Writing an element twice would leave what it is to chance.
void check_written_once(const char* where, int64_t count, const Array& out) {
    if (count > out.size) refuse(where, "the view must not hold an element twice");
}

Sizes row_major(const Sizes& shape) {
    Sizes strides(shape.size(), 1);
    for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * (shape[axis] > 1 ? shape[axis] : 1);
    return strides;
}

void copy(const Sizes& shape, float* y, const Sizes& y_strides, const float* x, const Sizes& x_strides) {
    const Loops loops{static_cast<int>(shape.size()), shape.data(), {y_strides.data(), x_strides.data(), nullptr}};
    py::gil_scoped_release unlocked;
    pointwise().copy(threads(), loops, y, x);
}

std::size_t bytes_of(int64_t floats) { return sizeof(float) * static_cast<std::size_t>(floats); }

using AnyFloats = py::array_t<float, py::array::c_style | py::array::forcecast>;
void from_numpy(const AnyFloats& a, Array& out) {
    if (a.size() != out.size)
        refuse("from_numpy", "needs " + std::to_string(out.size) + " elements, got " + std::to_string(a.size()));
    if (out.size > 0) copy_in(out.ptr, a.data(), bytes_of(out.size));
}

py::array_t<float> to_numpy(Array& a, const Sizes& shape, const Sizes& strides, int64_t offset) {
    const float* x = checked("to_numpy", a, shape, strides, offset);
    py::array_t<float> result(shape);
    float* y = result.mutable_data();
#if defined(ND_DEVICE)
    const Array rows(result.size());
    copy(shape, rows.ptr, row_major(shape), x, strides);
    py::gil_scoped_release unlocked;
    copy_out(y, rows.ptr, bytes_of(result.size()));
#else
    copy(shape, y, row_major(shape), x, strides);
#endif
    return result;
}

#if defined(ND_DEVICE)
std::unique_ptr<Array> make(int64_t size, int device) {
    const OnDevice place(device);
    return std::make_unique<Array>(size);
}
#else
// The strides of numpy count bytes.
py::array_t<float> shared(Array& array, const Sizes& shape, const Sizes& strides, int64_t offset) {
    float* x = checked("shared", array, shape, strides, offset);
    Sizes bytes(strides);
    for (int64_t& step : bytes) step *= static_cast<int64_t>(sizeof(float));
    return py::array_t<float>(shape, bytes, x, py::cast(array, py::return_value_policy::reference));
}

// By hand, because py::keep_alive of pybind11 3.1 crashes where the arguments do not fit.
py::object wrap(py::array& a) {
    if (!py::isinstance<py::array_t<float>>(a) || !(a.flags() & py::array::c_style) || !a.writeable())
        refuse("wrap", "needs a writable float32 array in row-major order");
    py::object array = py::cast(std::make_unique<Array>(static_cast<float*>(a.mutable_data()), a.size()));
    py::detail::keep_alive_impl(array, a);
    return array;
}
#endif

void fill(const Sizes& shape, const Sizes& strides, float value, float* y) {
    const Loops loops{static_cast<int>(shape.size()), shape.data(), {strides.data(), nullptr}};
    py::gil_scoped_release unlocked;
    pointwise().fill(threads(), loops, value, y);
}

void compact(Array& a, Array& out, const Sizes& shape, const Sizes& strides, int64_t offset) {
    const float* x = checked("compact", a, shape, strides, offset);
    const int64_t count = count_of("compact", shape);
    if (&a == &out) refuse("compact", "the output must not be the input");
    check_count("compact", count, out.size, "output");
    copy(shape, out.ptr, row_major(shape), x, strides);
}

void ewise_setitem(Array& a, Array& out, const Sizes& shape, const Sizes& strides, int64_t offset) {
    float* y = checked("ewise_setitem", out, shape, strides, offset);
    const int64_t count = count_of("ewise_setitem", shape);
    if (&a == &out) refuse("ewise_setitem", "the output must not be the input");
    check_written_once("ewise_setitem", count, out);
    check_count("ewise_setitem", count, a.size, "input");
    copy(shape, y, strides, a.ptr, row_major(shape));
}

void strided_setitem(Array& a, const Sizes& a_strides, int64_t a_offset, Array& out, const Sizes& shape,
                     const Sizes& strides, int64_t offset) {
    const float* x = checked("strided_setitem", a, shape, a_strides, a_offset);
    float* y = checked("strided_setitem", out, shape, strides, offset);
    if (&a == &out) refuse("strided_setitem", "the output must not be the input");
    check_written_once("strided_setitem", count_of("strided_setitem", shape), out);
    copy(shape, y, strides, x, a_strides);
}

void scalar_setitem(int64_t size, float value, Array& out, const Sizes& shape, const Sizes& strides, int64_t offset) {
    float* y = checked("scalar_setitem", out, shape, strides, offset);
    const int64_t count = count_of("scalar_setitem", shape);
    check_written_once("scalar_setitem", count, out);
    check_count("scalar_setitem", count, size, "size given");
    fill(shape, strides, value, y);
}

}  // namespace

void bind_array(py::module_& m) {
    py::class_<Array> array(m, "Array", "A flat block of floats, uninitialised.");
    array.def("ptr", [](const Array& a) { return reinterpret_cast<std::uintptr_t>(a.ptr); }, "The address of the first element.")
        .def_readonly("size", &Array::size);
    array.attr("dtype") = "float32";
    array.attr("module") = m;  // the functions that work on it
#if defined(ND_DEVICE)
    array.def(py::init(&make), py::arg("size"), py::arg("device") = 0).def_readonly("device", &Array::device);
#else
    array.def(py::init<int64_t>(), py::arg("size"));
    m.def("wrap", wrap, "An Array of the memory of a, which it keeps alive.");
    m.def("shared", shared, "The view as a numpy array of the same memory, which it keeps alive.");
#endif
    m.def("to_numpy", to_numpy, "A numpy copy of the view.");
    m.def("from_numpy", from_numpy, "out = a, cast to float32.");
    m.def("fill", [](Array& out, float value) { fill({out.size}, {1}, value, out.ptr); }, "Every element of out becomes the value.");
    m.def("compact", compact, "out = the view of a, in row-major order.");
    m.def("strided_setitem", strided_setitem, "The view of out = the view of a, of one shape.");
    m.def("ewise_setitem", ewise_setitem, "The view of out = a.");
    m.def("scalar_setitem", scalar_setitem, "Every element of the view of out becomes the value.");
    m.def("empty_cache", empty_cache, "Give memory that is kept for reuse back to the system.");
}

}  // namespace nd
