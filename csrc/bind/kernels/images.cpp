#include "../images.h"

namespace nd { namespace ND_ISA {
namespace {

void batch(const Executor& on, int64_t count, const uint8_t* pixels, const int64_t (&sizes)[3], const int64_t* index,
           const int64_t* top, const int64_t* left, const uint8_t* mirror, int64_t padding, bool reflect,
           const int64_t* row, const int64_t* column, int64_t size, const float* scale, const float* shift,
           const float* cover, float* y) {
    image_batch(on, count, {pixels, sizes[0], sizes[1], sizes[2]},
                {index, top, left, mirror, padding, reflect, row, column, size}, {scale, shift, cover}, y);
}

}  // namespace

extern const ImageTable image_kernels_table = {batch};

}}  // namespace nd::ND_ISA
