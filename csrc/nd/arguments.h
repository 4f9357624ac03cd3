// Groups of arguments of the fused kernels: plain data, the same for every instruction set.
#pragma once
#include "base.h"

namespace nd {

// A tensor (batch, head, row, column) with contiguous columns and any other strides.
template <class T>
struct Heads {
    T* data;
    int64_t batch, head, row;
    T* at(int64_t b, int64_t h) const { return data + b * batch + h * head; }
};

// Causal: the last query sees all keys, each query before it one fewer. Needs keys >= queries.
template <class Batch = int64_t, class Head = int64_t, class Queries = int64_t, class Keys = int64_t, class Depth = int64_t>
struct AttentionShape {
    Batch batch;
    Head heads;
    Queries queries;
    Keys keys;
    Depth depth;
    float scale;
    bool causal;
};

// Queries (batch, heads, steps, depth) of sequences whose keys and values are kept as (slots, context, heads, depth).
struct CacheShape {
    int64_t batch, heads, steps, depth, slots, context;
    float scale;
};

// What the rows of a cross entropy are compared with: whole numbers in 0..cols-1, of which `smoothing` is spread over all
// columns. Rows with the label `ignored` do not count; NaN ignores none.
struct Labels {
    const float* at;
    float smoothing, ignored;
};

struct AttentionGradientInputs {
    Heads<const float> g, q, k, v, out;
    const float* lse;
};
struct AttentionGradientOutputs {
    Heads<float> dq, dk, dv;
};

// Everything that the forward pass took and gave, and the gradients of out and of the last cell.
struct LstmGradientInputs {
    const float *d_out, *d_c_last, *out, *cells, *act, *h0, *c0, *w_hh;
};

struct GruGradientInputs {
    const float *d_out, *out, *act, *h0, *w_hh;
};

// x (images, pixels, channels), each `width()` neighbouring channels a group.
struct GroupShape {
    int64_t images, pixels, channels, groups;
    int64_t width() const { return channels / groups; }
};

struct AdamStep {
    float beta1, beta2, eps;
    float take1, take2;  // 1 - beta1 and 1 - beta2, rounded once
    float decay;         // decay p is added to the gradient
    float shrink;        // p is multiplied by this first: 1 - lr weight_decay for AdamW, else 1
    float rate;          // lr / (1 - beta1^t)
    float correction;    // 1 / (1 - beta2^t)
};

}  // namespace nd
