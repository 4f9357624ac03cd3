// The fused kernels as tables of plain functions, one table per family.
#pragma once
#include "../nd/arguments.h"
#include "select.h"

namespace nd {

struct SoftmaxTable {
    using Map = void (*)(const Executor&, int64_t rows, int64_t cols, const float* x, float* y);
    using Gradient = void (*)(const Executor&, int64_t rows, int64_t cols, const float* g, const float* y, float* dx);
    Map softmax, logsoftmax, logsumexp;
    Gradient softmax_gradient, logsoftmax_gradient;
    int64_t (*first_bad_label)(int64_t rows, int64_t cols, const Labels&);
    int64_t (*counted)(int64_t rows, const Labels&);
    void (*cross_entropy)(const Executor&, int64_t rows, int64_t cols, const float* x, const Labels&, float* losses);
    void (*total_loss)(const Executor&, int64_t rows, const float* losses, float divisor, float* loss);
    void (*cross_entropy_gradient)(const Executor&, int64_t rows, int64_t cols, const float* g, int64_t step, float divisor,
                                   const float* x, const Labels&, float* dx);
};

struct NormTable {
    int64_t (*scratch)(int64_t rows, int64_t cols);
    void (*batch_norm)(const Executor&, int64_t rows, int64_t cols, const float* x, const float* weight, const float* bias,
                       float eps, float* y, float* mean, float* var, float* scratch);
    void (*batch_norm_inference)(const Executor&, int64_t rows, int64_t cols, const float* x, const float* weight,
                                 const float* bias, const float* mean, const float* var, float eps, float* y, float* scratch);
    void (*batch_norm_gradient)(const Executor&, int64_t rows, int64_t cols, const float* g, const float* x,
                                const float* weight, const float* mean, const float* var, float eps, float* dx,
                                float* dweight, float* dbias, float* scratch);
    void (*layer_norm)(const Executor&, int64_t rows, int64_t cols, const float* x, const float* weight, const float* bias,
                       float eps, float* y, float* mean, float* rstd);
    void (*layer_norm_gradient)(const Executor&, int64_t rows, int64_t cols, const float* g, const float* x,
                                const float* weight, const float* mean, const float* rstd, float* dx, float* dweight,
                                float* dbias, float* scratch);
    void (*mean)(const Executor&, int64_t rows, int64_t count, const float* x, float* y);
    void (*variance)(const Executor&, int64_t rows, int64_t count, const float* x, float correction, float* y);
};

struct GroupNormTable {
    int64_t (*scratch)(const GroupShape&);
    void (*group_norm)(const Executor&, const GroupShape&, const float* x, const float* weight, const float* bias, float eps,
                       float* y, float* mean, float* rstd, float* scratch);
    void (*group_norm_gradient)(const Executor&, const GroupShape&, const float* g, const float* x, const float* weight,
                                const float* mean, const float* rstd, float* dx, float* dweight, float* dbias, float* scratch);
    void (*rms_norm)(const Executor&, int64_t rows, int64_t cols, const float* x, const float* weight, float eps, float* y,
                     float* rstd);
    int64_t (*rms_scratch)(int64_t rows, int64_t cols);
    void (*rms_norm_gradient)(const Executor&, int64_t rows, int64_t cols, const float* g, const float* x, const float* weight,
                              const float* rstd, float* dx, float* dweight, float* scratch);
};

struct SequenceTable {
    int64_t (*lstm_scratch)(int64_t hidden);
    void (*lstm)(const Executor&, int64_t steps, int64_t batch, int64_t hidden, const float* gates, const float* h0,
                 const float* c0, const float* w_hh, float* out, float* cells, float* act, float* scratch);
    int64_t (*lstm_gradient_scratch)(int64_t steps, int64_t batch, int64_t hidden, int threads);
    void (*lstm_gradient)(const Executor&, int64_t steps, int64_t batch, int64_t hidden, const LstmGradientInputs&,
                          float* d_gates, float* dh0, float* dc0, float* dw_hh, float* scratch);
    int64_t (*gru_scratch)(int64_t hidden);
    void (*gru)(const Executor&, int64_t steps, int64_t batch, int64_t hidden, const float* gates, const float* h0,
                const float* w_hh, const float* bias_hh, float* out, float* act, float* scratch);
    int64_t (*gru_gradient_scratch)(int64_t steps, int64_t batch, int64_t hidden, int threads);
    void (*gru_gradient)(const Executor&, int64_t steps, int64_t batch, int64_t hidden, const GruGradientInputs&,
                         float* d_gates, float* dh0, float* dw_hh, float* dbias_hh, float* scratch);
    int64_t (*rnn_scratch)(int64_t hidden);
    void (*rnn)(const Executor&, int64_t steps, int64_t batch, int64_t hidden, bool relu, const float* gates, const float* h0,
                const float* w_hh, float* out, float* scratch);
    int64_t (*rnn_gradient_scratch)(int64_t steps, int64_t batch, int64_t hidden, int threads);
    void (*rnn_gradient)(const Executor&, int64_t steps, int64_t batch, int64_t hidden, bool relu, const float* d_out,
                         const float* out, const float* h0, const float* w_hh, float* d_gates, float* dh0, float* dw_hh,
                         float* scratch);
    int64_t (*attention_scratch)(int64_t queries, int64_t keys, int64_t depth, int threads);
    void (*attention)(const Executor&, const AttentionShape<>&, const Heads<const float>& q, const Heads<const float>& k,
                      const Heads<const float>& v, const Heads<float>& out, float* lse, float* scratch);
    int64_t (*attention_gradient_scratch)(int64_t keys, int64_t depth, int threads);
    void (*attention_gradient)(const Executor&, const AttentionShape<>&, const AttentionGradientInputs&,
                               const AttentionGradientOutputs&, float* scratch);
    int64_t (*first_bad_index)(int64_t count, const float* ids, int64_t limit);
    void (*embedding)(const Executor&, int64_t count, int64_t cols, const float* ids, const float* weight, float* y);
    void (*lookup)(const Executor&, int64_t count, int64_t cols, int64_t rows, const float* ids, const float* weight, float* y);
    void (*lookup_int32)(const Executor&, int64_t count, int64_t cols, int64_t rows, const int32_t* ids, const float* weight,
                         float* y);
    void (*lookup_int64)(const Executor&, int64_t count, int64_t cols, int64_t rows, const int64_t* ids, const float* weight,
                         float* y);
    void (*iota)(const Executor&, int64_t count, int64_t first, float* y);
    void (*iota_int32)(const Executor&, int64_t count, int64_t first, int32_t* y);
    void (*random)(const Executor&, int64_t count, int64_t key, const int64_t* counter, float* y);
    void (*embedding_gradient)(const Executor&, int64_t count, int64_t cols, int64_t table_rows, const float* ids,
                               const float* g, float* dweight);
};

struct CacheTable {
    template <class Id>
    using Positions = void (*)(const Executor&, int64_t rows, int64_t count, const Id* first, Id* y);
    template <class Id>
    using Write = void (*)(const Executor&, int64_t batch, int64_t steps, int64_t slots, int64_t context, int64_t width,
                           const float* cache, const float* fresh, const Id* slot, const Id* position, float* y);
    template <class Id>
    using Attention = void (*)(const Executor&, const CacheShape&, const Heads<const float>& q, const float* keys,
                               const float* values, const Id* slot, const Id* position, const Heads<float>& y, float* scratch);
    Positions<float> positions;
    Positions<int32_t> positions_int32;
    Write<float> write;
    Write<int32_t> write_int32;
    int64_t (*scratch)(int64_t heads, int64_t depth, int64_t context, int threads);
    Attention<float> attention;
    Attention<int32_t> attention_int32;
};

struct GatherTable {
    using Kernel = void (*)(const Executor&, int64_t outer, int64_t n, int64_t count, int64_t inner, const float* from,
                            const float* ids, float* to);
    int64_t (*first_bad_place)(int64_t count, const float* ids, int64_t n);
    Kernel take, take_gradient, gather, gather_gradient;
};

struct OptimTable {  // each takes a list, and its length
    void (*sgd_step)(const Executor&, int64_t count, const Update*, const SgdStep&);
    void (*momentum_step)(const Executor&, int64_t count, const Update*, const MomentumStep&);
    void (*adam_step)(const Executor&, int64_t count, const Update*, const AdamStep&);
    int64_t (*squared_norm_scratch)(int64_t count, const Flat*);
    double (*squared_norm)(const Executor&, int64_t count, const Flat*, float* scratch);
};

}  // namespace nd
ND_FAMILY(SoftmaxTable, softmax_kernels)
ND_FAMILY(NormTable, norm_kernels)
ND_FAMILY(GroupNormTable, group_norm_kernels)
ND_FAMILY(SequenceTable, sequence_kernels)
ND_FAMILY(CacheTable, cache_kernels)
ND_FAMILY(GatherTable, gather_kernels)
ND_FAMILY(OptimTable, optim_kernels)
