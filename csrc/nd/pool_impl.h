// The pool's one definition. A job is open while indices are left; workers join an open job and leave it; the caller
// closes it and waits only for those who joined, never for one that still sleeps. POSIX threads, and no part of the C++
// library that is more than a header: a generated program needs the C library alone.
#pragma once
#include "pool.h"
#include <atomic>
#include <cstdlib>
#include <new>
#include <pthread.h>
#include <time.h>
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

// An object in memory of its own, null where there is none; and its end.
template <class T>
T* made(int argument) noexcept {
    void* memory = std::aligned_alloc(64, (sizeof(T) + 63) / 64 * 64);
    return memory != nullptr ? new (memory) T(argument) : nullptr;
}
template <class T>
void unmade(T* object) noexcept {
    if (object == nullptr) return;
    object->~T();
    std::free(object);
}

// Holds a mutex to the end of its block.
struct Locked {
    explicit Locked(pthread_mutex_t& mutex) noexcept : mutex(mutex) { pthread_mutex_lock(&mutex); }
    ~Locked() { pthread_mutex_unlock(&mutex); }
    Locked(const Locked&) = delete;
    pthread_mutex_t& mutex;
};

inline int64_t nanoseconds() noexcept {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

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
    static constexpr int64_t kSpin = 60000;  // nanoseconds
    static constexpr uint32_t kOpen = 1u << 31, kCallerSleeps = 1u << 30, kJoined = kCallerSleeps - 1;

    void work() noexcept;
    bool join_job() noexcept;
    void leave_job() noexcept;
    void take_tasks() noexcept;
    void wait_for_workers() noexcept;
    template <class Done>
    static bool spin_until(Done done) noexcept;

    const uint32_t process_ = process_number.load();
    int workers_ = 0;
    pthread_t* threads_;

    int64_t count_ = 0;                // the job: written while it is closed and nobody has joined
    void (*task_)(void*, int64_t) = nullptr;
    void* context_ = nullptr;
    std::atomic<int> processor_{-1};   // the one that the caller runs on
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<uint32_t> state_{0};   // kOpen | kCallerSleeps | how many workers have joined
    alignas(64) std::atomic<uint32_t> epoch_{0};   // counts jobs: what workers wait for
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stop_{false};
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t work_ = PTHREAD_COND_INITIALIZER, done_ = PTHREAD_COND_INITIALIZER;
};

class Pool {
public:
    explicit Pool(int threads) : threads_(threads < 1 ? 1 : threads) {}
    ~Pool();
    int threads() const { return threads_; }
    void start() noexcept;
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
    const int64_t end = nanoseconds() + kSpin;
    do {
        for (int i = 0; i < 32; ++i) {
            if (done()) return true;
            cpu_relax();
        }
    } while (nanoseconds() < end);
    return false;
}

inline void Pool::run(int64_t count, void (*task)(void*, int64_t), void* context) noexcept {
    // A second caller, or a task that itself runs tasks, does its work alone: no queue, no deadlock.
    if (count <= 1 || threads_ == 1 || !busy_.try_lock()) {
        for (int64_t i = 0; i < count; ++i) task(context, i);
        return;
    }
    start();
    if (worker_threads_ != nullptr)
        worker_threads_->run(count, task, context);
    else
        for (int64_t i = 0; i < count; ++i) task(context, i);
    busy_.unlock();
}

// The parent's worker threads are left as they are: they do not run here, and may hold their locks.
inline void Pool::start() noexcept {
    if (threads_ > 1 && (worker_threads_ == nullptr || !worker_threads_->is_ours())) worker_threads_ = made<WorkerThreads>(threads_);
}

inline Pool::~Pool() {
    if (worker_threads_ != nullptr && worker_threads_->is_ours()) unmade(worker_threads_);
}

inline WorkerThreads::WorkerThreads(int threads) noexcept {
    threads_ = static_cast<pthread_t*>(std::calloc(static_cast<std::size_t>(threads), sizeof(pthread_t)));
    const auto body = [](void* self) -> void* { return static_cast<WorkerThreads*>(self)->work(), nullptr; };
    // Where no more threads are to be had, the ones there are do the work.
    while (threads_ != nullptr && workers_ + 1 < threads && pthread_create(threads_ + workers_, nullptr, body, this) == 0) ++workers_;
}

inline WorkerThreads::~WorkerThreads() {
    {
        const Locked lock(mutex_);
        stop_.store(true);
        epoch_.fetch_add(1);
    }
    pthread_cond_broadcast(&work_);
    for (int i = 0; i < workers_; ++i) pthread_join(threads_[i], nullptr);
    std::free(threads_);
    pthread_cond_destroy(&work_);
    pthread_cond_destroy(&done_);
    pthread_mutex_destroy(&mutex_);
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
        { const Locked lock(mutex_); }  // a worker about to sleep has either seen the epoch or sleeps by now
        pthread_cond_broadcast(&work_);
    }
    take_tasks();
    wait_for_workers();
}

inline void WorkerThreads::work() noexcept {
    uint32_t seen = 0;
    while (!stop_.load()) {
        if (!spin_until([&] { return epoch_.load() != seen; })) {
            const Locked lock(mutex_);
            sleepers_.fetch_add(1);
            while (epoch_.load() == seen) pthread_cond_wait(&work_, &mutex_);
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
        { const Locked lock(mutex_); }
        pthread_cond_signal(&done_);
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
    const Locked lock(mutex_);
    while (!alone()) pthread_cond_wait(&done_, &mutex_);
}

Pool* pool_create(int threads) noexcept { return made<Pool>(threads); }

void pool_start(Pool* pool) noexcept { pool->start(); }

void pool_destroy(Pool* pool) noexcept { unmade(pool); }

Executor pool_executor(Pool* pool) noexcept {
    if (pool == nullptr) return Executor{};
    auto run = [](void* self, int64_t count, void (*task)(void*, int64_t), void* context) {
        static_cast<Pool*>(self)->run(count, task, context);
    };
    return Executor{run, pool, pool->threads()};
}

}  // namespace nd
