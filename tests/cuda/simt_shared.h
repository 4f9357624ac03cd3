// Shared memory of the emulated device (simt.h), which knows who touches it.
#pragma once
#include "simt.h"

namespace simt {

// An array of N elements. The device's own is in csrc/cuda/launch.h.
template <class T, int N>
class Shared : SharedMemory {
public:
    Shared() { device().shared.push_back(this); }

#if defined(SIMT_CHECK)
    class Element {
    public:
        Element(Shared& owner, int i) : owner_(owner), i_(i) {}
        operator T() const { return owner_.get(i_); }
        Element& operator=(T value) { owner_.set(i_, value); return *this; }
        Element& operator=(const Element& other) { return *this = T(other); }
        Element& operator+=(T value) { return *this = T(*this) + value; }

    private:
        Shared& owner_;
        int i_;
    };
    Element operator[](int i) { return {*this, i}; }
#else
    T& operator[](int i) { return value_[inside(i)]; }
#endif
    float4 four(int i) {  // elements i .. i + 3, of which i is a multiple of 4
        if (i % 4 != 0) fail("four elements of shared memory that are not aligned");
        return {(*this)[i], (*this)[i + 1], (*this)[i + 2], (*this)[i + 3]};
    }

private:
    int inside(int i) {
        if (i < 0 || i >= N) fail("an access outside of shared memory");
        return i;
    }
    void begin_block() override {
        std::memset(static_cast<void*>(value_), 0xff, sizeof value_);
#if defined(SIMT_CHECK)
        for (Trace& each : trace_) each = {};
#endif
    }

    T value_[N];
#if defined(SIMT_CHECK)
    // Who wrote and who read an element last, and at which barrier; `many`: more than one thread read it there.
    struct Trace {
        uint32_t written = 0, read = 0;
        uint16_t writer = 0, reader = 0;
        bool many = false;
    };
    T get(int i) {
        Trace& t = trace_[inside(i)];
        const uint32_t now = device().epoch;
        if (t.written == now && t.writer != threadIdx.x) fail("a race: shared memory read that another thread writes");
        if (t.read != now) t.read = now, t.reader = uint16_t(threadIdx.x), t.many = false;
        else t.many = t.many || t.reader != threadIdx.x;
        return value_[i];
    }
    void set(int i, T value) {
        Trace& t = trace_[inside(i)];
        const uint32_t now = device().epoch;
        if (t.written == now && t.writer != threadIdx.x) fail("a race: shared memory written by two threads");
        if (t.read == now && (t.many || t.reader != threadIdx.x)) fail("a race: shared memory written that another thread reads");
        t.written = now, t.writer = uint16_t(threadIdx.x);
        value_[i] = value;
    }
    Trace trace_[N];
#endif
};

}  // namespace simt
