// The pool's one definition. A job is open while indices are left; workers join an open job and leave it; the caller
// closes it and waits only for those who joined, never for one that still sleeps.
#pragma once
#include "pool.h"
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>
#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

namespace nd {

// How many forks lie between the program's first process and this one, and 1 more. Counted rather than asked for
// with getpid(): a kernel is as short as some system calls.
inline std::atomic<uint32_t> process_number{1};
inline const int counts_forks = pthread_atfork(nullptr, nullptr, [] { process_number.fetch_add(1); });

// A lock that is never waited for. What a thread of the parent held is unlocked in a forked child, where that thread does
// not exist.
class TryLock {
public:
    bool try_lock() noexcept {
        const uint32_t mine = process_number.load(std::memory_order_relaxed);
        uint32_t holder = holder_.load(std::memory_order_relaxed);
        return holder != mine && holder_.compare_exchange_strong(holder, mine, std::memory_order_acquire);
    }
    void unlock() noexcept { holder_.store(0, std::memory_order_release); }

private:
    std::atomic<uint32_t> holder_{0};
};

// The worker threads of one process, and the job that they share.
class WorkerThreads {
public:
    explicit WorkerThreads(int threads) noexcept;
    ~WorkerThreads();
    bool is_ours() const noexcept { return process_ == process_number.load(std::memory_order_relaxed); }
    void run(int64_t count, void (*task)(void*, int64_t), void* context) noexcept;

private:
    // Kernels last 20 to 500 microseconds and follow each other closely: waiting this long before sleeping hides the
    // cost of waking up, and costs little when nothing follows.
    static constexpr std::chrono::microseconds kSpin{60};
    static constexpr uint32_t kOpen = 1u << 31, kCallerSleeps = 1u << 30, kJoined = kCallerSleeps - 1;

    void work() noexcept;
    bool join_job() noexcept;
    void leave_job() noexcept;
    void take_tasks() noexcept;
    void wait_for_workers() noexcept;
    template <class Done>
    static bool spin_until(Done done) noexcept;

    const uint32_t process_ = process_number.load();
    std::vector<std::thread> workers_;

    int64_t count_ = 0;                // the job: written while it is closed and nobody has joined
    void (*task_)(void*, int64_t) = nullptr;
    void* context_ = nullptr;
    std::atomic<int> processor_{-1};   // the one that the caller runs on
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<uint32_t> state_{0};   // kOpen | kCallerSleeps | how many workers have joined
    alignas(64) std::atomic<uint32_t> epoch_{0};   // counts jobs: what workers wait for
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable work_, done_;
};

class Pool {
public:
    explicit Pool(int threads) : threads_(threads < 1 ? 1 : threads) {}
    ~Pool();
    int threads() const { return threads_; }
    void run(int64_t count, void (*task)(void*, int64_t), void* context) noexcept;

private:
    const int threads_;
    TryLock busy_;                             // a caller is running a job
    WorkerThreads* worker_threads_ = nullptr;  // touched only by the caller that holds the lock
};

inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// The processor that this thread runs on, -1 where that is not known.
inline int current_processor() noexcept {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

// Linux likes to wake a worker on the processor of the thread that woke it, where both then take turns for many
// milliseconds. A worker that finds itself there moves to another one that it may use.
inline void leave_processor(int processor) noexcept {
#if defined(__linux__)
    cpu_set_t allowed;
    if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0) return;
    cpu_set_t others = allowed;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) == 0 || pthread_setaffinity_np(pthread_self(), sizeof others, &others) != 0) return;
    pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
#else
    (void)processor;
#endif
}

template <class Done>
bool WorkerThreads::spin_until(Done done) noexcept {
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
        for (int i = 0; i < 32; ++i) {
            if (done()) return true;
            cpu_relax();
        }
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

inline void Pool::run(int64_t count, void (*task)(void*, int64_t), void* context) noexcept {
    // A second caller, or a task that itself runs tasks, does its work alone: no queue, no deadlock.
    if (count <= 1 || threads_ == 1 || !busy_.try_lock()) {
        for (int64_t i = 0; i < count; ++i) task(context, i);
        return;
    }
    // The parent's worker threads are left as they are: they do not run here, and may hold their locks.
    if (worker_threads_ == nullptr || !worker_threads_->is_ours()) worker_threads_ = new (std::nothrow) WorkerThreads(threads_);
    if (worker_threads_ != nullptr)
        worker_threads_->run(count, task, context);
    else
        for (int64_t i = 0; i < count; ++i) task(context, i);
    busy_.unlock();
}

inline Pool::~Pool() {
    if (worker_threads_ != nullptr && worker_threads_->is_ours()) delete worker_threads_;
}

inline WorkerThreads::WorkerThreads(int threads) noexcept {
    try {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::exception&) {  // no more threads to be had: the ones there are do the work
    }
}

inline WorkerThreads::~WorkerThreads() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stop_.store(true);
        epoch_.fetch_add(1);
    }
    work_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

inline void WorkerThreads::run(int64_t count, void (*task)(void*, int64_t), void* context) noexcept {
    count_ = count;
    task_ = task;
    context_ = context;
    processor_.store(current_processor(), std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    state_.store(kOpen, std::memory_order_release);
    epoch_.fetch_add(1);
    if (sleepers_.load() > 0) {
        { std::lock_guard<std::mutex> lock(mutex_); }  // a worker about to sleep has either seen the epoch or sleeps by now
        work_.notify_all();
    }
    take_tasks();
    wait_for_workers();
}

inline void WorkerThreads::work() noexcept {
    uint32_t seen = 0;
    while (!stop_.load()) {
        if (!spin_until([&] { return epoch_.load() != seen; })) {
            std::unique_lock<std::mutex> lock(mutex_);
            sleepers_.fetch_add(1);
            work_.wait(lock, [&] { return epoch_.load() != seen; });
            sleepers_.fetch_sub(1);
        }
        seen = epoch_.load();
        const int here = current_processor();
        if (here >= 0 && here == processor_.load(std::memory_order_relaxed)) leave_processor(here);
        if (join_job()) {
            take_tasks();
            leave_job();
        }
    }
}

inline bool WorkerThreads::join_job() noexcept {
    uint32_t state = state_.load(std::memory_order_relaxed);
    while (state & kOpen)
        if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) return true;
    return false;
}

inline void WorkerThreads::leave_job() noexcept {
    const uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
    if (before == (kCallerSleeps | 1)) {
        { std::lock_guard<std::mutex> lock(mutex_); }
        done_.notify_one();
    }
}

inline void WorkerThreads::take_tasks() noexcept {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, i);
}

inline void WorkerThreads::wait_for_workers() noexcept {
    auto alone = [this] { return (state_.load(std::memory_order_acquire) & kJoined) == 0; };
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    if (spin_until(alone)) return;
    state_.fetch_or(kCallerSleeps, std::memory_order_acq_rel);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, alone);
}

Pool* pool_create(int threads) noexcept { return new (std::nothrow) Pool(threads); }

void pool_destroy(Pool* pool) noexcept { delete pool; }

Executor pool_executor(Pool* pool) noexcept {
    if (pool == nullptr) return Executor{};
    auto run = [](void* self, int64_t count, void (*task)(void*, int64_t), void* context) {
        static_cast<Pool*>(self)->run(count, task, context);
    };
    return Executor{run, pool, pool->threads()};
}

}  // namespace nd
