#include "bindings.h"

#if defined(ND_DEVICE)
#include "../cuda/device.h"

PYBIND11_MODULE(ndarray_backend_cuda, m, py::mod_gil_not_used()) {
    m.doc() = "needle's CUDA backend: flat float32 arrays on a device and the kernels that work on them.";
    m.attr("__device_name__") = "cuda";
    m.attr("__tile_size__") = 4;
    nd::bind_device(m);
#else
PYBIND11_MODULE(ndarray_backend_cpu, m, py::mod_gil_not_used()) {
    m.doc() = "needle's CPU backend: flat float32 arrays and the kernels that work on them.";
    m.attr("__device_name__") = "cpu";
    m.attr("__tile_size__") = 8;
    m.attr("__isa__") = nd::isa_name();
#endif
    nd::bind_array(m);
    nd::bind_pointwise(m);
    nd::bind_gemm(m);
    nd::bind_conv(m);
    nd::bind_depthwise(m);
    nd::bind_pooling(m);
    nd::bind_softmax(m);
    nd::bind_norm(m);
    nd::bind_recurrent(m);
    nd::bind_attention(m);
    nd::bind_optim(m);
    nd::bind_gather(m);
#if defined(ND_DEVICE)
    nd::bind_device_elements(m);
    nd::bind_dlpack(m);
#else
    nd::bind_threads(m);
    nd::bind_elements(m);
    nd::bind_course(m);
    nd::bind_images(m);
    nd::bind_program(m);
    nd::bind_route(m);
#endif
}
