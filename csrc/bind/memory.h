// The memory that Arrays are taken from: the processor's (memory.cpp), or a device's (csrc/cuda/memory.cu).
#pragma once
#include <cstddef>

namespace nd {

constexpr std::size_t kAlign = 64;

// Megabytes of given back blocks that are kept where NEEDLE_CACHE_MB does not say: of a device all, for it waits when memory
// goes back to the driver.
#if defined(ND_DEVICE)
constexpr unsigned long long kKept = 1ull << 20;
constexpr int kMostDevices = 64;
#else
constexpr unsigned long long kKept = 2048;
constexpr int kMostDevices = 1;
#endif

// Fresh memory of the current device for a block of some size class, null where there is none, and back again, of any.
void* fresh(std::size_t size) noexcept;
void give_back(void* block, std::size_t size) noexcept;

// Between the processor's memory and the device's, behind all work that was started before.
void copy_in(void* to, const void* from, std::size_t bytes);
void copy_out(void* to, const void* from, std::size_t bytes);

}  // namespace nd
