#include <atomic>
#include <cstdlib>
#include <sched.h>
#include "../nd/pool_impl.h"
#include "bindings.h"

namespace nd {
namespace {

int default_threads() {
    if (const char* asked = std::getenv("NEEDLE_NUM_THREADS")) {
        const long count = std::strtol(asked, nullptr, 10);
        if (count >= 1) return static_cast<int>(count < kMaxThreads ? count : kMaxThreads);
    }
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        const int count = CPU_COUNT(&allowed);
        return count < kMaxThreads ? count : kMaxThreads;
    }
#endif
    const int count = static_cast<int>(std::thread::hardware_concurrency());
    return count < 1 ? 1 : count < kMaxThreads ? count : kMaxThreads;
}

std::atomic<int> chosen{0};
// One pool per number of threads, kept for good: another thread may still be using the one that was chosen before.
std::atomic<Pool*> pools[kMaxThreads + 1];

Pool* create(int count) {
    Pool* made = pool_create(count);
    Pool* other = nullptr;
    if (pools[count].compare_exchange_strong(other, made)) return made;
    pool_destroy(made);  // another thread was faster
    return other;
}

}  // namespace

int num_threads() {
    const int count = chosen.load(std::memory_order_relaxed);
    if (count > 0) return count;
    int unset = 0;
    chosen.compare_exchange_strong(unset, default_threads());
    return chosen.load();
}

void check_threads(const char* where, int64_t count) {
    if (count < 1 || count > kMaxThreads)
        refuse(where, "the number of threads must be 1.." + std::to_string(kMaxThreads) + ", got " + std::to_string(count));
}

void set_num_threads(int count) {
    check_threads("set_num_threads", count);
    chosen.store(count);
}

Executor threads() { return threads(num_threads()); }

Executor threads(int count) {
    if (count == 1) return Executor{};
    Pool* pool = pools[count].load(std::memory_order_acquire);
    return pool_executor(pool != nullptr ? pool : create(count));
}

void bind_threads(py::module_& m) {
    m.def("set_num_threads", set_num_threads, "How many threads the kernels use from now on.");
    m.def("num_threads", num_threads);
}

}  // namespace nd
