#include "bindings.h"

namespace nd {

void bind_conv(py::module_&) {}

}  // namespace nd
