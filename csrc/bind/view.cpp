#include "view.h"
#include <structmember.h>
#include <algorithm>
#include <cstdio>
#include "memory.h"
#include "pointwise.h"

namespace nd {
namespace {

// The class, where its instances keep their slots, and the errors. They live as long as the process.
PyTypeObject* ndarray_type = nullptr;
Py_ssize_t handle_slot, shape_slot, strides_slot, offset_slot, device_slot, compact_slot;
PyObject *shape_error = nullptr, *index_error = nullptr, *device_error = nullptr;

Py_ssize_t offset_of(const py::object& type, const char* name) {
    const py::object slot = py::getattr(type, name, py::none());
    if (Py_TYPE(slot.ptr()) != &PyMemberDescr_Type) refuse("register_ndarray", std::string(name) + " must be a slot");
    return reinterpret_cast<PyMemberDescrObject*>(slot.ptr())->d_member->offset;
}

PyObject*& slot(py::handle array, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(array.ptr()) + offset);
}

// The block that an object is, or null. The general way through pybind11 takes longer than all other checks together.
const Array* block_of(PyObject* object) {
    static PyObject* const type = py::type::of<Array>().release().ptr();
    if (object == nullptr) return nullptr;
    auto* instance = reinterpret_cast<py::detail::instance*>(object);
    const bool known = reinterpret_cast<PyObject*>(Py_TYPE(object)) == type && instance->simple_layout;
    if (known && instance->simple_value_holder[0] != nullptr) return static_cast<Array*>(instance->simple_value_holder[0]);
    py::detail::make_caster<Array> slow;
    return slow.load(object, false) ? static_cast<Array*>(slow) : nullptr;
}

// A tuple of ints into `to`, and how many they are; -1 for anything else.
int read_sizes(PyObject* given, int64_t* to) {
    if (given == nullptr || !PyTuple_Check(given)) return -1;
    const Py_ssize_t count = PyTuple_GET_SIZE(given);
    check_axes("view", static_cast<std::size_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
        to[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(given, i));
        if (to[i] == -1 && PyErr_Occurred()) throw py::error_already_set();
    }
    return static_cast<int>(count);
}

bool is_dense(const View& x) {
    if (x.size == 0 || x.row_major()) return true;
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

py::object tuple_of(const int64_t* values, int count) {
    py::object made = py::reinterpret_steal<py::object>(PyTuple_New(count));
    if (!made) throw py::error_already_set();
    for (int i = 0; i < count; ++i) PyTuple_SET_ITEM(made.ptr(), i, PyLong_FromLongLong(values[i]));
    return made;
}

py::object borrowed(PyObject* object) { return py::reinterpret_borrow<py::object>(object); }

void translate(std::exception_ptr thrown) {
    try {
        if (thrown) std::rethrow_exception(thrown);
    } catch (const ShapeError& error) {
        PyErr_SetString(shape_error ? shape_error : PyExc_ValueError, error.what());
    } catch (const IndexRangeError& error) {
        PyErr_SetString(index_error ? index_error : PyExc_IndexError, error.what());
    } catch (const DeviceError& error) {
        PyErr_SetString(device_error ? device_error : PyExc_RuntimeError, error.what());
    }
}

}  // namespace

bool View::is(std::initializer_list<int64_t> sizes) const {
    return dims == static_cast<int>(sizes.size()) && std::equal(sizes.begin(), sizes.end(), shape);
}

bool View::same_shape(const View& other) const {
    return dims == other.dims && std::equal(shape, shape + dims, other.shape);
}

bool View::same_layout(const View& other) const {
    return same_shape(other) && std::equal(stride, stride + dims, other.stride);
}

bool View::row_major() const {
    int64_t step = 1;
    for (int axis = dims; axis-- > 0;) {
        if (shape[axis] != 1 && stride[axis] != step) return false;
        step *= shape[axis];
    }
    return true;
}

Dense::Dense(const View& x, bool keep) : View(x) {
    if (keep || size == 0 || row_major()) return;
    copy = std::make_unique<Array>(size);
    const int64_t* from = x.stride;
    int64_t step = 1;
    for (int axis = dims; axis-- > 0; step *= shape[axis]) stride[axis] = step;
    unlocked(size, [&] { pointwise().copy(threads(), {dims, shape, {stride, from, nullptr}}, copy->ptr, x.p); });
    p = copy->ptr;
    dense = copied = true;
}

bool read(py::handle source, View& view) {
    if (ndarray_type == nullptr || !PyObject_TypeCheck(source.ptr(), ndarray_type)) return false;
    view.memory = block_of(slot(source, handle_slot));
    if (view.memory == nullptr) return false;
    view.place = OnDevice(view.memory->device);
    view.source = source;
    view.owner = borrowed(slot(source, handle_slot));
    view.dims = read_sizes(slot(source, shape_slot), view.shape);
    if (view.dims < 0 || read_sizes(slot(source, strides_slot), view.stride) != view.dims) return false;
    const int64_t offset = slot(source, offset_slot) ? PyLong_AsLongLong(slot(source, offset_slot)) : 0;
    if (offset == -1 && PyErr_Occurred()) throw py::error_already_set();
    const auto dims = static_cast<std::size_t>(view.dims);
    view.size = count_of("view", view.shape, dims);
    view.dense = is_dense(view);
    view.p = view.size == 0 ? view.memory->ptr : checked("view", *view.memory, view.shape, view.stride, dims, offset);
    view.whole = view.dense && offset == 0 && view.size == view.memory->size;
    view.copied = false;
    return true;
}

bool read(py::handle source, Ids& view) {
    if (ndarray_type == nullptr || !PyObject_TypeCheck(source.ptr(), ndarray_type) || !slot(source, handle_slot)) return false;
    Dense& floats = view;
    if (!read(source, floats) && !read(source.attr("astype")("float32"), floats)) return false;
    view.source = source;
    return true;
}

void register_ndarray(const py::object& type, const py::object& shapes, const py::object& indices, const py::object& devices) {
    bool fits = PyType_Check(type.ptr()) != 0;
    for (const py::object* error : {&shapes, &indices, &devices}) fits = fits && PyExceptionClass_Check(error->ptr());
    if (!fits) refuse("register_ndarray", "needs a class and three exceptions");
    handle_slot = offset_of(type, "_handle");
    shape_slot = offset_of(type, "_shape");
    strides_slot = offset_of(type, "_strides");
    offset_slot = offset_of(type, "_offset");
    device_slot = offset_of(type, "_device");
    compact_slot = offset_of(type, "_compact");
    ndarray_type = reinterpret_cast<PyTypeObject*>(py::object(type).release().ptr());
    shape_error = py::object(shapes).release().ptr();
    index_error = py::object(indices).release().ptr();
    device_error = py::object(devices).release().ptr();
    py::register_local_exception_translator(translate);
}

void misfit(const char* where, const std::string& needs, Views got) {
    std::string shapes;
    for (const View* each : got) shapes += (shapes.empty() ? "" : ", ") + text(each->sizes());
    refuse_shape(where, "needs " + needs + ", got " + shapes);
}

void check_whole(const char* where, const char* what, const char* place, int64_t low, int64_t limit, const Ids& ids, int64_t bad) {
    if (bad < 0) return;
    char value[32];
    float wrong;
    copy_out(&wrong, ids.p + bad, sizeof wrong);
    std::snprintf(value, sizeof value, "%g", static_cast<double>(wrong));
    throw IndexRangeError("[" + std::string(where) + "] " + what + " must be whole numbers in " + std::to_string(low) + ".." +
                          std::to_string(limit - 1) + ", got " + value + " at " + place + std::to_string(bad));
}

Axes axes_of(const char* where, const View& x, const py::object& named) {
    Axes found;
    if (named.is_none()) {
        for (int axis = 0; axis < x.dims; ++axis) found.set(static_cast<std::size_t>(axis));
        return found;
    }
    py::detail::make_caster<int64_t> one;
    py::detail::make_caster<Sizes> several;
    const bool single = PyIndex_Check(named.ptr()) && one.load(named, true);
    if (!single && !several.load(named, true))
        throw py::type_error("[" + std::string(where) + "] axes must be None, an integer or a sequence of them");
    Sizes& given = several;
    if (single) given.push_back(static_cast<int64_t>(one));
    for (const int64_t axis : given) {
        const bool inside = -x.dims <= axis && axis < x.dims;
        const auto at = static_cast<std::size_t>(inside && axis < 0 ? axis + x.dims : axis);
        if (!inside || found[at])
            refuse_shape(where, "axes must be distinct and lie in " + std::to_string(-x.dims) + ".." +
                                    std::to_string(x.dims - 1) + ", got " + std::string(py::str(named)));
        found.set(at);
    }
    return found;
}

Result::Result(const View& like) {
    const bool keep = like.dense && like.size > 0;
    bool rows = true;
    int64_t step = 1;
    for (int axis = like.dims; axis-- > 0;) {
        stride[axis] = keep ? like.stride[axis] : step;
        rows = rows && (like.shape[axis] == 1 || stride[axis] == step);
        step *= std::max<int64_t>(like.shape[axis], 1);
    }
    make(like, like.size, borrowed(slot(like.source, shape_slot)),
         keep && !like.copied ? borrowed(slot(like.source, strides_slot)) : tuple_of(stride, like.dims), rows);
}

Result::Result(const View& like, const Sizes& shape, const Sizes& strides) {
    const int dims = static_cast<int>(shape.size());
    check_axes("view", shape.size());
    const int64_t size = count_of("view", shape);
    int64_t step = 1;
    for (int axis = dims; axis-- > 0; step *= std::max<int64_t>(shape[axis], 1)) stride[axis] = strides.empty() ? step : strides[axis];
    make(like, size, tuple_of(shape.data(), dims), tuple_of(stride, dims), strides.empty());
}

void Result::make(const View& like, int64_t size, py::object shape, py::object strides, bool rows) {
    auto block = std::make_unique<Array>(size);
    p = block->ptr;
    py::object memory = py::cast(std::move(block));
    array_ = py::reinterpret_steal<py::object>(ndarray_type->tp_alloc(ndarray_type, 0));
    if (!array_) throw py::error_already_set();
    slot(array_, shape_slot) = shape.release().ptr();
    slot(array_, strides_slot) = strides.release().ptr();
    slot(array_, offset_slot) = PyLong_FromLong(0);
    slot(array_, device_slot) = borrowed(slot(like.source, device_slot)).release().ptr();
    slot(array_, compact_slot) = borrowed(rows ? Py_True : Py_None).release().ptr();
    slot(array_, handle_slot) = memory.release().ptr();
}

}  // namespace nd
