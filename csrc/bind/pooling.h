// Pooling and resampling as a table of plain functions.
#pragma once
#include <string>
#include "../nd/arguments.h"
#include "select.h"

namespace nd {

struct PoolingTable {
    void (*resample)(const Executor&, int64_t images, int64_t channels, const Bands& v, const Bands& h, const Pixels& x, float* y);
    void (*max_pool)(const Executor&, int64_t images, int64_t channels, const Bands& v, const Bands& h, const Pixels& x,
                     const Pixels& u, float* y);
    void (*max_pool_gradient)(const Executor&, int64_t images, int64_t channels, const Bands& v, const Bands& h,
                              const Pixels& g, const Pixels& x, float* dx);
};

// Why bands with that many weights would lead a kernel outside its memory; "" if they do not. With `full`, every output must
// read something.
std::string fault_of(const Bands& bands, int64_t weights, bool full);

}  // namespace nd
ND_FAMILY(PoolingTable, pooling)
