// The thread pool: every index exactly once, nested and concurrent callers, start and stop at any time.
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>
#include "../../csrc/nd/pool_impl.h"
#include <chrono>
#include <thread>
#include <vector>
#include "check.h"

namespace {

void once_each(const nd::Executor& executor, int64_t count) {
    std::vector<int> seen(static_cast<std::size_t>(count));
    nd::parallel(executor, count, [&](int64_t i) { ++seen[static_cast<std::size_t>(i)]; });
    for (int times : seen) CHECK(times == 1, "an index of %d ran %d times", int(count), times);
}

void counts(int threads, int rounds) {
    nd::Pool* pool = nd::pool_create(threads);
    const nd::Executor executor = nd::pool_executor(pool);
    CHECK(executor.threads == threads, "asked for %d, got %d", threads, executor.threads);
    for (int64_t count : {0, 1, 2, 3, 7, 64, 1000}) once_each(executor, count);
    for (int round = 0; round < rounds; ++round) once_each(executor, 1 + round % 9);
    nd::pool_destroy(pool);
}

// Workers fall asleep between these runs, and are woken.
void after_sleep() {
    nd::Pool* pool = nd::pool_create(3);
    for (int round = 0; round < 20; ++round) {
        once_each(nd::pool_executor(pool), 50);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    nd::pool_destroy(pool);
}

// A task slow enough that the caller finishes first, falls asleep and has to be woken.
void slow_worker() {
    nd::Pool* pool = nd::pool_create(2);
    for (int round = 0; round < 20; ++round) {
        std::atomic<int> running{0}, done{0};
        nd::parallel(nd::pool_executor(pool), 2, [&](int64_t) {
            const bool second = running.fetch_add(1) == 1;
            std::this_thread::sleep_for(std::chrono::microseconds(second ? 1500 : 500));
            done.fetch_add(1);
        });
        CHECK(done.load() == 2, "%d of 2 tasks were done when run returned", done.load());
    }
    nd::pool_destroy(pool);
}

void nested() {
    nd::Pool* pool = nd::pool_create(4);
    const nd::Executor executor = nd::pool_executor(pool);
    std::atomic<int> total{0};
    nd::parallel(executor, 10, [&](int64_t) { nd::parallel(executor, 10, [&](int64_t) { total.fetch_add(1); }); });
    CHECK(total.load() == 100, "%d of 100 nested tasks ran", total.load());
    nd::pool_destroy(pool);
}

void many_callers() {
    nd::Pool* pool = nd::pool_create(3);
    std::vector<std::thread> callers;
    std::atomic<int64_t> total{0};
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&] {
            for (int round = 0; round < 500; ++round)
                nd::parallel(nd::pool_executor(pool), 8, [&](int64_t i) { total.fetch_add(i); });
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(total.load() == 4 * 500 * 28, "the tasks' sum is %d", int(total.load()));
    nd::pool_destroy(pool);
}

// What `child` does in a forked process must come to its end; ThreadSanitizer allows no threads there.
template <class Child>
void forked(Child child) {
#if !defined(__SANITIZE_THREAD__)
    std::fflush(stdout);
    const pid_t process = fork();
    if (process == 0) {
        alarm(20);
        child();
        std::fflush(stdout);
        _exit(failures != 0);
    }
    int status = -1;
    CHECK(waitpid(process, &status, 0) == process && status == 0, "the child ended with status %d", status);
#else
    (void)child;
#endif
}

void children() {
    nd::Pool* pool = nd::pool_create(3);
    for (int rounds : {0, 3}) {  // before the pool has threads, and with them
        for (int round = 0; round < rounds; ++round) once_each(nd::pool_executor(pool), 50);
        forked([&] { nd::pool_destroy(pool); });
        forked([&] { once_each(nd::pool_executor(pool), 50); });
        forked([&] {
            for (int round = 0; round < 50; ++round) once_each(nd::pool_executor(pool), 50);
            forked([&] {
                once_each(nd::pool_executor(pool), 50);
                nd::pool_destroy(pool);
            });
            nd::pool_destroy(pool);
        });
    }
    nd::pool_destroy(pool);
}

// The pool is at work for another thread, which the child does not have.
void children_of_a_pool_at_work() {
    nd::Pool* pool = nd::pool_create(3);
    std::atomic<bool> stop{false};
    std::thread caller([&] {
        while (!stop.load()) nd::parallel(nd::pool_executor(pool), 16, [](int64_t) { nd::cpu_relax(); });
    });
    for (int round = 0; round < 50; ++round)
        forked([&] {
            once_each(nd::pool_executor(pool), 50);
            nd::pool_destroy(pool);
        });
    stop.store(true);
    caller.join();
    nd::pool_destroy(pool);
}

void locks() {
    nd::TryLock lock;
    CHECK(lock.try_lock() && !lock.try_lock(), "one thread holds a lock");
    forked([&] { CHECK(lock.try_lock() && !lock.try_lock(), "what the parent holds is free in a child"); });
    lock.unlock();
    CHECK(lock.try_lock(), "what was released is free");
}

void unused() {
    nd::pool_destroy(nd::pool_create(8));
    nd::pool_destroy(nullptr);
    CHECK(nd::pool_executor(nullptr).run == nullptr, "no pool must mean no executor");
    once_each(nd::Executor{}, 10);
}

}  // namespace

int main() {
    for (int threads : {1, 2, 3, 8}) counts(threads, 2000);
    after_sleep();
    slow_worker();
    nested();
    many_callers();
    children();
    children_of_a_pool_at_work();
    locks();
    unused();
    return finish("test_pool");
}
