#include "device.h"
#include "precision.h"
#include "stream.h"

namespace nd {

// A device has no threads to choose: work goes to its one stream.
Executor threads() { return the_device(); }

void bind_device(py::module_& m) {
    m.def("device_count", visible_devices, "How many devices this process can use.");
    m.def("device_name", [](int device) {
        const OnDevice place(device);
        return device_name();
    }, "What a device calls itself.", py::arg("device") = 0);
    m.def("choose_product_precision", [](int chosen) { choose_product_precision(static_cast<Precision>(chosen)); },
          "How exactly products are computed from now on: 0 highest, 1 high, 2 medium.");
    m.def("synchronize", [](int device) {
        const OnDevice place(device);
        py::gil_scoped_release unlocked;
        synchronize();
    }, "Return when all work that was started on a device is done; DeviceError where some of it failed.", py::arg("device") = 0);
    m.def("stream", [](int device) {
        const OnDevice place(device);
        return reinterpret_cast<std::uintptr_t>(stream_handle());
    }, "The stream on which all work of a device is done.", py::arg("device") = 0);
}

}  // namespace nd
