#include "../bind/fused.h"
#include "answer.h"
#include "attention.cuh"
#include "gather.cuh"
#include "recurrent.cuh"
#include "stream.h"

namespace nd { namespace ND_ISA {
namespace {

int64_t none(int64_t) { return 0; }
int64_t none(int64_t, int64_t, int) { return 0; }
int64_t none(int64_t, int64_t, int64_t, int) { return 0; }

void attention_gradient_with_memory(const Executor& on, const AttentionShape<>& s, const AttentionGradientInputs& in,
                                    const AttentionGradientOutputs& to, float*) {
    Scratch delta(s.batch * s.heads * s.queries);
    attention_gradient(on, s, in, to, delta.floats());
}

int64_t first_bad_index(int64_t count, const float* ids, int64_t limit) {
    return first_of(the_device(), "first_bad_index", count, BadPlace{ids, 0, limit});
}

void embedding(const Executor& on, int64_t count, int64_t cols, const float* ids, const float* weight, float* y) {
    take(on, 1, 0, count, cols, weight, ids, y);
}
void embedding_gradient(const Executor& on, int64_t count, int64_t cols, int64_t table_rows, const float* ids, const float* g, float* dweight) {
    take_gradient(on, 1, table_rows, count, cols, g, ids, dweight);
}

}  // namespace

extern const SequenceTable sequence_kernels_table = {
    none, lstm,
    lstm_gradient_scratch, lstm_gradient,
    none, gru,
    gru_gradient_scratch, gru_gradient,
    none, rnn,
    rnn_gradient_scratch, rnn_gradient,
    none, attention,
    none, attention_gradient_with_memory,
    first_bad_index, embedding,
    lookup<float>, lookup<int32_t>, lookup<int64_t>,
    iota<float>, iota<int32_t>, random,
    embedding_gradient,
};

extern const CacheTable cache_kernels_table = {
    positions<float>, positions<int32_t>, cache_write<float>, cache_write<int32_t>, cached_attention_scratch, cached_attention<float>,
    cached_attention<int32_t>,
};

}}  // namespace nd::ND_ISA
