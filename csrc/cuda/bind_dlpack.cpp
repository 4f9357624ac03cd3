// Memory of the device for other libraries and from them, by the DLPack protocol (github.com/dmlc/dlpack, its stable layout).
#include "device.h"
#include "stream.h"

namespace nd {
namespace {

struct DLDevice { int32_t type, id; };
struct DLDataType { uint8_t code, bits; uint16_t lanes; };
struct DLTensor {
    void* data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};
struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*deleter)(DLManagedTensor*);
};
constexpr int32_t kCuda = 2;
enum Code : uint8_t { is_int = 0, is_uint = 1, is_float = 2, is_bool = 6 };

DLDataType dlpack_type(const std::string& dtype) {
    const auto bits = static_cast<uint8_t>(8 * bytes_of_type(type_named(dtype)));
    const uint8_t code = dtype == "bool" ? is_bool : dtype[0] == 'u' ? is_uint : dtype[0] == 'i' ? is_int : is_float;
    return {code, bits, 1};
}

// What is handed out: the tensor, its sizes, and the memory, which it keeps.
struct Handed {
    DLManagedTensor managed{};
    Sizes shape, strides;
    py::object memory;
};

void release(DLManagedTensor* tensor) {
    py::gil_scoped_acquire locked;
    delete static_cast<Handed*>(tensor->context);
}

void release_capsule(PyObject* capsule) {  // unless somebody has taken it, who renames it
    if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
    auto* tensor = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    tensor->deleter(tensor);
}

// A view as a capsule. All work on it is done before this returns, so that any stream may go on.
py::object to_dlpack(const py::object& memory, const Sizes& shape, const Sizes& strides, int64_t offset) {
    const bool floats = py::isinstance<Array>(memory);
    const std::string dtype = memory.attr("dtype").cast<std::string>();
    void* start = floats ? static_cast<void*>(memory.cast<const Array&>().ptr) : memory.cast<const Elements&>().ptr;
    const int64_t size = floats ? memory.cast<const Array&>().size : memory.cast<const Elements&>().size;
    const int device = floats ? memory.cast<const Array&>().device : memory.cast<const Elements&>().device;
    const OnDevice place(device);
    checked("dlpack", Array(nullptr, size), shape, strides, offset);
    {
        py::gil_scoped_release unlocked;
        synchronize();
    }
    auto handed = std::make_unique<Handed>();
    handed->shape = shape, handed->strides = strides, handed->memory = memory;
    char* first = static_cast<char*>(start) + offset * bytes_of_type(type_named(dtype));
    handed->managed = {{first, {kCuda, device}, static_cast<int32_t>(shape.size()), dlpack_type(dtype), handed->shape.data(),
                        handed->strides.data(), 0}, handed.get(), release};
    PyObject* capsule = PyCapsule_New(&handed->managed, "dltensor", release_capsule);
    if (capsule == nullptr) throw py::error_already_set();
    handed.release();
    return py::reinterpret_steal<py::object>(capsule);
}

// Who hands back what was taken, when the last view of it goes.
struct Taken {
    DLManagedTensor* tensor;
    ~Taken() { if (tensor->deleter != nullptr) tensor->deleter(tensor); }
};

// (memory, shape, strides, offset) of a capsule of float32 on any device, which others may change meanwhile: the memory is theirs.
py::tuple from_dlpack(const py::capsule& capsule) {
    if (PyCapsule_IsValid(capsule.ptr(), "dltensor") == 0) refuse("from_dlpack", "needs a capsule that nobody has taken yet");
    auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    const DLTensor& t = managed->tensor;
    if (t.device.type != kCuda)
        throw DeviceError("[from_dlpack] needs memory of cuda(), got that of DLPack device " + std::to_string(t.device.type));
    const OnDevice place(t.device.id);
    if (t.dtype.code != is_float || t.dtype.bits != 32 || t.dtype.lanes != 1) refuse("from_dlpack", "needs elements of float32");
    Sizes shape(t.shape, t.shape + t.ndim), strides(static_cast<std::size_t>(t.ndim), 1);
    if (t.strides != nullptr) strides.assign(t.strides, t.strides + t.ndim);
    else for (std::size_t axis = strides.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * std::max<int64_t>(shape[axis], 1);
    int64_t reach = count_of("from_dlpack", shape) == 0 ? 0 : 1;
    for (std::size_t axis = 0; reach > 0 && axis < shape.size(); ++axis) {
        if (strides[axis] < 0) refuse("from_dlpack", "needs steps that are not negative");
        reach += (shape[axis] - 1) * strides[axis];
    }
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    py::object array = py::cast(std::make_unique<Array>(reinterpret_cast<float*>(static_cast<char*>(t.data) + t.byte_offset), reach));
    const py::capsule taken(new Taken{managed}, [](void* p) { delete static_cast<Taken*>(p); });
    py::detail::keep_alive_impl(array, taken);
    return py::make_tuple(array, py::tuple(py::cast(shape)), py::tuple(py::cast(strides)), 0);
}

}  // namespace

void bind_dlpack(py::module_& m) {
    m.def("to_dlpack", &to_dlpack, "The view as a capsule of the DLPack protocol, which keeps the memory.");
    m.def("from_dlpack", &from_dlpack, "(memory, shape, strides, offset) of a capsule of float32.");
}

}  // namespace nd
