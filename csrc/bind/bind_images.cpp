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

constexpr int64_t kLargest = int64_t(1) << 31;

void within(const char* name, const int64_t* values, int64_t count, int64_t low, int64_t limit) {
    for (int64_t i = 0; i < count; ++i)
        if (values[i] < low || values[i] >= limit)
            refuse("image_batch", std::string(name) + " must be in " + std::to_string(low) + ".." +
                                      std::to_string(limit - 1) + ", got " + std::to_string(values[i]) + " at " +
                                      std::to_string(i));
}

void checked_image_batch(const py::object& pixels, const py::object& index, const py::object& top, const py::object& left,
                         const py::object& mirror, int64_t padding, bool reflect, const py::object& row,
                         const py::object& column, int64_t size, const py::object& scale, const py::object& shift,
                         const py::object& cover, Array& out) {
    const char* where = "image_batch";
    if (!py::isinstance<Numpy<uint8_t>>(pixels)) refuse(where, "pixels must be contiguous and uint8");
    const auto images = py::reinterpret_borrow<Numpy<uint8_t>>(pixels);
    if (images.ndim() != 4) refuse(where, "pixels must be (n, channels, height, width)");
    const int64_t sizes[3] = {images.shape(1), images.shape(2), images.shape(3)};
    if (!py::isinstance<Numpy<int64_t>>(index)) refuse(where, "index must be contiguous and int64");
    const int64_t count = py::reinterpret_borrow<Numpy<int64_t>>(index).size();
    const int64_t *at = elements<int64_t>("index", index, {count}), *down = elements<int64_t>("top", top, {count}),
                  *right = elements<int64_t>("left", left, {count}), *cut_row = elements<int64_t>("row", row, {count}),
                  *cut_column = elements<int64_t>("column", column, {count});
    const uint8_t* flip = elements<uint8_t>("mirror", mirror, {count});
    const float *factor = elements<float>("scale", scale, {sizes[0]}), *term = elements<float>("shift", shift, {sizes[0]}),
                *covered = elements<float>("cover", cover, {sizes[0]});
    const int64_t edge = sizes[1] < sizes[2] ? sizes[1] : sizes[2];
    if (padding < 0 || padding >= (edge > 1 ? edge : 1)) refuse(where, "padding must be less than the images' height and width");
    if (size < 0 || size > kLargest) refuse(where, "size must be in 0..2^31");
    within("index", at, count, 0, images.shape(0));
    within("top", down, count, 0, 2 * padding + 1);
    within("left", right, count, 0, 2 * padding + 1);
    within("row", cut_row, count, -kLargest, kLargest);
    within("column", cut_column, count, -kLargest, kLargest);
    if (out.size != count_of(where, {count, sizes[0], sizes[1], sizes[2]})) refuse(where, "out has another size");
    const uint8_t* bytes = images.data();
    py::gil_scoped_release unlocked;
    image_kernels().batch(threads(), count, bytes, sizes, at, down, right, flip, padding, reflect, cut_row, cut_column, size,
                          factor, term, covered, out.ptr);
}

}  // namespace

void bind_images(py::module_& m) {
    m.def("image_batch", &checked_image_batch);
}

}  // namespace nd
