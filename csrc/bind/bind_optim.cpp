#include <algorithm>
#include <cmath>
#include "fused.h"
#include "view.h"

namespace nd {
namespace {

using Read = std::vector<Dense>;
using Written = std::vector<View>;

// One tensor's part of a step: the arrays at one place of the lists, all of one shape.
struct Part {
    int64_t count;
    const float *param, *grad;
    float *out, *first, *second;
};

// A step over all parameters, and the arrays for their new values; `firsts` and `seconds` are written, and may be empty.
struct Update {
    Update(const char* where, const Read& params, const Read& grads, const Written& firsts, const Written& seconds = {}) {
        for (const Written* list : {&firsts, &seconds})
            if (list->size() != params.size() && !list->empty()) refuse(where, "needs as many arrays of each kind as parameters");
        if (grads.size() != params.size()) refuse(where, "needs as many gradients as parameters");
        for (std::size_t i = 0; i < params.size(); ++i) {
            const View *p = &params[i], *g = &grads[i], *first = firsts.empty() ? nullptr : &firsts[i];
            const View* second = seconds.empty() ? nullptr : &seconds[i];
            check(where, *p, *g, false);
            for (const View* written : {first, second}) {
                if (written == nullptr) continue;
                check(where, *p, *written, true);
                for (const View* other : {p, g, first, second})
                    if (other != nullptr && other != written && other->memory == written->memory)
                        refuse(where, "an array that is written must not be given twice");
            }
            Result out(*p, p->sizes());
            parts.push_back({p->size, p->p, g->p, out.p, first ? first->p : nullptr, second ? second->p : nullptr});
            outs.append(out.array());
            size += p->size;
        }
    }

    static void check(const char* where, const View& param, const View& x, bool written) {
        if (x.same_shape(param) && (!written || (x.whole && x.row_major()))) return;
        refuse_shape(where, "needs arrays of the parameter's shape " + text(param.sizes()) + ", compact where they are " +
                                "written, got " + text(x.sizes()) + ", strides " + text(Sizes(x.stride, x.stride + x.dims)));
    }

    template <class Work>
    py::list run(const Work& work) const {
        unlocked(size, [&] { std::for_each(parts.begin(), parts.end(), work); });
        return outs;
    }

    std::vector<Part> parts;
    py::list outs;
    int64_t size = 0;
};

py::list sgd_step(const Read& params, const Read& grads, const Written& velocities, double lr, double momentum,
                  double weight_decay) {
    const Update step("sgd_step", params, grads, velocities);
    return step.run([&](const Part& p) {
        optim_kernels().sgd_step(threads(), p.count, p.param, p.out, p.grad, p.first, float(lr), float(momentum),
                                 float(1 - momentum), float(weight_decay));
    });
}

py::list momentum_step(const Read& params, const Read& grads, const Written& velocities, double lr, double momentum,
                       double weight_decay, bool nesterov) {
    if (velocities.size() != params.size()) refuse("momentum_step", "needs the velocity of every parameter");
    const Update step("momentum_step", params, grads, velocities);
    return step.run([&](const Part& p) {
        optim_kernels().momentum_step(threads(), p.count, p.param, p.out, p.grad, p.first, float(lr), float(momentum),
                                      float(weight_decay), nesterov);
    });
}

py::list adam_step(const Read& params, const Read& grads, const Written& m, const Written& v, int64_t t, double lr, double beta1,
                   double beta2, float eps, double weight_decay, bool decoupled) {
    const char* where = "adam_step";
    if (t < 1) refuse(where, "steps count from 1, got " + std::to_string(t));
    if (m.size() != params.size() || v.size() != params.size()) refuse(where, "needs both moments of every parameter");
    const Update step(where, params, grads, m, v);
    const AdamStep settings{float(beta1), float(beta2), eps, float(1 - beta1), float(1 - beta2),
                            decoupled ? 0.0f : float(weight_decay),
                            decoupled ? float(1 - lr * weight_decay) : 1.0f,
                            float(lr / (1 - std::pow(beta1, double(t)))),
                            float(1 / (1 - std::pow(beta2, double(t))))};
    return step.run([&](const Part& p) {
        optim_kernels().adam_step(threads(), p.count, p.param, p.out, p.grad, p.first, p.second, settings);
    });
}

// The sum of the squares of all elements of all arrays.
double squared_norm(const Read& arrays) {
    int64_t longest = 0;
    for (const Dense& x : arrays) longest = std::max(longest, optim_kernels().squared_norm_scratch(x.size));
    double sum = 0;
    py::gil_scoped_release unlocked;
    Scratch scratch(longest);
    for (const Dense& x : arrays) sum += optim_kernels().squared_norm(threads(), x.size, x.p, scratch.floats());
    return sum;
}

}  // namespace

void bind_optim(py::module_& m) {
    const py::arg params("params"), grads("grads"), velocities("velocities"), lr("lr");
    const auto momentum = py::arg("momentum") = 0.9;
    const auto decay = py::arg("weight_decay") = 0.0;
    m.def("sgd_step", &sgd_step, params, grads, velocities, lr, py::arg("momentum") = 0.0, decay);
    m.def("momentum_step", &momentum_step, params, grads, velocities, lr, momentum, decay, py::arg("nesterov") = true);
    m.def("adam_step", &adam_step, params, grads, py::arg("m"), py::arg("v"), py::arg("t"), lr, py::arg("beta1") = 0.9,
          py::arg("beta2") = 0.999, py::arg("eps") = 1e-8f, decay, py::arg("decoupled") = false);
    m.def("squared_norm", &squared_norm);
}

}  // namespace nd
