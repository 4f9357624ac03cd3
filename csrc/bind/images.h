// The kernel of data loading as a table of one plain function.
#pragma once
#include "select.h"
#include "../nd/image_batch.h"

namespace nd {

struct ImageTable {
    void (*batch)(const Executor&, int64_t count, const uint8_t* pixels, const int64_t (&sizes)[3], const int64_t* index,
                  const int64_t* top, const int64_t* left, const uint8_t* mirror, int64_t padding, bool reflect,
                  const int64_t* row, const int64_t* column, int64_t size, const float* scale, const float* shift,
                  const float* cover, float* y);
};

}  // namespace nd
ND_FAMILY(ImageTable, image_kernels)
