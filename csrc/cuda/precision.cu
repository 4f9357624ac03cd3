#include "precision.h"
#include <atomic>
#include "launch.h"

namespace nd {
namespace {

std::atomic<Precision> chosen_precision{Precision::highest};

// The first number of the device's compute capability; 0 where it cannot be told.
int capability() {
#if defined(__CUDACC__)
    int device = 0, major = 0;
    if (cudaGetDevice(&device) != cudaSuccess) return 0;
    return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess ? major : 0;
#else
    return simt::capability();
#endif
}

}  // namespace

void choose_product_precision(Precision chosen) { chosen_precision.store(chosen, std::memory_order_relaxed); }

Precision product_precision() {
    const Precision chosen = chosen_precision.load(std::memory_order_relaxed);
    const bool exact = chosen == Precision::highest || capability() < 8;  // Turing's have neither type
    return exact ? Precision::highest : chosen;
}

}  // namespace nd
