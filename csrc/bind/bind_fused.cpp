#include "fused.h"
#include "bindings.h"
#include <algorithm>

namespace nd {

void Arguments::remember(const Array& array, bool written) {
    for (const auto& [other, was_written] : seen_)
        if (other == &array && (written || was_written)) refuse(where_, "an array that is written must not be given twice");
    seen_.emplace_back(&array, written);
}

float* Arguments::exactly(Array& array, int64_t count) const {
    if (array.size != count)
        refuse(where_, "needs an array of " + std::to_string(count) + " floats, got one of " + std::to_string(array.size));
    return array.ptr;
}

const float* Arguments::in(Array& array, int64_t count) {
    remember(array, false);
    return exactly(array, count);
}

float* Arguments::out(Array& array, int64_t count) {
    remember(array, true);
    return exactly(array, count);
}

Heads<const float> Arguments::in(Array& array, const Sizes& shape, const Sizes& strides, int64_t offset) {
    remember(array, false);
    if (strides.size() != 3) refuse(where_, "needs three strides, got " + std::to_string(strides.size()));
    const float* p = checked(where_, array, shape, {strides[0], strides[1], strides[2], 1}, offset);
    return {p, strides[0], strides[1], strides[2]};
}

// Threads write different heads: no two elements of an output may share memory.
Heads<float> Arguments::out(Array& array, const Sizes& shape, const Sizes& strides) {
    remember(array, true);
    if (strides.size() != 3) refuse(where_, "needs three strides, got " + std::to_string(strides.size()));
    float* p = checked(where_, array, shape, {strides[0], strides[1], strides[2], 1}, 0);
    std::vector<std::pair<int64_t, int64_t>> axes;
    for (int axis = 0; axis < 3; ++axis)
        if (shape[axis] > 1) axes.emplace_back(strides[axis], shape[axis]);
    std::sort(axes.begin(), axes.end());
    int64_t needed = shape[3];
    for (const auto& [stride, size] : axes) {
        if (stride != needed && count(shape) > 0) refuse(where_, "outputs must be dense");
        needed *= size;
    }
    return {p, strides[0], strides[1], strides[2]};
}

void bind_softmax(py::module_& m);
void bind_norm(py::module_& m);
void bind_group_norm(py::module_& m);
void bind_recurrent(py::module_& m);
void bind_sequence(py::module_& m);
void bind_attention(py::module_& m);
void bind_optim(py::module_& m);

void bind_fused(py::module_& m) {
    bind_softmax(m);
    bind_norm(m);
    bind_group_norm(m);
    bind_recurrent(m);
    bind_sequence(m);
    bind_attention(m);
    bind_optim(m);
}

}  // namespace nd
