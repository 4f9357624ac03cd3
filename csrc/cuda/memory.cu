// The extension's devices: which one a call is on, and of each the stream, memory and copies.
#include "../bind/memory.h"
#include <algorithm>
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

// The call that this thread is in.
struct Call {
    int device = 0, operands = 0;
    int before = 0;  // the thread's device outside of it
};
thread_local Call call;

void enter(int device) {
    if (device < 0 || device >= visible_devices())
        throw DeviceError("[device] this process sees " + std::to_string(visible_devices()) + " CUDA devices, got index " +
                          std::to_string(device));
    check("device", device_in_use(&call.before));
    if (device != call.before) check("device", use_device(device));
    call.device = device;
}
void leave() noexcept {
    if (call.device != call.before) static_cast<void>(use_device(call.before));
    call.device = 0;
}

}  // namespace

OnDevice::OnDevice(int device) {
    if (call.operands > 0 && call.device != device)
        throw DeviceError("[call] operands must be on one device, got " + device_text(call.device) + " and " + device_text(device));
    if (call.operands == 0) enter(device);
    device_ = device;
    ++call.operands;
}
OnDevice::OnDevice(const OnDevice& other) noexcept : device_(other.device_) {
    if (device_ >= 0) ++call.operands;
}
OnDevice& OnDevice::operator=(const OnDevice& other) noexcept {
    OnDevice copy(other);
    std::swap(device_, copy.device_);
    return *this;
}
OnDevice::~OnDevice() {
    if (device_ >= 0 && --call.operands == 0) leave();
}
int current_device() noexcept { return call.device; }

void launched(const Executor&, const char* kernel, int error) { check(kernel, error); }

int visible_devices() noexcept {
    static const int count = std::min(device_count(), kMostDevices);
    return count;
}

std::string device_text(int device) { return "cuda(" + (device == 0 ? "" : std::to_string(device)) + ")"; }

std::string device_name() {
#if defined(__CUDACC__)
    cudaDeviceProp properties;
    check("device_name", cudaGetDeviceProperties(&properties, current_device()));
    return std::string(properties.name) + ", sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
#else
    return "emulated";
#endif
}

namespace {

// Pinned memory through which small copies go to the device: the caller may go on as soon as its bytes are in one of the two
// halves, and the device takes them from there when it is their turn.
class Stage {
public:
    static constexpr std::size_t kHalf = std::size_t(4) << 20;

    bool copy(void* stream, void* to, const void* from, std::size_t bytes) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (bytes > kHalf || (memory_ == nullptr && (memory_ = static_cast<char*>(take_pinned(2 * kHalf))) == nullptr)) return false;
        turn_ = 1 - turn_;
        check("copy to the device", wait_for_event(done_[turn_]));
        std::memcpy(memory_ + turn_ * kHalf, from, bytes);
        check("copy to the device", copy_to_device(stream, to, memory_ + turn_ * kHalf, bytes));
        check("copy to the device", record_event(&done_[turn_], stream));
        return true;
    }

private:
    std::mutex mutex_;
    char* memory_ = nullptr;
    void* done_[2] = {};
    std::size_t turn_ = 0;
};

// What there is of each device.
struct Place {
    std::once_flag opened;
    Stream stream;
    Stage stage;
};

// The current device's. Never destroyed: arrays may outlive what is static when Python shuts down.
Place& here() {
    static Place* each = new Place[kMostDevices];
    Place& place = each[current_device()];
    std::call_once(place.opened, [&] { check("stream", open_stream(&place.stream.handle)); });
    return place;
}

}  // namespace

void* stream_handle() { return here().stream.handle; }

Executor the_device() { return {nullptr, &here().stream, 1}; }

void synchronize() { check("synchronize", wait_for(stream_handle())); }

void* fresh(std::size_t size) noexcept { return take_memory(size); }
void give_back(void* block, std::size_t size) noexcept { give_memory(block, size); }

void copy_in(void* to, const void* from, std::size_t bytes) {
    void* stream = stream_handle();
    if (bytes == 0 || here().stage.copy(stream, to, from, bytes)) return;
    check("copy to the device", copy_to_device(stream, to, from, bytes));
    check("copy to the device", wait_for(stream));
}
void copy_out(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check("copy from the device", copy_from_device(stream_handle(), to, from, bytes));
    check("copy from the device", wait_for(stream_handle()));
}

}  // namespace nd
