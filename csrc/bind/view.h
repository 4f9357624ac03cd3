// NDArrays as Python hands them over, checked, and new ones as it takes them back.
#pragma once
#include <optional>
#include "bindings.h"

namespace nd {

constexpr int kMaxAxes = 16;

// An NDArray: every element that it reaches lies inside its memory.
struct View {
    py::handle source;
    const Array* memory;
    float* p;
    int dims;
    int64_t size;  // how many elements
    int64_t shape[kMaxAxes], stride[kMaxAxes];
    bool dense;  // whether some order of its axes is row-major without gaps
    bool whole;  // and it is all of its memory

    bool same_shape(const View& other) const;
    bool same_layout(const View& other) const;
};

// Reads an NDArray; false for anything that is none of compiled memory. Throws std::invalid_argument for a view that reaches
// outside its memory or has too many axes.
bool read(py::handle source, View& view);

// The Python class of these arrays, which Python registers once.
void register_ndarray(const py::object& type);

// A new array on the device of `like`, uninitialised, with its shape and the layout in memory of `like` where that is dense,
// else row-major.
class Result {
public:
    explicit Result(const View& like);
    py::object array() { return std::move(array_); }
    float* p;
    int64_t stride[kMaxAxes];

private:
    py::object array_;
};

}  // namespace nd

template <>
struct pybind11::detail::type_caster<nd::View> {
    PYBIND11_TYPE_CASTER(nd::View, const_name("NDArray"));
    bool load(handle source, bool) { return nd::read(source, value); }
};
