#include "device.h"
#include "precision.h"
#include "stream.h"

namespace nd {

// A device has no threads to choose: work goes to its one stream.
Executor threads() { return the_device(); }

void bind_device(py::module_& m) {
    m.def("device_count", visible_devices, "How many devices this process can use.");
    m.def("device_name", device_name, "What the device in use calls itself.");
    m.def("choose_product_precision", [](int chosen) { choose_product_precision(static_cast<Precision>(chosen)); },
          "How exactly products are computed from now on: 0 highest, 1 high, 2 medium.");
    m.def("synchronize", [] {
        py::gil_scoped_release unlocked;
        synchronize();
    }, "Return when all work that was started is done; DeviceError where some of it failed.");
}

}  // namespace nd
