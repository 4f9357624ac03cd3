// A small thread pool: tasks are handed out one index at a time, the calling thread works too, the last one out wakes it.
// Compiled once, for the baseline instruction set; kernels reach it through nd::Executor.
#pragma once
#include "base.h"

namespace nd {

class Pool;
Pool* pool_create(int threads);             // threads >= 1, the caller's among them; started at the first run
void pool_destroy(Pool* pool) noexcept;
Executor pool_executor(Pool* pool) noexcept;

}  // namespace nd
