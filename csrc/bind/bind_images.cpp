#include "bindings.h"
#include "images.h"

namespace nd {
namespace {

template <class T>
using Numpy = py::array_t<T, py::array::c_style>;

// The elements of a C-contiguous numpy array of exactly this type and shape; no conversion, so that nothing is copied.
template <class T>
const T* elements(const char* name, const py::object& object, const Sizes& shape) {
    const char* where = "image_batch";
    if (!py::isinstance<Numpy<T>>(object)) refuse(where, std::string(name) + " has another dtype or is not contiguous");
    const auto array = py::reinterpret_borrow<Numpy<T>>(object);
    if (Sizes(array.shape(), array.shape() + array.ndim()) != shape) refuse(where, std::string(name) + " has another shape");
    return array.data();
}

void within(const char* name, const int64_t* values, int64_t count, int64_t limit) {
    for (int64_t i = 0; i < count; ++i)
        if (values[i] < 0 || values[i] >= limit)
            refuse("image_batch", std::string(name) + " must be in 0.." + std::to_string(limit - 1) + ", got " +
                                      std::to_string(values[i]) + " at " + std::to_string(i));
}

void checked_image_batch(const py::object& pixels, const py::object& index, const py::object& top, const py::object& left,
                         const py::object& mirror, int64_t padding, bool reflect, const py::object& scale,
                         const py::object& shift, Array& out) {
    const char* where = "image_batch";
    if (!py::isinstance<Numpy<uint8_t>>(pixels)) refuse(where, "pixels must be contiguous and uint8");
    const auto images = py::reinterpret_borrow<Numpy<uint8_t>>(pixels);
    if (images.ndim() != 4) refuse(where, "pixels must be (n, channels, height, width)");
    const int64_t sizes[3] = {images.shape(1), images.shape(2), images.shape(3)};
    if (!py::isinstance<Numpy<int64_t>>(index)) refuse(where, "index must be contiguous and int64");
    const int64_t count = py::reinterpret_borrow<Numpy<int64_t>>(index).size();
    const int64_t *at = elements<int64_t>("index", index, {count}), *down = elements<int64_t>("top", top, {count}),
                  *right = elements<int64_t>("left", left, {count});
    const uint8_t* flip = elements<uint8_t>("mirror", mirror, {count});
    const float *factor = elements<float>("scale", scale, {sizes[0]}), *term = elements<float>("shift", shift, {sizes[0]});
    const int64_t edge = sizes[1] < sizes[2] ? sizes[1] : sizes[2];
    if (padding < 0 || padding >= (edge > 1 ? edge : 1)) refuse(where, "padding must be less than the images' height and width");
    within("index", at, count, images.shape(0));
    within("top", down, count, 2 * padding + 1);
    within("left", right, count, 2 * padding + 1);
    if (out.size != count_of(where, {count, sizes[0], sizes[1], sizes[2]})) refuse(where, "out has another size");
    const uint8_t* bytes = images.data();
    py::gil_scoped_release unlocked;
    image_kernels().batch(threads(), count, bytes, sizes, at, down, right, flip, padding, reflect, factor, term, out.ptr);
}

}  // namespace

void bind_images(py::module_& m) {
    m.def("image_batch", &checked_image_batch);
}

}  // namespace nd
