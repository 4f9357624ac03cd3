#include <optional>

#include "bindings.h"

namespace nd {
namespace {

using Call = int (*)(void* model, const int64_t* sizes, void* const* operands);

// The type of an array: its dtype, which numpy holds once, and its shape.
struct ArrayType {
    py::dtype dtype;
    std::vector<py::ssize_t> shape;

    explicit ArrayType(const py::array& x) : dtype(x.dtype()), shape(x.shape(), x.shape() + x.ndim()) {}

    // The memory of `x` if it is an array of this type without gaps; null else.
    void* memory_of(PyObject* x) const {
        if (Py_TYPE(x) != py::detail::npy_api::get().PyArray_Type_) return nullptr;
        const auto* array = py::detail::array_proxy(x);
        const bool fits = array->descr == dtype.ptr() && array->nd == static_cast<int>(shape.size()) &&
                          (array->flags & py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_) != 0 &&
                          std::equal(shape.begin(), shape.end(), array->dimensions);
        return fits ? array->data : nullptr;
    }
};

std::vector<ArrayType> types_of(const std::vector<py::array>& arrays) { return {arrays.begin(), arrays.end()}; }

// The call of a library that one before has prepared: for inputs of the types that it had, and of no other.
class Route {
public:
    Route(std::uintptr_t function, std::uintptr_t model, const Sizes& sizes, const std::vector<py::array>& inputs,
          const std::vector<py::array>& outputs)
        : call_(reinterpret_cast<Call>(function)), model_(reinterpret_cast<void*>(model)), sizes_(sizes),
          inputs_(types_of(inputs)), outputs_(types_of(outputs)) {}

    // The outputs; None where an input has another type or the call fails, of which Python knows what to say.
    std::optional<py::list> operator()(const py::sequence& given) const {
        const py::object fast = py::reinterpret_steal<py::object>(PySequence_Fast(given.ptr(), "needs a sequence"));
        if (!fast) throw py::error_already_set();
        if (static_cast<std::size_t>(PySequence_Fast_GET_SIZE(fast.ptr())) != inputs_.size()) return std::nullopt;
        std::vector<void*> operands;
        operands.reserve(inputs_.size() + outputs_.size());
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
            operands.push_back(inputs_[i].memory_of(PySequence_Fast_GET_ITEM(fast.ptr(), static_cast<py::ssize_t>(i))));
            if (operands.back() == nullptr) return std::nullopt;
        }
        py::list made(outputs_.size());
        for (std::size_t i = 0; i < outputs_.size(); ++i) {
            py::array y(outputs_[i].dtype, outputs_[i].shape);
            operands.push_back(y.mutable_data());
            made[i] = std::move(y);
        }
        return run(operands) == 0 ? std::optional<py::list>(std::move(made)) : std::nullopt;
    }

private:
    int run(const std::vector<void*>& operands) const {
        py::gil_scoped_release unlocked;
        return call_(model_, sizes_.data(), operands.data());
    }

    Call call_;
    void* model_;
    Sizes sizes_;
    std::vector<ArrayType> inputs_, outputs_;
};

}  // namespace

void bind_route(py::module_& m) {
    py::class_<Route>(m, "Route", R"(The call of a compiled library for inputs of known types, without a look at what they hold.

function, model: addresses, of NAME_call and of what NAME_create gave; sizes: its named sizes in order; inputs, outputs: arrays
as this call has them. The library and the model must stay while it is used.)")
        .def(py::init<std::uintptr_t, std::uintptr_t, const Sizes&, const std::vector<py::array>&, const std::vector<py::array>&>(),
             py::arg("function"), py::arg("model"), py::arg("sizes"), py::arg("inputs"), py::arg("outputs"))
        .def("__call__", &Route::operator(), py::arg("given"),
             "The outputs, as new arrays; None for inputs of other types, or where the call fails.");
}

}  // namespace nd
