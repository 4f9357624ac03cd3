#include "memory.h"
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nd {
namespace {

constexpr std::size_t kPage = 4096;

// Fresh memory. Large blocks begin at different places within a page: kernels that read and write several arrays in step
// lose a quarter of their speed when all of them share their low address bits. Very large ones ask for huge pages.
constexpr std::size_t kLarge = std::size_t(64) << 10, kHuge = std::size_t(4) << 20, kHugePage = std::size_t(2) << 20;

}  // namespace

void* fresh(std::size_t size) noexcept {
    static std::atomic<unsigned> turn{0};
    void* block = nullptr;
    if (size < kLarge) return posix_memalign(&block, size >= kPage ? kPage : kAlign, size) == 0 ? block : nullptr;
    if (posix_memalign(&block, size >= kHuge ? kHugePage : kPage, size + kPage) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
    if (size >= kHuge) madvise(block, size + kPage, MADV_HUGEPAGE);
#endif
    return static_cast<char*>(block) + turn.fetch_add(1, std::memory_order_relaxed) % 13 * 5 * kAlign;
}

void give_back(void* block, std::size_t size) noexcept {
    const std::size_t inside = size < kLarge ? 0 : reinterpret_cast<std::uintptr_t>(block) % kPage;
    std::free(static_cast<char*>(block) - inside);
}

void copy_in(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
void copy_out(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }

}  // namespace nd
