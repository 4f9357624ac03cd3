#include <cmath>
#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

void sgd_step(Array& param, Array& grad, Array* velocity, double lr, double momentum, double weight_decay) {
    Arguments check("sgd_step");
    const int64_t count = param.size;
    float* p = check.out(param, count);
    const float* g = check.in(grad, count);
    float* u = velocity == nullptr ? nullptr : check.out(*velocity, count);
    py::gil_scoped_release unlocked;
    optim_kernels().sgd_step(threads(), count, p, g, u, float(lr), float(momentum), float(1 - momentum), float(weight_decay));
}

void adam_step(Array& param, Array& grad, Array& m, Array& v, int64_t t, double lr, double beta1, double beta2, float eps,
               double weight_decay, bool decoupled) {
    Arguments check("adam_step");
    if (t < 1) refuse(check.where(), "steps count from 1, got " + std::to_string(t));
    const int64_t count = param.size;
    float *p = check.out(param, count), *first = check.out(m, count), *second = check.out(v, count);
    const float* g = check.in(grad, count);
    const AdamStep step{float(beta1), float(beta2), eps, float(1 - beta1), float(1 - beta2),
                        decoupled ? 0.0f : float(weight_decay),
                        decoupled ? float(1 - lr * weight_decay) : 1.0f,
                        float(lr / (1 - std::pow(beta1, double(t)))),
                        float(1 / (1 - std::pow(beta2, double(t))))};
    py::gil_scoped_release unlocked;
    optim_kernels().adam_step(threads(), count, p, g, first, second, step);
}

}  // namespace

void bind_optim(py::module_& m) {
    m.def("sgd_step", &sgd_step);
    m.def("adam_step", &adam_step);
}

}  // namespace nd
