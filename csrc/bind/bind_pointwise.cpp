#include "bindings.h"

namespace nd {

void bind_pointwise(py::module_&) {}

}  // namespace nd
