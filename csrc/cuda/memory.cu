// Memory, copies and the stream of the extension's device.
#include "../bind/memory.h"
#include "../bind/array.h"
#include "runtime.h"
#include "stream.h"

namespace nd {
namespace {

void check(const char* what, int error) {
    if (error != 0) throw DeviceError("[" + std::string(what) + "] the device answers: " + error_text(error));
}

}  // namespace

void launched(const Executor&, const char* kernel, int error) { check(kernel, error); }

int visible_devices() noexcept { return device_count(); }

std::string device_name() {
#if defined(__CUDACC__)
    int device = 0;
    cudaDeviceProp properties;
    check("device_name", cudaGetDevice(&device));
    check("device_name", cudaGetDeviceProperties(&properties, device));
    return std::string(properties.name) + ", sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
#else
    return "emulated";
#endif
}

namespace {

Stream& the_stream() {
    static Stream one = [] {
        Stream made;
        check("stream", open_stream(&made.handle));
        return made;
    }();
    return one;
}

}  // namespace

Executor the_device() { return {nullptr, &the_stream(), 1}; }

void synchronize() { check("synchronize", wait_for(the_stream().handle)); }

void* fresh(std::size_t size) noexcept { return take_memory(size); }
void give_back(void* block, std::size_t size) noexcept { give_memory(block, size); }

void copy_in(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check("copy to the device", copy_to_device(the_stream().handle, to, from, bytes));
    check("copy to the device", wait_for(the_stream().handle));
}
void copy_out(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check("copy from the device", copy_from_device(the_stream().handle, to, from, bytes));
    check("copy from the device", wait_for(the_stream().handle));
}

}  // namespace nd
