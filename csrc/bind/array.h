// Array: a flat, 64-byte aligned block of floats, taken from a caching allocator.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>
#include "on_device.h"

namespace nd {

// Blocks that were freed are kept and handed out again by size class: page faults on fresh memory otherwise dominate
// small training steps. Thread-safe. `NEEDLE_CACHE_MB` bounds what is kept (default 2048 of the
// processor's memory, of a device's all). Each device has its own; what is allocated is the current device's.
void* allocate(std::size_t bytes);
void release(void* block, std::size_t bytes, int device) noexcept;
void empty_cache() noexcept;  // of all devices

// Memory of zeros, because Python can make an object whose __init__ never runs: an empty array, a program without calls.
struct Zeroed {
    static void* operator new(std::size_t bytes);
    static void operator delete(void* block) noexcept;
};

// A type of its own in the extension of a device, for the two must not take each other's arrays.
#if defined(ND_DEVICE)
inline namespace on_device {
#else
inline namespace on_host {
#endif

struct Array : Zeroed {
    explicit Array(int64_t count);
    // Of memory whose owner outlives it.
    Array(float* memory, int64_t count) : ptr(memory), size(count), owned(false), device(current_device()) {}
    ~Array();
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    float* ptr;
    int64_t size;
    bool owned;
    int device;
};

}  // namespace

// `floats` of scratch memory for the length of one call.
struct Scratch {
    explicit Scratch(int64_t floats) : bytes(sizeof(float) * static_cast<std::size_t>(floats)), data(allocate(bytes)) {}
    ~Scratch() { release(data, bytes, device); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    float* floats() { return static_cast<float*>(data); }
    std::size_t bytes;
    void* data;
    int device = current_device();
};

using Sizes = std::vector<int64_t>;
std::string text(const Sizes& sizes);  // as Python writes it: "(2, 3)", "(2,)"

constexpr int kMaxAxes = 16;
constexpr int64_t kLongestAxis = int64_t(1) << 20;  // beyond memory in a plane, far from overflow
constexpr int64_t kMostFloats = int64_t(1) << 40;   // of an operand or of scratch memory: the same

// Throws std::invalid_argument, naming `name`, for a value outside least..kLongestAxis.
void check_size(const char* where, const char* name, int64_t value, int64_t least);

// Python's ShapeError: "[where] what".
struct ShapeError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};
// Python's DeviceError: what a device answers.
struct DeviceError : std::runtime_error {
    using std::runtime_error::runtime_error;
};
[[noreturn]] void refuse_shape(const char* where, const std::string& what);
void check_axes(const char* where, std::size_t count);

// The product of the sizes. Throws ShapeError for a negative size or one that overflows.
int64_t count_of(const char* where, const int64_t* shape, std::size_t dims);
int64_t count_of(const char* where, const Sizes& shape);

// Pointer to element `offset`, after checking that every element the view reaches lies inside the array. Throws ShapeError
// naming `where` otherwise. The first is for sizes of 1 and more; of the second a view with no elements always passes.
float* checked(const char* where, const Array& array, const int64_t* shape, const int64_t* strides, std::size_t dims,
               int64_t offset);
float* checked(const char* where, const Array& array, const Sizes& shape, const Sizes& strides, int64_t offset);

[[noreturn]] void refuse(const char* where, const std::string& what);

}  // namespace nd
