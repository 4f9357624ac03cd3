// The device of this process and its one stream, on which all work is done in the order in which it was started.
#pragma once
#include <string>
#include "../nd/base.h"

namespace nd {

int visible_devices() noexcept;  // that this process can use; none where there is no driver
std::string device_name();
Executor the_device();
void* stream_handle();
void synchronize();  // until all work is done; throws DeviceError where some of it failed

}  // namespace nd
