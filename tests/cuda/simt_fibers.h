// Fibers of the emulated device (simt.h): stacks of their own, between which a switch saves what a call keeps.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = std::size_t(256) << 10;
#else
constexpr std::size_t kStack = std::size_t(64) << 10;
#endif

struct Fiber {
    std::unique_ptr<char[]> memory;  // none for the fiber that the process began with
    const void* bottom = nullptr;
    std::size_t size = 0;
    void* fake = nullptr;  // the sanitizer's
#if defined(__x86_64__)
    void* top = nullptr;
#else
    ucontext_t context;
#endif
};

#if defined(__x86_64__)
__attribute__((naked, noinline)) inline void exchange(void** /* kept */, void* /* next */) {
    __asm__ volatile(
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

inline void arrived(Fiber& here, Fiber* from) {
#if defined(__SANITIZE_ADDRESS__)
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(here.fake, &bottom, &size);
    if (from != nullptr && from->bottom == nullptr) from->bottom = bottom, from->size = size;
#else
    (void)here, (void)from;
#endif
}

inline void go(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.size);
#endif
#if defined(__x86_64__)
    exchange(&from.top, to.top);
#else
    swapcontext(&from.context, &to.context);
#endif
    arrived(from, nullptr);
}

inline void prepare(Fiber& fiber, void (*entry)()) {
    if (!fiber.memory) {
        fiber.memory.reset(new char[kStack]);
        fiber.bottom = fiber.memory.get(), fiber.size = kStack;
    }
#if defined(__x86_64__)
    auto end = reinterpret_cast<std::uintptr_t>(fiber.memory.get() + kStack) / 16 * 16;
    auto* top = reinterpret_cast<void**>(end);
    *--top = nullptr;  // where `entry` would return to
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    fiber.top = top;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.memory.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#endif
}

}  // namespace simt
