#include "bindings.h"
#include "pooling.h"

namespace nd {
namespace {

using Ints = py::array_t<int64_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;


// What the outputs of an axis of `size` positions read, checked; with `full`, every output reads something.
Bands bands_of(const char* where, int64_t size, const Ints& first, const Ints& start, const Floats& weight, bool full) {
    const int64_t outputs = first.size();
    if (size < 0 || size > kLongestAxis || outputs > kLongestAxis) refuse(where, "an axis is too long");
    if (first.ndim() != 1 || start.ndim() != 1 || weight.ndim() != 1 || start.size() != outputs + 1)
        refuse(where, "needs a first position and a start of the weights for every output");
    const int64_t *at = first.data(), *begin = start.data();
    if (begin[0] != 0 || begin[outputs] != weight.size()) refuse(where, "the starts must cover the weights");
    for (int64_t i = 0; i < outputs; ++i) {
        const int64_t count = begin[i + 1] - begin[i];
        if (count < (full ? 1 : 0) || count > size || at[i] < 0 || at[i] > size - count)
            refuse(where, "output " + std::to_string(i) + " reads outside the axis of " + std::to_string(size));
    }
    return {outputs, size, at, begin, weight.data()};
}

// The sizes of a call: a map (N, v, h, C) on the side of the input or of the outputs.
struct Pooled {
    const char* where;
    Bands v, h;
    int64_t images, channels;

    Pooled(const char* where, const Sizes& shape, const Bands& v, const Bands& h, bool outputs) : where(where), v(v), h(h) {
        const int64_t height = outputs ? v.outputs : v.size, width = outputs ? h.outputs : h.size;
        if (shape.size() != 4 || shape[1] != height || shape[2] != width)
            refuse(where, "needs a map (N, " + std::to_string(height) + ", " + std::to_string(width) + ", C)");
        images = shape[0];
        channels = shape[3];
    }

    Pixels map(Array& x, int64_t height, int64_t width, const Sizes& strides, int64_t offset) const {
        if (strides.size() != 4 || (strides[3] != 1 && channels > 1)) refuse(where, "channels must lie side by side");
        const float* p = checked(where, x, {images, height, width, channels}, strides, offset);
        return {p, strides[0], strides[1], strides[2]};
    }
    Pixels input(Array& x, const Sizes& strides, int64_t offset) const { return map(x, v.size, h.size, strides, offset); }
    Pixels output(Array& x, const Sizes& strides, int64_t offset) const {
        return map(x, v.outputs, h.outputs, strides, offset);
    }

    float* result(Array& out, int64_t height, int64_t width, const Array& a, const Array& b) const {
        if (&out == &a || &out == &b) refuse(where, "the output must not be an operand");
        if (out.size != count_of(where, {images, height, width, channels})) refuse(where, "the output has another size");
        return out.ptr;
    }
};

void checked_resample(Array& x, const Sizes& shape, const Sizes& strides, int64_t offset, int64_t height, const Ints& v_first,
                      const Ints& v_start, const Floats& v_weight, int64_t width, const Ints& h_first, const Ints& h_start,
                      const Floats& h_weight, Array& out) {
    const char* where = "resample";
    const Bands v = bands_of(where, height, v_first, v_start, v_weight, false);
    const Bands h = bands_of(where, width, h_first, h_start, h_weight, false);
    const Pooled call(where, shape, v, h, false);
    const Pixels from = call.input(x, strides, offset);
    float* to = call.result(out, v.outputs, h.outputs, x, x);
    py::gil_scoped_release unlocked;
    pooling().resample(threads(), call.images, call.channels, v, h, from, to);
}

void checked_max_pool(Array& x, const Sizes& shape, const Sizes& strides, int64_t offset, Array& u, const Sizes& u_strides,
                      int64_t u_offset, int64_t height, const Ints& v_first, const Ints& v_start, const Floats& v_weight,
                      int64_t width, const Ints& h_first, const Ints& h_start, const Floats& h_weight, Array& out) {
    const char* where = "max_pool";
    const Bands v = bands_of(where, height, v_first, v_start, v_weight, true);
    const Bands h = bands_of(where, width, h_first, h_start, h_weight, true);
    const Pooled call(where, shape, v, h, false);
    const Pixels from = call.input(x, strides, offset), other = call.input(u, u_strides, u_offset);
    float* to = call.result(out, v.outputs, h.outputs, x, u);
    py::gil_scoped_release unlocked;
    pooling().max_pool(threads(), call.images, call.channels, v, h, from, other, to);
}

void checked_max_pool_gradient(Array& g, const Sizes& shape, const Sizes& strides, int64_t offset, Array& x,
                               const Sizes& x_strides, int64_t x_offset, int64_t height, const Ints& v_first,
                               const Ints& v_start, const Floats& v_weight, int64_t width, const Ints& h_first,
                               const Ints& h_start, const Floats& h_weight, Array& out) {
    const char* where = "max_pool_gradient";
    const Bands v = bands_of(where, height, v_first, v_start, v_weight, true);
    const Bands h = bands_of(where, width, h_first, h_start, h_weight, true);
    const Pooled call(where, shape, v, h, true);
    const Pixels gradient = call.output(g, strides, offset), from = call.input(x, x_strides, x_offset);
    float* to = call.result(out, v.size, h.size, g, x);
    py::gil_scoped_release unlocked;
    pooling().max_pool_gradient(threads(), call.images, call.channels, v, h, gradient, from, to);
}

}  // namespace

void bind_pooling(py::module_& m) {
    m.def("resample", &checked_resample);
    m.def("max_pool", &checked_max_pool);
    m.def("max_pool_gradient", &checked_max_pool_gradient);
}

}  // namespace nd
