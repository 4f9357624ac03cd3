#include "bindings.h"
#include "images.h"
#include "../nd/keyed.h"
#include <vector>

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

constexpr int64_t kLargestCutout = int64_t(1) << 31;

void within(const char* name, const int64_t* values, int64_t count, int64_t low, int64_t limit) {
    for (int64_t i = 0; i < count; ++i)
        if (values[i] < low || values[i] >= limit)
            refuse("image_batch", std::string(name) + " must be in " + std::to_string(low) + ".." +
                                      std::to_string(limit - 1) + ", got " + std::to_string(values[i]) + " at " +
                                      std::to_string(i));
}

// A data set, the images of it that are asked for, and what becomes of their pixels.
struct Request {
    Request(const py::object& data, const py::object& places, int64_t padding, int64_t size, const py::object& scale,
            const py::object& shift, const py::object& cover, const Array& out) {
        if (!py::isinstance<Numpy<uint8_t>>(data)) refuse("image_batch", "pixels must be contiguous and uint8");
        const auto images = py::reinterpret_borrow<Numpy<uint8_t>>(data);
        if (images.ndim() != 4) refuse("image_batch", "pixels must be (n, channels, height, width)");
        for (int i = 0; i < 3; ++i) sizes[i] = images.shape(i + 1);
        if (!py::isinstance<Numpy<int64_t>>(places)) refuse("image_batch", "index must be contiguous and int64");
        count = py::reinterpret_borrow<Numpy<int64_t>>(places).size();
        pixels = images.data();
        index = elements<int64_t>("index", places, {count});
        within("index", index, count, 0, images.shape(0));
        colours = {elements<float>("scale", scale, {sizes[0]}), elements<float>("shift", shift, {sizes[0]}),
                   elements<float>("cover", cover, {sizes[0]})};
        const int64_t edge = sizes[1] < sizes[2] ? sizes[1] : sizes[2];
        if (padding < 0 || padding >= (edge > 1 ? edge : 1))
            refuse("image_batch", "padding must be less than the images' height and width");
        if (size < 0 || size > kLargestCutout) refuse("image_batch", "size must be in 0..2^31");
        if (out.size != count_of("image_batch", {count, sizes[0], sizes[1], sizes[2]})) refuse("image_batch", "out has another size");
    }

    void run(const int64_t* top, const int64_t* left, const uint8_t* mirror, int64_t padding, bool reflect, const int64_t* row,
             const int64_t* column, int64_t size, Array& out) const {
        image_kernels().batch(threads(), count, pixels, sizes, index, top, left, mirror, padding, reflect, row, column, size,
                              colours.scale, colours.shift, colours.cover, out.ptr);
    }

    int64_t sizes[3], count;
    const uint8_t* pixels;
    const int64_t* index;
    Colours colours;
};

void image_batch_of(const py::object& pixels, const py::object& index, const py::object& top, const py::object& left,
                    const py::object& mirror, int64_t padding, bool reflect, const py::object& scale, const py::object& shift,
                    Array& out) {
    const Request request(pixels, index, padding, 0, scale, shift, shift, out);
    const int64_t count = request.count;
    const int64_t *down = elements<int64_t>("top", top, {count}), *right = elements<int64_t>("left", left, {count});
    const uint8_t* flip = elements<uint8_t>("mirror", mirror, {count});
    within("top", down, count, 0, 2 * padding + 1);
    within("left", right, count, 0, 2 * padding + 1);
    py::gil_scoped_release unlocked;
    const std::vector<int64_t> nowhere(static_cast<std::size_t>(count));
    request.run(down, right, flip, padding, reflect, nowhere.data(), nowhere.data(), 0, out);
}

// The same with what is done to each image worked out from its numbers in [0, 1), as the transforms of
// needle.data.transforms do: `crop`, `flip` and `cut` are the columns of u (n, draws) where their numbers begin, or -1.
void drawn_image_batch(const py::object& pixels, const py::object& index, const py::object& u, int64_t crop, int64_t padding,
                       bool reflect, int64_t flip, double p, bool flipped_first, int64_t cut, int64_t size,
                       const py::object& scale, const py::object& shift, const py::object& cover, Array& out) {
    const Request request(pixels, index, padding, size, scale, shift, cover, out);
    const int64_t count = request.count, height = request.sizes[1], width = request.sizes[2];
    const int64_t draws = py::isinstance<Numpy<double>>(u) && py::reinterpret_borrow<py::array>(u).ndim() == 2
                              ? py::reinterpret_borrow<py::array>(u).shape(1) : 0;
    const double* numbers = elements<double>("u", u, {count, draws});
    if (crop < -1 || crop + 2 > (crop < 0 ? 1 : draws) || flip < -1 || flip >= draws + (flip < 0) || cut < -1 ||
        cut + 2 > (cut < 0 ? 1 : draws))
        refuse("image_batch", "u has too few columns");
    py::gil_scoped_release unlocked;
    std::vector<int64_t> moves(static_cast<std::size_t>(4 * count));
    std::vector<uint8_t> mirror(static_cast<std::size_t>(count));
    int64_t *top = moves.data(), *left = top + count, *row = left + count, *column = row + count;
    for (int64_t i = 0; i < count; ++i) {
        const double* own = numbers + i * draws;
        const auto whole = [&](int64_t j, int64_t limit) {  // in [0, limit) for any number, NaN included
            const double x = own[j] * double(limit);
            return x > 0 ? min(int64_t(min(x, double(limit))), limit - 1) : 0;
        };
        mirror[i] = flip >= 0 && own[flip] < p;
        if (crop >= 0) top[i] = whole(crop, 2 * padding + 1), left[i] = whole(crop + 1, 2 * padding + 1);
        if (crop >= 0 && flipped_first && mirror[i]) left[i] = 2 * padding - left[i];
        if (cut >= 0) row[i] = whole(cut, height) - size / 2, column[i] = whole(cut + 1, width) - size / 2;
    }
    request.run(top, left, mirror.data(), padding, reflect, row, column, cut >= 0 ? size : 0, out);
}

void keyed_uniform_of(uint64_t key, const py::object& samples, py::array& u) {
    if (!py::isinstance<Numpy<double>>(u) || u.ndim() != 2 || !u.writeable())
        refuse("keyed_uniform", "out must be contiguous float64 (n, count)");
    const int64_t n = u.shape(0), count = u.shape(1);
    const int64_t* places = elements<int64_t>("samples", samples, {n});
    double* out = static_cast<double*>(u.mutable_data());
    const auto run = [&] { keyed_uniform(key, places, n, count, out); };
    if (n * count < 65536) return run();  // a few microseconds: asking for the lock again would take longer
    py::gil_scoped_release unlocked;
    run();
}

}  // namespace

void bind_images(py::module_& m) {
    m.def("image_batch", &image_batch_of);
    m.def("drawn_image_batch", &drawn_image_batch);
    m.def("keyed_uniform", &keyed_uniform_of);
    m.def("keyed_by", [](uint64_t key, uint64_t word) { return keyed_by(key, word); });
}

}  // namespace nd
