// What the tests of kernels share: floats of the emulated device, and their comparison with what they should be.
#pragma once
#define ND_ISA cuda
#define ND_DEVICE cuda  // with the kernels that only the extension has
#include "../../csrc/cuda/launch.h"
#include "../csrc/check.h"

namespace nd {
void launched(const Executor&, const char*, int) {}
}  // namespace nd

namespace {

using namespace nd;
const Executor on{};

// Floats of the device: the host sees them by get() alone.
class Floats {
public:
    explicit Floats(int64_t count) : count_(count), p(static_cast<float*>(simt::allocate(bytes()))) {}
    explicit Floats(const std::vector<float>& host) : Floats(static_cast<int64_t>(host.size())) {
        simt::copy(p, host.data(), sizeof(float) * host.size());
    }
    ~Floats() { simt::release(p, bytes()); }
    Floats(const Floats&) = delete;
    Floats& operator=(const Floats&) = delete;
    std::vector<float> get() const {
        std::vector<float> host(static_cast<std::size_t>(count_));
        simt::copy(host.data(), p, sizeof(float) * host.size());
        return host;
    }

private:
    std::size_t bytes() const { return sizeof(float) * static_cast<std::size_t>(count_ > 0 ? count_ : 1); }
    int64_t count_;

public:
    float* p;
};

template <class Exact>
void compare(const char* name, const Floats& got, double tolerance, Exact exact) {
    const std::vector<float> values = got.get();
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double wanted = exact(static_cast<int64_t>(i));
        const bool close = std::fabs(values[i] - wanted) <= tolerance * (1 + std::fabs(wanted));
        CHECK(close, "%s: element %zu is %.9g, wanted %.9g", name, i, values[i], wanted);
        if (!close) return;
    }
}

}  // namespace
