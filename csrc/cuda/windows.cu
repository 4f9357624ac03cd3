#include "../bind/array.h"
#include "../bind/depthwise.h"
#include "../bind/memory.h"
#include "../bind/pooling.h"
#include "windows.cuh"

namespace nd { namespace ND_ISA {
namespace {

int64_t none(const DepthwiseShape&) { return 0; }

void depthwise_forward(const Executor& on, const DepthwiseShape& s, const Pixels& x, const float* w, float* y, float*, const Steps&) {
    each(on, "depthwise", s.images * s.rows() * s.columns() * s.channels, Depthwise{s, x, w, y});
}
void depthwise_input_gradient(const Executor& on, const DepthwiseShape& s, const Pixels& g, const float* w, float* dx, float*) {
    each(on, "depthwise_input_gradient", s.images * s.height * s.width * s.channels, DepthwiseInputGradient{s, g, w, dx});
}
int64_t depthwise_weight_scratch(const DepthwiseShape& s) {
    return column_scratch(s.images * s.rows(), s.kernel * s.kernel * s.channels, 1);
}
void depthwise_weight_gradient(const Executor& on, const DepthwiseShape& s, const Pixels& x, const Pixels& g, float* dw, float* scratch) {
    column_sums<1>(on, "depthwise_weight_gradient", s.images * s.rows(), s.kernel * s.kernel * s.channels, TakeDepthwiseWeight{s, x, g},
                   KeepColumn{dw}, scratch);
}

// Bands that the device can read: a copy of the host's.
class DeviceBands {
public:
    explicit DeviceBands(const Bands& host)
        : memory_(4 * host.outputs + 2 + host.start[host.outputs]), bands_{host.outputs, host.size, nullptr, nullptr, nullptr} {
        auto* first = static_cast<int64_t*>(memory_.data);
        auto* start = first + host.outputs;
        auto* weight = reinterpret_cast<float*>(start + host.outputs + 1);
        copy_in(first, host.first, sizeof(int64_t) * static_cast<std::size_t>(host.outputs));
        copy_in(start, host.start, sizeof(int64_t) * static_cast<std::size_t>(host.outputs + 1));
        copy_in(weight, host.weight, sizeof(float) * static_cast<std::size_t>(host.start[host.outputs]));
        bands_.first = first, bands_.start = start, bands_.weight = weight;
    }
    const Bands& get() const { return bands_; }

private:
    Scratch memory_;
    Bands bands_;
};

void resample(const Executor& on, int64_t images, int64_t channels, const Bands& v, const Bands& h, const Pixels& x, float* y) {
    const DeviceBands rows(v), columns(h);
    each(on, "resample", images * v.outputs * h.outputs * channels, Resample<Bands, Bands>{channels, rows.get(), columns.get(), x, y});
}
void max_pool(const Executor& on, int64_t images, int64_t channels, const Bands& v, const Bands& h, const Pixels& x, const Pixels& u, float* y) {
    const DeviceBands rows(v), columns(h);
    each(on, "max_pool", images * v.outputs * h.outputs * channels, MaxPool<Bands, Bands>{channels, rows.get(), columns.get(), x, u, y});
}
void max_pool_gradient(const Executor& on, int64_t images, int64_t channels, const Bands& v, const Bands& h, const Pixels& g, const Pixels& x,
                       float* dx) {
    const DeviceBands rows(v), columns(h);
    each(on, "max_pool_gradient", images * v.size * h.size * channels, MaxPoolGradient{channels, rows.get(), columns.get(), g, x, dx});
}

}  // namespace

extern const DepthwiseTable depthwise_table = {none, depthwise_forward, depthwise_input_gradient, depthwise_weight_scratch, depthwise_weight_gradient};
extern const PoolingTable pooling_table = {resample, max_pool, max_pool_gradient};

}}  // namespace nd::ND_ISA
