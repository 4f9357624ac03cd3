// A small thread pool: tasks are handed out one index at a time, the calling thread works too, the last one out wakes it.
// Its threads belong to the process that started them: a forked child starts its own, and never waits for its parent's.
// Defined in pool_impl.h, which exactly one source file includes, compiled for the baseline instruction set; kernels
// reach it through nd::Executor.
#pragma once
#include "base.h"

namespace nd {

class Pool;
// threads >= 1, the caller's among them; the others start at the first run. Null where there is no memory.
Pool* pool_create(int threads) noexcept;
void pool_start(Pool* pool) noexcept;    // now instead of at the first run
void pool_destroy(Pool* pool) noexcept;  // after the last run has returned
Executor pool_executor(Pool* pool) noexcept;

}  // namespace nd
