// The device as the bindings see it.
#pragma once
#include "../bind/bindings.h"

namespace nd {

void bind_device(py::module_& m);  // device_count, device_name, synchronize

}  // namespace nd
