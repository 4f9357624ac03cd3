// What programs of the compiler call: convolution and linear layers with weights packed beforehand, sizes that may be
// Const<>, and an epilogue that finishes each value before it is stored.
//
// Layouts (float32, the same on every instruction set; `blocks` is ceil(Co / 16), columns behind Co are zeros):
//   linear weights (I, O)            -> [ceil(O / 16)][I][16]
//   convolution weights (K, K, Ci, Co) -> [blocks][kernel rows kept][kernel columns kept][Ci][16]
//     kept are the rows  first .. end - 1,  first = max(0, P - (Ho - 1) S),  end = min(K, H + P),  Ho = (H + 2 P - K) / S + 1,
//     and likewise the columns with W and Wo: the others only ever meet padding.
//   bias (Co,)                       -> [blocks * 16], zeros behind Co
// In numpy: m = w[first:end, first_w:end_w].reshape(-1, Co); pad m to a multiple of 16 columns;
//           m.reshape(len(m), -1, 16).transpose(1, 0, 2).
#pragma once
#include "conv.h"
#include "epilogue.h"

namespace nd {

namespace ND_ISA {

// Stores a tile behind steps. What a step is, is asked once for a tile and not for each of its vectors.
template <int R, int V, class Row>
ND_INLINE void store_tile(const Vec (&acc)[R][V], float* y, const Row& row, const Extent& e, const Steps& steps) {
    Vec value[R][V];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < V; ++j) value[i][j] = acc[i][j];
    const bool full = e.columns >= V * kLanes;
    const auto finish = [&](const auto& epilogue) {
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
            for (int j = 0; j < V; ++j) {
                const int64_t count = full ? kLanes : lanes_of(e, j);
                if (count > 0) value[i][j] = epilogue(value[i][j], row(i) + j * kLanes, e.column + j * kLanes, count);
            }
    };
    for (int64_t s = 0; e.last && s < steps.count; ++s) {
        const Step& step = steps.step[s];
        if (step.kind == Step::relu) finish(Apply<Relu>{});
        else if (step.kind == Step::relu6) finish(Apply<Clip>{{0, 6}});
        else if (step.kind == Step::bias) finish(Bias{step.with});
        else if (step.kind == Step::add) finish(Residual{step.with});
        else {  // through memory: it is not worth being unrolled in every tile
            Vec made[R][V];
            std::memcpy(made, value, sizeof made);
            activate(step.kind, R * V * kLanes, reinterpret_cast<float*>(made));
            std::memcpy(value, made, sizeof made);
        }
    }
    store_tile(value, y, row, e, Keep{});
}

// Floats of scratch memory for direct_conv with this batch and number of threads.
template <class H, class W, class I, class O, class K, class S, class P>
constexpr int64_t direct_conv_scratch(int64_t batch, int threads, H h, W w, I in, O out, K kernel, S stride, P padding) {
    return conv_scratch(ConvShape<>{h, w, in, out, kernel, stride, padding}, batch, threads);
}

// y (batch, Ho, Wo, Co) = epilogue(x (batch, H, W, Ci) * w), both compact NHWC, w packed as above. Without an epilogue it has
// no steps, and the code of the layers that have some.
template <class H, class W, class I, class O, class K, class S, class P, class Epilogue = Keep>
ND_INLINE void direct_conv(const Executor& executor, int64_t batch, H h, W w, I in, O out, K kernel, S stride, P padding,
                           const float* x, const float* packed, float* y, float* scratch, const Epilogue& epilogue = {}) {
    const ConvShape<H, W, I, O, K, S, P> shape{h, w, in, out, kernel, stride, padding};
    const Strides4 strides{h * w * in, w * in, in, 1};
    if constexpr (std::is_same_v<Epilogue, Keep>) conv(executor, shape, batch, x, strides, packed, y, scratch, Steps{});
    else conv(executor, shape, batch, x, strides, packed, y, scratch, epilogue);
}

// y (batch, O) = epilogue(x (batch, I) w), both compact, w packed as above. No scratch memory.
template <class I, class O, class Epilogue = Keep>
ND_INLINE void linear(const Executor& executor, int64_t batch, I in, O out, const float* x, const float* packed, float* y,
                      const Epilogue& epilogue = {}) {
    const Const<1> one;
    direct_conv(executor, batch, one, one, in, out, one, one, Const<0>{}, x, packed, y, nullptr, epilogue);
}

// From so many rows on, `tall_linear` is the faster one.
constexpr int64_t kTallRows = 16;

// The same where rows are many: weights are read for chunks of them, not for each few again.
template <class Epilogue = Keep>
inline void tall_linear(const Executor& executor, int64_t rows, int64_t in, int64_t out, const float* x, const float* packed, float* y,
                        const Epilogue& epilogue = {}) {
    if constexpr (std::is_same_v<Epilogue, Keep>) return tall_linear(executor, rows, in, out, x, packed, y, Steps{});
    else if (rows > 0) gemm_tasks<false>(executor, rows, out, in, {x, in, 1}, packed_right(in, out, packed), y, out, nullptr, epilogue, {});
}

}}  // namespace nd::ND_ISA
