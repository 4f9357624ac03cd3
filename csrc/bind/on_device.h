// Which device a call works on: that of its operands. The processor is one device.
#pragma once

namespace nd {

#if defined(ND_DEVICE)

// An operand of a call, or whoever names a device by its number. While one lives, this thread works on its device: memory comes
// from there, and kernels go to its stream (csrc/cuda/memory.cu). With the last the thread's device is again what it was, for
// other libraries choose one too. Throws DeviceError where the call has an operand on another device, and for a device that
// there is not.
class OnDevice {
public:
    OnDevice() = default;  // of nothing
    explicit OnDevice(int device);
    OnDevice(const OnDevice& other) noexcept;
    OnDevice& operator=(const OnDevice& other) noexcept;
    ~OnDevice();

private:
    int device_ = -1;
};

int current_device() noexcept;  // that of the call which this thread is in

#else

struct OnDevice {
    OnDevice() = default;
    explicit OnDevice(int) {}
};
constexpr int current_device() noexcept { return 0; }

#endif

}  // namespace nd
