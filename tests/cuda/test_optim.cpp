// Optimizers over lists of parameters in the emulator (simt.h): one launch, and the bits of parameters one by one. check.sh
// compiles and runs it.
#include "kernel_check.h"
#include "../../csrc/cuda/optim.cuh"
#include <memory>

namespace {

// What a step reads and writes of each parameter: itself, its gradient, its new value, and two states, of which the second is
// not negative.
using Values = std::vector<std::vector<float>>;
constexpr std::size_t kArrays = 5;

Values values_of(const std::vector<int64_t>& sizes) {
    Values values;
    for (const int64_t size : sizes)
        for (std::size_t array = 0; array < kArrays; ++array) {
            values.push_back(random_floats(size));
            for (float& x : values.back()) x = array == 4 ? x * x : x;
        }
    return values;
}

// The same on the device.
struct Model {
    explicit Model(const Values& values) {
        for (const std::vector<float>& each : values) memory.push_back(std::make_unique<Floats>(each));
        for (std::size_t i = 0; i < memory.size(); i += kArrays) {
            const auto count = static_cast<int64_t>(values[i].size());
            updates.push_back({count, memory[i]->p, memory[i + 1]->p, memory[i + 2]->p, memory[i + 3]->p, memory[i + 4]->p});
            arrays.push_back({memory[i + 1]->p, count});
        }
    }
    std::vector<float> all() const {
        std::vector<float> values;
        for (const auto& each : memory)
            for (const float x : each->get()) values.push_back(x);
        return values;
    }
    std::vector<std::unique_ptr<Floats>> memory;
    std::vector<Update> updates;
    std::vector<Flat> arrays;
};

template <class Run>
uint64_t launches_of(const Run& run) {
    const uint64_t before = simt::device().launches;
    run();
    return simt::device().launches - before;
}

// Sizes that are odd, none, one, a whole piece, and many pieces.
std::vector<int64_t> sizes_of(int64_t count) {
    const int64_t some[] = {1, 0, 1023, 1024, 1025, 7, 9000, 0, 33};
    std::vector<int64_t> sizes;
    for (int64_t i = 0; i < count; ++i) sizes.push_back(some[i % 9]);
    return sizes;
}

template <class Step>
void step_case(const char* name, const Step& step) {
    for (const int64_t count : {9, 76, 200}) {
        const std::vector<int64_t> sizes = sizes_of(count);
        const Values values = values_of(sizes);
        const Model together(values), apart(values);
        int64_t full = 0;
        for (const int64_t size : sizes) full += size > 0;
        const uint64_t launches = launches_of([&] { step_all(on, name, count, together.updates.data(), step); });
        const auto wanted = static_cast<uint64_t>(ceil_div(full, int64_t(UpdateList::kMost)));
        CHECK(launches == wanted, "%s of %ld parameters: %lu launches, wanted %lu", name, long(count), launches, wanted);
        for (const Update& one : apart.updates) step_all(on, name, 1, &one, step);
        const std::vector<float> got = together.all(), single = apart.all(), before = Model(values).all();
        CHECK(got != before, "%s changes nothing", name);
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], single[i]), "%s: element %zu", name, i);
    }
}

void squares_case() {
    for (const int64_t count : {9, 300}) {
        const Values values = values_of(sizes_of(count));
        const Model model(values);
        int64_t pieces = 0, full = 0;
        for (const Flat& each : model.arrays) pieces += squares_of(each), full += each.count > 0;
        const Floats together(pieces), apart(pieces);
        const uint64_t launches = launches_of([&] { squares(on, count, model.arrays.data(), together.p); });
        const auto wanted = static_cast<uint64_t>(ceil_div(full, int64_t(SquaresList::kMost)));
        CHECK(launches == wanted, "squared_norm of %ld arrays: %lu launches, wanted %lu", long(count), launches, wanted);
        int64_t at = 0;
        for (const Flat& each : model.arrays) squares(on, 1, &each, apart.p + at), at += squares_of(each);
        const std::vector<float> got = together.get(), single = apart.get();
        double sum = 0, exact = 0;
        for (std::size_t i = 0; i < got.size(); sum += got[i++]) CHECK(same_bits(got[i], single[i]), "squared_norm: piece %zu", i);
        for (std::size_t i = 1; i < values.size(); i += kArrays)
            for (const float x : values[i]) exact += double(x) * x;
        CHECK(std::fabs(sum - exact) < 1e-6 * exact, "squared_norm: %g, wanted %g", sum, exact);
    }
}

}  // namespace

int main() {
    step_case("sgd_step", SgdStep{0.1f, 0.9f, 0.1f, 0.01f});
    step_case("momentum_step", MomentumStep{0.1f, 0.9f, 0.01f, true});
    step_case("adam_step", AdamStep{0.9f, 0.99f, 1e-6f, 0.1f, 0.01f, 0.01f, 0.99f, 0.1f, 2});
    squares_case();
    return finish("test_optim");
}
