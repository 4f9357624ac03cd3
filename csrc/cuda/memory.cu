// Memory, copies and the stream of the extension's device.
#include "../bind/memory.h"
#include <cstring>
#include <mutex>
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

void* stream_handle() { return the_stream().handle; }

Executor the_device() { return {nullptr, &the_stream(), 1}; }

void synchronize() { check("synchronize", wait_for(the_stream().handle)); }

void* fresh(std::size_t size) noexcept { return take_memory(size); }
void give_back(void* block, std::size_t size) noexcept { give_memory(block, size); }

namespace {

// Pinned memory through which small copies go to the device: the caller may go on as soon as its bytes are in one of the two
// halves, and the device takes them from there when it is their turn.
class Stage {
public:
    static constexpr std::size_t kHalf = std::size_t(4) << 20;

    bool copy(void* to, const void* from, std::size_t bytes) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (bytes > kHalf || (memory_ == nullptr && (memory_ = static_cast<char*>(take_pinned(2 * kHalf))) == nullptr)) return false;
        turn_ = 1 - turn_;
        check("copy to the device", wait_for_event(done_[turn_]));
        std::memcpy(memory_ + turn_ * kHalf, from, bytes);
        check("copy to the device", copy_to_device(the_stream().handle, to, memory_ + turn_ * kHalf, bytes));
        check("copy to the device", record_event(&done_[turn_], the_stream().handle));
        return true;
    }

private:
    std::mutex mutex_;
    char* memory_ = nullptr;
    void* done_[2] = {};
    std::size_t turn_ = 0;
};

}  // namespace

void copy_in(void* to, const void* from, std::size_t bytes) {
    static Stage* stage = new Stage;  // never destroyed: arrays may outlive what is static when Python shuts down
    if (bytes == 0 || stage->copy(to, from, bytes)) return;
    check("copy to the device", copy_to_device(the_stream().handle, to, from, bytes));
    check("copy to the device", wait_for(the_stream().handle));
}
void copy_out(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check("copy from the device", copy_from_device(the_stream().handle, to, from, bytes));
    check("copy from the device", wait_for(the_stream().handle));
}

}  // namespace nd
