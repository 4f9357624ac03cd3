#include "array.h"
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include "memory.h"

namespace nd {
namespace {


// Size classes: powers of two split in four steps, so at most a quarter of a block is wasted.
std::size_t size_class(std::size_t bytes) {
    if (bytes <= kAlign) return kAlign;
    std::size_t power = kAlign;
    while (power < bytes) power *= 2;
    const std::size_t step = power / 8 < kAlign ? kAlign : power / 8;
    return (bytes + step - 1) / step * step;
}

struct Cache {
    std::mutex mutex;
    std::map<std::size_t, std::vector<void*>> free;
    std::size_t held = 0;
    std::size_t limit;

    Cache() {
        const char* asked = std::getenv("NEEDLE_CACHE_MB");
        limit = static_cast<std::size_t>(asked ? std::strtoull(asked, nullptr, 10) : kKept) << 20;
    }
};

// Never destroyed: arrays may outlive static destruction when Python shuts down.
Cache& cache_of(int device) {
    static Cache* each = new Cache[kMostDevices];
    return each[device];
}

void empty(Cache& kept) noexcept {
    std::lock_guard<std::mutex> lock(kept.mutex);
    for (auto& blocks : kept.free)
        for (void* block : blocks.second) give_back(block, blocks.first);
    kept.free.clear();
    kept.held = 0;
}

}  // namespace

void* allocate(std::size_t bytes) {
    const std::size_t size = size_class(bytes);
    if (size < bytes) throw std::bad_alloc();
    Cache& kept = cache_of(current_device());
    {
        std::lock_guard<std::mutex> lock(kept.mutex);
        auto found = kept.free.find(size);
        if (found != kept.free.end() && !found->second.empty()) {
            void* block = found->second.back();
            found->second.pop_back();
            kept.held -= size;
            return block;
        }
    }
    void* block = fresh(size);
    if (block == nullptr) {
        empty(kept);
        block = fresh(size);
    }
    if (block == nullptr) throw std::bad_alloc();
    return block;
}

void release(void* block, std::size_t bytes, int device) noexcept {
    if (block == nullptr) return;
    const std::size_t size = size_class(bytes);
    try {
        Cache& kept = cache_of(device);
        std::lock_guard<std::mutex> lock(kept.mutex);
        if (kept.held + size <= kept.limit) {
            kept.free[size].push_back(block);
            kept.held += size;
            return;
        }
    } catch (const std::bad_alloc&) {  // no room to remember it: give it back
    }
    give_back(block, size);
}

void empty_cache() noexcept {
    for (int device = 0; device < kMostDevices; ++device) empty(cache_of(device));
}

Array::Array(int64_t count) : ptr(nullptr), size(count), owned(true), device(current_device()) {
    if (count < 0) refuse("Array", "size must not be negative, got " + std::to_string(count));
    if (count > (int64_t(1) << 46)) throw std::bad_alloc();
    ptr = static_cast<float*>(allocate(sizeof(float) * static_cast<std::size_t>(count)));
}

void* Zeroed::operator new(std::size_t bytes) {
    void* block = std::calloc(1, bytes);
    if (block == nullptr) throw std::bad_alloc();
    return block;
}

// Out of line, like the operator new above: a compiler that saw only one of the two would warn of a mismatch.
__attribute__((noinline)) void Zeroed::operator delete(void* block) noexcept { std::free(block); }

Array::~Array() {
    if (owned) release(ptr, sizeof(float) * static_cast<std::size_t>(size), device);
}

void refuse(const char* where, const std::string& what) {
    throw std::invalid_argument("[" + std::string(where) + "] " + what);
}

void refuse_shape(const char* where, const std::string& what) {
    throw ShapeError("[" + std::string(where) + "] " + what);
}

void check_axes(const char* where, std::size_t count) {
    if (count > std::size_t{kMaxAxes})
        refuse_shape(where, "at most " + std::to_string(kMaxAxes) + " axes, got " + std::to_string(count));
}

std::string text(const Sizes& sizes) {
    std::string s = "(";
    for (std::size_t i = 0; i < sizes.size(); ++i) s += (i ? ", " : "") + std::to_string(sizes[i]);
    return s + (sizes.size() == 1 ? ",)" : ")");
}

void check_size(const char* where, const char* name, int64_t value, int64_t least) {
    if (value < least || value > kLongestAxis)
        refuse(where, std::string(name) + " must be " + std::to_string(least) + ".." + std::to_string(kLongestAxis) +
                          ", got " + std::to_string(value));
}

int64_t count_of(const char* where, const int64_t* shape, std::size_t dims) {
    int64_t count = 1;
    bool empty = false;
    for (std::size_t axis = 0; axis < dims; ++axis) {
        if (shape[axis] < 0) refuse_shape(where, "sizes must not be negative, got " + std::to_string(shape[axis]));
        if (shape[axis] == 0) { empty = true; continue; }
        if (__builtin_mul_overflow(count, shape[axis], &count)) refuse_shape(where, "the product of the sizes overflows");
    }
    return empty ? 0 : count;
}

int64_t count_of(const char* where, const Sizes& shape) { return count_of(where, shape.data(), shape.size()); }

float* checked(const char* where, const Array& array, const int64_t* shape, const int64_t* strides, std::size_t dims,
               int64_t offset) {
    int64_t low = offset, high = offset;
    for (std::size_t axis = 0; axis < dims; ++axis) {
        int64_t reach = 0;
        int64_t& end = strides[axis] < 0 ? low : high;
        if (__builtin_mul_overflow(shape[axis] - 1, strides[axis], &reach) || __builtin_add_overflow(end, reach, &end))
            refuse_shape(where, "strides reach beyond what memory can hold");
    }
    if (low < 0 || high >= array.size)
        refuse_shape(where, "the view reaches elements " + std::to_string(low) + ".." + std::to_string(high) +
                                " of an array of " + std::to_string(array.size));
    return array.ptr + offset;
}

float* checked(const char* where, const Array& array, const Sizes& shape, const Sizes& strides, int64_t offset) {
    check_axes(where, shape.size());
    if (shape.size() != strides.size())
        refuse_shape(where, "needs a stride for each axis, got " + text(strides) + " for " + text(shape));
    if (count_of(where, shape) == 0) return array.ptr;
    return checked(where, array, shape.data(), strides.data(), shape.size(), offset);
}

}  // namespace nd
