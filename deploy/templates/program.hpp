// $name for C++: an object that owns an instance and throws what went wrong. Header-only, around $name.h.
#ifndef NEEDLE_${NAME}_HPP
#define NEEDLE_${NAME}_HPP

#include <memory>
#include <stdexcept>
#include "$name.h"

namespace $name {

// Movable, not copyable. Methods are those of the C interface, which $name.h describes.
class Model {
public:
    // For sizes of at most max_..., on `threads` threads. `weights` is a path of $name.weights, or null for those that are
    // linked into the program. Throws std::runtime_error with the reason.
    explicit Model(${most}int threads = 1, const char* weights = nullptr) {
        char error[256] = "";
        model_.reset(${name}_create(weights, ${each_most}threads, error, sizeof error));
        if (!model_) throw std::runtime_error(error);
    }

    // Computes one batch; the pointers are to memory of the caller. Throws std::invalid_argument for sizes that do not fit.
    void run(${sizes}$pointers) {
        if (${name}_run(model_.get(), ${each_size}$pointer_names)) throw std::invalid_argument(${name}_error(model_.get()));
    }

    const char* isa() const { return ${name}_isa(model_.get()); }
    static const char* describe() { return ${name}_describe(); }

private:
    struct Destroy {
        void operator()(${name}_model* model) const { ${name}_destroy(model); }
    };
    std::unique_ptr<${name}_model, Destroy> model_;
};

}  // namespace $name

#endif
