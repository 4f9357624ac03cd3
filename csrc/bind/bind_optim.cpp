#include <algorithm>
#include <cmath>
#include "bindings.h"
#include "fused.h"

namespace nd {
namespace {

using Arrays = std::vector<Array*>;

// One tensor's part of a step: the arrays at one place of the lists, all of one size.
struct Part {
    int64_t count;
    const float *param, *grad;
    float *out, *first, *second;
};

// The parts of a step over all parameters; `second` may be empty, or `first` too.
std::vector<Part> parts_of(const char* where, const Arrays& params, const Arrays& outs, const Arrays& grads,
                           const Arrays& firsts, const Arrays& seconds) {
    for (const Arrays* list : {&params, &outs, &grads, &firsts, &seconds}) {
        const bool may_lack = (list == &firsts || list == &seconds) && list->empty();
        if (list->size() != params.size() && !may_lack) refuse(where, "needs as many arrays of each kind as parameters");
        for (const Array* array : *list)
            if (array == nullptr) refuse(where, "needs arrays, got None");
    }
    std::vector<Part> parts;
    for (std::size_t i = 0; i < params.size(); ++i) {
        Arguments check(where);
        const int64_t count = params[i]->size;
        Part part{count, check.in(*params[i], count), check.in(*grads[i], count), check.out(*outs[i], count), nullptr, nullptr};
        if (!firsts.empty()) part.first = check.out(*firsts[i], count);
        if (!seconds.empty()) part.second = check.out(*seconds[i], count);
        parts.push_back(part);
    }
    return parts;
}

void sgd_step(const Arrays& params, const Arrays& outs, const Arrays& grads, const Arrays& velocities, double lr,
              double momentum, double weight_decay) {
    const std::vector<Part> parts = parts_of("sgd_step", params, outs, grads, velocities, {});
    py::gil_scoped_release unlocked;
    for (const Part& p : parts)
        optim_kernels().sgd_step(threads(), p.count, p.param, p.out, p.grad, p.first, float(lr), float(momentum),
                                 float(1 - momentum), float(weight_decay));
}

void momentum_step(const Arrays& params, const Arrays& outs, const Arrays& grads, const Arrays& velocities, double lr,
                   double momentum, double weight_decay, bool nesterov) {
    const char* where = "momentum_step";
    if (velocities.size() != params.size()) refuse(where, "needs the velocity of every parameter");
    const std::vector<Part> parts = parts_of(where, params, outs, grads, velocities, {});
    py::gil_scoped_release unlocked;
    for (const Part& p : parts)
        optim_kernels().momentum_step(threads(), p.count, p.param, p.out, p.grad, p.first, float(lr), float(momentum),
                                      float(weight_decay), nesterov);
}

void adam_step(const Arrays& params, const Arrays& outs, const Arrays& grads, const Arrays& m, const Arrays& v, int64_t t,
               double lr, double beta1, double beta2, float eps, double weight_decay, bool decoupled) {
    const char* where = "adam_step";
    if (t < 1) refuse(where, "steps count from 1, got " + std::to_string(t));
    if (m.size() != params.size() || v.size() != params.size()) refuse(where, "needs both moments of every parameter");
    const std::vector<Part> parts = parts_of(where, params, outs, grads, m, v);
    const AdamStep step{float(beta1), float(beta2), eps, float(1 - beta1), float(1 - beta2),
                        decoupled ? 0.0f : float(weight_decay),
                        decoupled ? float(1 - lr * weight_decay) : 1.0f,
                        float(lr / (1 - std::pow(beta1, double(t)))),
                        float(1 / (1 - std::pow(beta2, double(t))))};
    py::gil_scoped_release unlocked;
    for (const Part& p : parts)
        optim_kernels().adam_step(threads(), p.count, p.param, p.out, p.grad, p.first, p.second, step);
}

// The sum of the squares of all elements of all arrays.
double squared_norm(const Arrays& arrays) {
    std::vector<std::pair<const float*, int64_t>> parts;
    int64_t longest = 0;
    for (Array* array : arrays) {
        if (array == nullptr) refuse("squared_norm", "needs arrays, got None");
        Arguments check("squared_norm");
        parts.emplace_back(check.in(*array, array->size), array->size);
        longest = std::max(longest, optim_kernels().squared_norm_scratch(array->size));
    }
    std::vector<float> scratch(longest);
    py::gil_scoped_release unlocked;
    double sum = 0;
    for (const auto& [data, count] : parts) sum += optim_kernels().squared_norm(threads(), count, data, scratch.data());
    return sum;
}

}  // namespace

void bind_optim(py::module_& m) {
    m.def("sgd_step", &sgd_step);
    m.def("momentum_step", &momentum_step);
    m.def("adam_step", &adam_step);
    m.def("squared_norm", &squared_norm);
}

}  // namespace nd
