// A whole number that kernels find and the host reads: the first place of something, or how many there are.
#pragma once
#include "../bind/array.h"
#include "../bind/memory.h"
#include "launch.h"

namespace nd { namespace ND_ISA {

using Word = unsigned long long;

// The first i < n for which f(i) holds, as the smallest number written.
template <class F>
__global__ void first_kernel(int64_t n, F f, Word* found) {
    for (int64_t i = first_index(); i < n; i += index_step())
        if (f(i)) atomicMin(found, static_cast<Word>(i));
}
template <class F>
__global__ void count_kernel(int64_t n, F f, Word* found) {
    Word some = 0;
    for (int64_t i = first_index(); i < n; i += index_step()) some += f(i) ? 1 : 0;
    if (some > 0) atomicAdd(found, some);
}

class Answer {
public:
    explicit Answer(Word start) : memory_(2) { copy_in(memory_.data, &start, sizeof start); }
    Word* device() { return static_cast<Word*>(memory_.data); }
    Word get() const {
        Word word;
        copy_out(&word, memory_.data, sizeof word);
        return word;
    }

private:
    Scratch memory_;
};

// The first i < n for which f(i) holds, or -1. Waits for the device.
template <class F>
int64_t first_of(const Executor& on, const char* name, int64_t n, const F& f) {
    Answer answer(static_cast<Word>(n));
    launch(on, name, first_kernel<F>, grid_of(n), kThreads, n, f, answer.device());
    const auto found = static_cast<int64_t>(answer.get());
    return found < n ? found : -1;
}
template <class F>
int64_t count_of(const Executor& on, const char* name, int64_t n, const F& f) {
    Answer answer(0);
    launch(on, name, count_kernel<F>, grid_of(n), kThreads, n, f, answer.device());
    return static_cast<int64_t>(answer.get());
}

}}  // namespace nd::ND_ISA
