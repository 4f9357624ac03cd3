// NDArrays as Python hands them over, checked, and new ones as it takes them back.
#pragma once
#include <bitset>
#include <optional>
#include "bindings.h"

namespace nd {

// An NDArray: every element that it reaches lies inside its memory.
struct View {
    py::handle source;
    py::object owner;  // of the memory
    const Array* memory;
    OnDevice place;  // where the memory is, and with it the call
    float* p;
    int dims;
    int64_t size;  // how many elements
    int64_t shape[kMaxAxes], stride[kMaxAxes];
    bool dense;   // whether some order of its axes is row-major without gaps
    bool whole;   // and it is all of its memory
    bool copied;  // whether its strides are no longer those of the source

    int64_t last() const { return shape[dims - 1]; }
    Sizes sizes() const { return Sizes(shape, shape + dims); }
    bool is(std::initializer_list<int64_t> sizes) const;
    bool same_shape(const View& other) const;
    bool same_layout(const View& other) const;
    bool row_major() const;  // without gaps; axes of size 1 say nothing
};

// The same in row-major order, unless it is to be kept as it is: a copy where memory has another one.
struct Dense : View {
    Dense() = default;
    explicit Dense(const View& x, bool keep = false);
    std::unique_ptr<Array> copy;
};

// The same for kernels that read rows where they are, if the last axis of each is contiguous; four axes, as (p, strides).
struct Columns : Dense {
    Columns() = default;
    explicit Columns(const View& x) : Dense(x, x.dims > 0 && x.stride[x.dims - 1] == 1) {}
    template <class Map>
    Map as() const { return {p, stride[0], stride[1], stride[2]}; }
};

// Ids, labels and indices: of any dtype, read as floats.
struct Ids : Dense {};

// Read an NDArray; false for anything that is none of compiled memory. Throw ShapeError for a view that reaches outside its
// memory or has too many axes.
bool read(py::handle source, View& view);
template <class Layout>
bool read(py::handle source, Layout& view) {
    View given;
    if (!read(source, given)) return false;
    view = Layout(given);
    return true;
}
bool read(py::handle source, Ids& view);

// The Python class of these arrays and what it calls ShapeError, the error below and DeviceError; Python registers them once.
void register_ndarray(const py::object& type, const py::object& shape_error, const py::object& index_error,
                      const py::object& device_error);

struct IndexRangeError : std::out_of_range {
    using std::out_of_range::out_of_range;
};

using Views = std::initializer_list<const View*>;

// Throws ShapeError: "[where] needs such and such, got (2, 3), (4,)".
[[noreturn]] void misfit(const char* where, const std::string& needs, Views got);

// Throws IndexRangeError about the number at `bad`, unless that is negative: it is no whole number in low..limit-1.
void check_whole(const char* where, const char* what, const char* place, int64_t low, int64_t limit, const Ids& ids, int64_t bad);

// The axes that Python names: None for all of them, a number or several.
using Axes = std::bitset<kMaxAxes>;
Axes axes_of(const char* where, const View& x, const py::object& named);

// A new array on the device of `like`, uninitialised: with its shape and the layout in memory of `like` where that is dense,
// else row-major; or with a shape of its own, row-major unless strides are given.
class Result {
public:
    explicit Result(const View& like);
    Result(const View& like, const Sizes& shape) : Result(like, shape, {}) {}
    Result(const View& like, const Sizes& shape, const Sizes& strides);
    py::object array() { return std::move(array_); }
    float* p;
    int64_t stride[kMaxAxes];

private:
    void make(const View& like, int64_t size, py::object shape, py::object strides, bool rows);
    py::object array_;
};

constexpr int64_t kSmall = 4096;  // floats up to which work takes less time than letting another thread run Python
constexpr int64_t kAlways = kSmall + 1;

// Runs without Python's lock where that is worth it.
template <class Work>
void unlocked(int64_t floats, const Work& work) {
    if (floats <= kSmall) return work();
    py::gil_scoped_release released;
    work();
}

// The same with scratch memory.
template <class Work>
void unlocked(int64_t floats, int64_t scratch, const Work& work) {
    unlocked(floats, [&] {
        Scratch memory(scratch);
        work(memory.floats());
    });
}

}  // namespace nd

#define ND_CASTER(Type)                                                         \
    template <>                                                                 \
    struct pybind11::detail::type_caster<nd::Type> {                            \
        PYBIND11_TYPE_CASTER(nd::Type, const_name("NDArray"));                  \
        bool load(handle source, bool) { return nd::read(source, value); }      \
    };
ND_CASTER(View)
ND_CASTER(Dense)
ND_CASTER(Columns)
ND_CASTER(Ids)
#undef ND_CASTER
