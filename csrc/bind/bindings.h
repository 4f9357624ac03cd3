// What the files of this folder share: one bind_* function each, the process-wide pool, and short names.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include "../nd/base.h"
#include "array.h"
#include "select.h"

namespace py = pybind11;

namespace nd {

// The process-wide pool: NEEDLE_NUM_THREADS threads (default: the processors this process may use), started lazily.
Executor threads();
Executor threads(int count);  // 1..kMaxThreads, whatever was chosen for the process
constexpr int kMaxThreads = 256;
void check_threads(const char* where, int64_t count);
void set_num_threads(int count);
int num_threads();

void bind_threads(py::module_& m);    // how many threads kernels use
void bind_array(py::module_& m);      // Array, from_numpy, to_numpy, fill, compact, setitem
void bind_pointwise(py::module_& m);  // ewise_*, scalar_*, unary maps, reductions
void bind_elements(py::module_& m);   // maps and folds of whole numbers and bool, casts
void bind_gemm(py::module_& m);       // matmul and its batched, transposed forms
void bind_conv(py::module_& m);       // convolution and its two gradients
void bind_softmax(py::module_& m);    // softmax, log-softmax, log-sum-exp, cross entropy
void bind_norm(py::module_& m);       // batch, layer, group and root-mean-square normalisation
void bind_recurrent(py::module_& m);  // LSTM, GRU, RNN
void bind_attention(py::module_& m);  // attention
void bind_optim(py::module_& m);      // optimizer steps
void bind_gather(py::module_& m);     // slices, rows and elements by number
void bind_course(py::module_& m);     // softmax regression of the course's first homework
void bind_depthwise(py::module_& m);  // convolution with a kernel for each channel, and its two gradients
void bind_pooling(py::module_& m);    // maxima over windows, resampling
void bind_program(py::module_& m);    // a whole program of kernel calls
void bind_route(py::module_& m);      // the call of a compiled library
void bind_images(py::module_& m);     // training batches out of a data set of images

#if defined(ND_DEVICE)
// Memory as an argument, with which the call is on its device; Views say so themselves.
template <class Memory>
struct MemoryCaster : py::detail::type_caster_base<Memory> {
    bool load(py::handle source, bool convert) {
        if (!py::detail::type_caster_base<Memory>::load(source, convert)) return false;
        if (this->value != nullptr) place = OnDevice(static_cast<const Memory*>(this->value)->device);
        return true;
    }
    OnDevice place;
};
#endif

}  // namespace nd

#if defined(ND_DEVICE)
template <>
struct pybind11::detail::type_caster<nd::Array> : nd::MemoryCaster<nd::Array> {};
#endif
