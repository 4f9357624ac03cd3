#include <algorithm>
#include <cmath>
#include <functional>
#include "fused.h"
#include "view.h"

namespace nd {
namespace {

using Read = std::vector<Dense>;
using Written = std::vector<View>;

// What a step does to all parameters, and the arrays for their new values; `firsts` and `seconds` are written, and may be
// empty.
struct Updates {
    Updates(const char* where, const Read& params, const Read& grads, const Written& firsts, const Written& seconds = {}) {
        for (const Written* list : {&firsts, &seconds})
            if (list->size() != params.size() && !list->empty()) refuse(where, "needs as many arrays of each kind as parameters");
        if (grads.size() != params.size()) refuse(where, "needs as many gradients as parameters");
        for (std::size_t i = 0; i < params.size(); ++i) {
            const View *p = &params[i], *g = &grads[i], *first = firsts.empty() ? nullptr : &firsts[i];
            const View* second = seconds.empty() ? nullptr : &seconds[i];
            check(where, *p, *g, false);
            for (const View* written : {first, second})
                if (written != nullptr) check(where, *p, *written, true);
            Result out(*p, p->sizes());
            each.push_back({p->size, p->p, g->p, out.p, first ? first->p : nullptr, second ? second->p : nullptr});
            outs.append(out.array());
            size += p->size;
        }
        check_written_once(where, {&params, &grads}, {&firsts, &seconds});
    }

    static void check(const char* where, const View& param, const View& x, bool written) {
        if (x.same_shape(param) && (!written || (x.whole && x.row_major()))) return;
        refuse_shape(where, "needs arrays of the parameter's shape " + text(param.sizes()) + ", compact where they are " +
                                "written, got " + text(x.sizes()) + ", strides " + text(Sizes(x.stride, x.stride + x.dims)));
    }

    // All parameters are worked on at once, so what is written is read and written for one of them alone.
    static void check_written_once(const char* where, std::initializer_list<const Read*> read,
                                   std::initializer_list<const Written*> lists) {
        std::vector<const Array*> written;
        for (const Written* list : lists)
            for (const View& x : *list) written.push_back(x.memory);
        std::sort(written.begin(), written.end(), std::less<>());
        bool twice = std::adjacent_find(written.begin(), written.end()) != written.end();
        for (const Read* list : read)
            for (const View& x : *list) twice = twice || std::binary_search(written.begin(), written.end(), x.memory, std::less<>());
        if (twice) refuse(where, "an array that is written must not be given twice");
    }

    template <class Step>
    py::list take(void (*step_all)(const Executor&, int64_t, const Update*, const Step&), const Step& step) const {
        unlocked(size, [&] { step_all(threads(), static_cast<int64_t>(each.size()), each.data(), step); });
        return outs;
    }

    std::vector<Update> each;
    py::list outs;
    int64_t size = 0;
};

py::list sgd_step(const Read& params, const Read& grads, const Written& velocities, double lr, double momentum,
                  double weight_decay) {
    const Updates updates("sgd_step", params, grads, velocities);
    return updates.take(optim_kernels().sgd_step, {float(lr), float(momentum), float(1 - momentum), float(weight_decay)});
}

py::list momentum_step(const Read& params, const Read& grads, const Written& velocities, double lr, double momentum,
                       double weight_decay, bool nesterov) {
    if (velocities.size() != params.size()) refuse("momentum_step", "needs the velocity of every parameter");
    const Updates updates("momentum_step", params, grads, velocities);
    return updates.take(optim_kernels().momentum_step, {float(lr), float(momentum), float(weight_decay), nesterov});
}

py::list adam_step(const Read& params, const Read& grads, const Written& m, const Written& v, int64_t t, double lr, double beta1,
                   double beta2, float eps, double weight_decay, bool decoupled) {
    const char* where = "adam_step";
    if (t < 1) refuse(where, "steps count from 1, got " + std::to_string(t));
    if (m.size() != params.size() || v.size() != params.size()) refuse(where, "needs both moments of every parameter");
    const Updates updates(where, params, grads, m, v);
    const AdamStep step{float(beta1), float(beta2), eps, float(1 - beta1), float(1 - beta2),
                            decoupled ? 0.0f : float(weight_decay),
                            decoupled ? float(1 - lr * weight_decay) : 1.0f,
                            float(lr / (1 - std::pow(beta1, double(t)))),
                            float(1 / (1 - std::pow(beta2, double(t))))};
    return updates.take(optim_kernels().adam_step, step);
}

// The sum of the squares of all elements of all arrays.
double squared_norm(const Read& arrays) {
    std::vector<Flat> flat;
    for (const Dense& x : arrays) flat.push_back({x.p, x.size});
    const auto count = static_cast<int64_t>(flat.size());
    py::gil_scoped_release unlocked;
    Scratch scratch(optim_kernels().squared_norm_scratch(count, flat.data()));
    return optim_kernels().squared_norm(threads(), count, flat.data(), scratch.floats());
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
