// The device as the bindings see it.
#pragma once
#include "../bind/bindings.h"
#include "elements.h"

namespace nd {

void bind_device(py::module_& m);           // device_count, device_name, choose_product_precision, synchronize, stream
void bind_device_elements(py::module_& m);  // arrays that are not float32
void bind_dlpack(py::module_& m);           // memory of and for other libraries

}  // namespace nd

template <>
struct pybind11::detail::type_caster<nd::Elements> : nd::MemoryCaster<nd::Elements> {};
