// The memory of the emulated devices (simt.h), of which there are two: of each a range of addresses that is closed while no
// kernel runs on it.
#pragma once
#include <sys/mman.h>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

namespace simt {

[[noreturn]] inline void fail(const char* what);

constexpr int kDevices = 2;
inline thread_local int in_use = 0;  // the device of this thread

#if defined(__SANITIZE_ADDRESS__)
inline void* allocate(std::size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }
inline void release(void* block, std::size_t) { std::free(block); }
struct Open {};
template <class T> void check_argument(const T&) {}
#else
struct Memory {
    static constexpr std::size_t kRange = std::size_t(16) << 30, kPage = std::size_t(1) << 16;
    char* base = static_cast<char*>(mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    std::size_t used = 0, opened = 0;
    std::mutex mutex;
    std::vector<std::pair<std::size_t, void*>> free;

    bool holds(std::uintptr_t address) const {
        const auto first = reinterpret_cast<std::uintptr_t>(base);
        return address >= first && address < first + kRange;
    }
    void* take(std::size_t bytes) {
        std::lock_guard<std::mutex> lock(mutex);
        for (std::size_t i = 0; i < free.size(); ++i)
            if (free[i].first == bytes) {
                void* block = free[i].second;
                free.erase(free.begin() + static_cast<std::ptrdiff_t>(i));
                return block;
            }
        const std::size_t size = (bytes + 63) / 64 * 64;
        if (base == MAP_FAILED || size > kRange - used) return nullptr;
        used += size;
        return base + used - size;
    }
    void close(int protection) { mprotect(base, (used + kPage - 1) / kPage * kPage, protection); }
};
inline Memory& memory(int device = in_use) {
    static Memory* each = new Memory[kDevices];
    return each[device];
}
inline void* allocate(std::size_t bytes) { return memory().take(bytes); }
inline void release(void* block, std::size_t bytes) {
    int device = 0;
    while (device + 1 < kDevices && !memory(device).holds(reinterpret_cast<std::uintptr_t>(block))) ++device;
    std::lock_guard<std::mutex> lock(memory(device).mutex);
    memory(device).free.emplace_back(bytes, block);
}
struct Open {  // the memory of this thread's device, for as long as it lives; one at a time
    Open() { memory().close(PROT_READ | PROT_WRITE); }
    ~Open() { memory().close(PROT_NONE); }
};
// No word of a kernel's argument may be an address of another device, or look like one of the host.
template <class T>
void check_argument(T argument) {
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&argument);
    if constexpr (sizeof(T) >= sizeof(void*))
        for (std::size_t at = 0; at + sizeof(void*) <= sizeof(T); at += sizeof(void*)) {
            std::uintptr_t word;
            std::memcpy(&word, reinterpret_cast<const char*>(&argument) + at, sizeof word);
            for (int device = 0; device < kDevices; ++device)
                if (device != in_use && memory(device).holds(word))
                    fail("an address of another device among the arguments of the kernel,");
            if (word >> 40 >= 0x55 && word >> 47 == 0 && !memory().holds(word)) fail("an address of the host among the arguments of the kernel,");
        }
#endif
}
#endif

}  // namespace simt
