#include "../fused.h"
#include "../../nd/attention.h"
#include "../../nd/embedding.h"
#include "../../nd/lookup.h"
#include "../../nd/gru.h"
#include "../../nd/lstm.h"
#include "../../nd/random.h"
#include "../../nd/rnn.h"

namespace nd { namespace ND_ISA {

extern const SequenceTable sequence_kernels_table = {
    lstm_scratch, lstm<int64_t, int64_t, int64_t>,
    lstm_gradient_scratch, lstm_gradient<int64_t, int64_t, int64_t>,
    gru_scratch, gru<int64_t, int64_t, int64_t>,
    gru_gradient_scratch, gru_gradient<int64_t, int64_t, int64_t>,
    rnn_scratch, rnn<int64_t, int64_t, int64_t>,
    rnn_gradient_scratch, rnn_gradient<int64_t, int64_t, int64_t>,
    attention_scratch, attention<AttentionShape<>>,
    attention_gradient_scratch, attention_gradient<AttentionShape<>>,
    first_bad_index, embedding<int64_t, int64_t>,
    lookup<int64_t, int64_t, int64_t, float>, lookup<int64_t, int64_t, int64_t, int32_t>, lookup<int64_t, int64_t, int64_t, int64_t>,
    iota<int64_t, int64_t, float>, iota<int64_t, int64_t, int32_t>, random<int64_t, int64_t>,
    embedding_gradient<int64_t, int64_t>,
};

}}  // namespace nd::ND_ISA
