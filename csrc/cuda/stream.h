// The devices that this process can use, and of each the one stream on which all its work is done, in the order in which it was
// started. What has no parameter for a device means that of the call (csrc/bind/on_device.h).
#pragma once
#include <string>
#include "../nd/base.h"

namespace nd {

int visible_devices() noexcept;  // how many; none where there is no driver
std::string device_text(int device);  // as Python writes it: "cuda()", "cuda(1)"
std::string device_name();  // what it calls itself
Executor the_device();
void* stream_handle();
void synchronize();  // until all work is done; throws DeviceError where some of it failed

}  // namespace nd
