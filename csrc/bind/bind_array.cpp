#include "bindings.h"

namespace nd {

void bind_array(py::module_&) {}

}  // namespace nd
