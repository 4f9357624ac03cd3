// mma.sync by a warp of the emulated device (simt_mma.h): its fragments are filled as the PTX ISA says, element by element, and
// what comes out is compared with plain loops; so are the roundings. Ends with 1 where something differs, as it must where the
// argument swaps registers of the fragments.
#include "kernel_check.h"
#include "../../csrc/cuda/mma.cuh"
#include <string>
#include <utility>
#include "rounding.h"

namespace {

enum Swapped { none, a, b, c, halves };

struct Tf32Fragments {
    static constexpr Precision precision = Precision::high;
    static constexpr int depth = 8;
    __device__ static void fill(const float* left, const float* right, int group, int thread, uint32_t (&a)[4], uint32_t (&b)[2]) {
        for (int i = 0; i < 4; ++i) {
            const int row = i == 0 || i == 2 ? group : group + 8, column = i < 2 ? thread : thread + 4;
            a[i] = to_tf32(left[row * depth + column]);
        }
        for (int i = 0; i < 2; ++i) b[i] = to_tf32(right[(i == 0 ? thread : thread + 4) * 8 + group]);
    }
    __device__ static void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_tf32(c, a, b); }
};

struct Bf16Fragments {
    static constexpr Precision precision = Precision::medium;
    static constexpr int depth = 16;
    __device__ static void fill(const float* left, const float* right, int group, int thread, uint32_t (&a)[4], uint32_t (&b)[2]) {
        float x[8], y[4];
        for (int i = 0; i < 8; ++i) {
            const int row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
            const int column = i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
            x[i] = left[row * depth + column];
        }
        for (int i = 0; i < 4; ++i) y[i] = right[(i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8) * 8 + group];
        for (int i = 0; i < 4; ++i) a[i] = to_bf16_pair(x[2 * i], x[2 * i + 1]);
        for (int i = 0; i < 2; ++i) b[i] = to_bf16_pair(y[2 * i], y[2 * i + 1]);
    }
    __device__ static void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_bf16(c, a, b); }
};

// to (16, 8) += left (16, depth) right (depth, 8), by every warp of the block for a matrix of its own.
template <class Fragments>
__global__ void mma_kernel(Swapped swapped, const float* left, const float* right, float* to) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int group = lane >> 2, thread = lane % 4;
    uint32_t words[4], others[2];
    float sum[4];
    Fragments::fill(left + warp * 16 * Fragments::depth, right + warp * 8 * Fragments::depth, group, thread, words, others);
    for (int i = 0; i < 4; ++i) sum[i] = to[warp * 128 + (i < 2 ? group : group + 8) * 8 + thread * 2 + (i & 1)];
    if (swapped == a) std::swap(words[1], words[2]);
    if (swapped == b) std::swap(others[0], others[1]);
    if (swapped == c) std::swap(sum[1], sum[2]);
    if (swapped == halves) words[0] = words[0] << 16 | words[0] >> 16;
    Fragments::mma(sum, words, others);
    for (int i = 0; i < 4; ++i) to[warp * 128 + (i < 2 ? group : group + 8) * 8 + thread * 2 + (i & 1)] = sum[i];
}

template <class Fragments>
void fragments(Swapped swapped) {
    constexpr int depth = Fragments::depth, warps = 2;
    const std::vector<float> x = random_floats(warps * 16 * depth), y = random_floats(warps * depth * 8);
    const std::vector<float> z = random_floats(warps * 128);
    const Floats left(x), right(y), to(z);
    launch(on, "mma", mma_kernel<Fragments>, dim3(1), 32 * warps, swapped, left.p, right.p, to.p);
    compare("mma", to, 1e-6, [&](int64_t at) {
        const int64_t warp = at / 128, row = at / 8 % 16, column = at % 8;
        double sum = z[std::size_t(at)];
        for (int64_t k = 0; k < depth; ++k)
            sum += rounded(Fragments::precision, x[std::size_t((warp * 16 + row) * depth + k)]) *
                   rounded(Fragments::precision, y[std::size_t((warp * depth + k) * 8 + column)]);
        return sum;
    });
}

void roundings() {
    std::vector<float> values = random_floats(1000);
    const uint32_t ties[] = {0x3f801000, 0x3f803000, 0xbf801000, 0x3f800fff, 0x3f808000,
                             0x3f818000, 0xbf818000, 0x3f817fff, 0x3f818001};  // and their neighbours
    for (const uint32_t bits : ties) values.push_back(float_of(bits));
    for (const float special : {0.0f, -0.0f, 1e-30f, 3.0e38f, INFINITY, -INFINITY}) values.push_back(special);
    for (const float x : values) {
        CHECK(float_of(to_tf32(x)) == rounded(Precision::high, x), "TF32 of %.9g is %.9g", x, float_of(to_tf32(x)));
        const uint32_t pair = to_bf16_pair(x, 1);
        CHECK(float_of(pair << 16) == rounded(Precision::medium, x), "bfloat16 of %.9g is %.9g", x, float_of(pair << 16));
        CHECK(pair >> 16 == 0x3f80, "the second of a pair is %x", pair >> 16);
    }
    const float nan = float_of(to_tf32(NAN)), other = float_of(to_bf16_pair(0, NAN));
    CHECK(nan != nan && other != other, "NaN becomes %g and %g", nan, other);
}

}  // namespace

int main(int, char** arguments) {
    const std::string given = arguments[1];
    const Swapped swapped = given == "a" ? a : given == "b" ? b : given == "c" ? c : given == "halves" ? halves : none;
    roundings();
    if (swapped != halves) fragments<Tf32Fragments>(swapped);
    fragments<Bf16Fragments>(swapped);
    return finish("fragments");
}
