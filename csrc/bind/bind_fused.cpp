#include "bindings.h"

namespace nd {

void bind_fused(py::module_&) {}

}  // namespace nd
