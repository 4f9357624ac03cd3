#include "view.h"
#include <structmember.h>
#include <algorithm>

namespace nd {
namespace {

// The class and where its instances keep their slots. They live as long as the process.
PyTypeObject* ndarray_type = nullptr;
Py_ssize_t handle_slot, shape_slot, strides_slot, offset_slot, device_slot, compact_slot;

Py_ssize_t offset_of(const py::object& type, const char* name) {
    const py::object slot = type.attr(name);
    if (Py_TYPE(slot.ptr()) != &PyMemberDescr_Type) refuse("register_ndarray", std::string(name) + " must be a slot");
    return reinterpret_cast<PyMemberDescrObject*>(slot.ptr())->d_member->offset;
}

PyObject*& slot(py::handle array, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(array.ptr()) + offset);
}

// A tuple of ints into `to`, and how many they are; -1 for anything else.
int read_sizes(PyObject* given, int64_t* to) {
    if (given == nullptr || !PyTuple_Check(given)) return -1;
    const Py_ssize_t count = PyTuple_GET_SIZE(given);
    if (count > kMaxAxes) refuse("view", "at most " + std::to_string(kMaxAxes) + " axes, got " + std::to_string(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
        to[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(given, i));
        if (to[i] == -1 && PyErr_Occurred()) throw py::error_already_set();
    }
    return static_cast<int>(count);
}

// Whether memory is walked without gaps in row-major order, of which axes of size 1 say nothing.
bool row_major(const View& x) {
    int64_t step = 1;
    for (int axis = x.dims; axis-- > 0;) {
        if (x.shape[axis] != 1 && x.stride[axis] != step) return false;
        step *= x.shape[axis];
    }
    return true;
}

bool dense(const View& x) {
    if (x.size == 0 || row_major(x)) return true;
    std::pair<int64_t, int64_t> axes[kMaxAxes];
    int count = 0;
    for (int axis = 0; axis < x.dims; ++axis)
        if (x.shape[axis] != 1) axes[count++] = {x.stride[axis], x.shape[axis]};
    std::sort(axes, axes + count);
    int64_t step = 1;
    for (int i = 0; i < count; ++i) {
        if (axes[i].first != step) return false;
        step *= axes[i].second;
    }
    return true;
}

void check_bounds(const View& x, int64_t offset) {
    if (x.size == 0) return;
    int64_t low = offset, high = offset;
    for (int axis = 0; axis < x.dims; ++axis) {
        int64_t reach = 0;
        int64_t& end = x.stride[axis] < 0 ? low : high;
        if (__builtin_mul_overflow(x.shape[axis] - 1, x.stride[axis], &reach) || __builtin_add_overflow(end, reach, &end))
            refuse("view", "strides reach beyond what memory can hold");
    }
    if (low < 0 || high >= x.memory->size)
        refuse("view", "it reaches elements " + std::to_string(low) + ".." + std::to_string(high) + " of an array of " +
                           std::to_string(x.memory->size));
}

int64_t product(const View& x) {
    int64_t count = 1;
    for (int axis = 0; axis < x.dims; ++axis) {
        if (x.shape[axis] < 0) refuse("view", "sizes must not be negative, got " + std::to_string(x.shape[axis]));
        if (__builtin_mul_overflow(count, x.shape[axis], &count)) refuse("view", "the product of the sizes overflows");
    }
    return count;
}

PyObject* tuple_of(const int64_t* values, int count) {
    PyObject* made = PyTuple_New(count);
    if (made == nullptr) throw py::error_already_set();
    for (int i = 0; i < count; ++i) PyTuple_SET_ITEM(made, i, PyLong_FromLongLong(values[i]));
    return made;
}

PyObject* shared(PyObject* object) {
    Py_INCREF(object);
    return object;
}

}  // namespace

bool View::same_shape(const View& other) const {
    return dims == other.dims && std::equal(shape, shape + dims, other.shape);
}

bool View::same_layout(const View& other) const {
    return same_shape(other) && std::equal(stride, stride + dims, other.stride);
}

bool read(py::handle source, View& view) {
    if (ndarray_type == nullptr || !PyObject_TypeCheck(source.ptr(), ndarray_type)) return false;
    py::detail::make_caster<Array> memory;
    if (slot(source, handle_slot) == nullptr || !memory.load(slot(source, handle_slot), false)) return false;
    view.source = source;
    view.memory = static_cast<Array*>(memory);
    view.dims = read_sizes(slot(source, shape_slot), view.shape);
    if (view.dims < 0 || read_sizes(slot(source, strides_slot), view.stride) != view.dims) return false;
    const int64_t offset = slot(source, offset_slot) ? PyLong_AsLongLong(slot(source, offset_slot)) : 0;
    if (offset == -1 && PyErr_Occurred()) throw py::error_already_set();
    view.size = product(view);
    check_bounds(view, offset);
    view.p = view.memory->ptr + offset;
    view.dense = dense(view);
    view.whole = view.dense && offset == 0 && view.size == view.memory->size;
    return true;
}

void register_ndarray(const py::object& type) {
    handle_slot = offset_of(type, "_handle");
    shape_slot = offset_of(type, "_shape");
    strides_slot = offset_of(type, "_strides");
    offset_slot = offset_of(type, "_offset");
    device_slot = offset_of(type, "_device");
    compact_slot = offset_of(type, "_compact");
    ndarray_type = reinterpret_cast<PyTypeObject*>(shared(type.ptr()));
}

Result::Result(const View& like) {
    py::object memory = py::cast(new Array(like.size), py::return_value_policy::take_ownership);
    p = memory.cast<Array*>()->ptr;
    const bool keep = like.dense && like.size > 0;
    bool rows = true;
    int64_t step = 1;
    for (int axis = like.dims; axis-- > 0;) {
        stride[axis] = keep ? like.stride[axis] : step;
        rows = rows && (like.shape[axis] == 1 || stride[axis] == step);
        step *= std::max<int64_t>(like.shape[axis], 1);
    }
    array_ = py::reinterpret_steal<py::object>(ndarray_type->tp_alloc(ndarray_type, 0));
    if (!array_) throw py::error_already_set();
    slot(array_, shape_slot) = shared(slot(like.source, shape_slot));
    slot(array_, strides_slot) = keep ? shared(slot(like.source, strides_slot)) : tuple_of(stride, like.dims);
    slot(array_, offset_slot) = PyLong_FromLong(0);
    slot(array_, device_slot) = shared(slot(like.source, device_slot));
    slot(array_, compact_slot) = shared(rows ? Py_True : Py_False);
    slot(array_, handle_slot) = memory.release().ptr();
}

}  // namespace nd
