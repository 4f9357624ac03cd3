"""The composite kernels on plain numpy arrays; every function keeps the dtype of its arguments."""

from needle.backend_ndarray.plain.norm import (
    batch_norm,
    batch_norm_gradient,
    batch_norm_inference,
    layer_norm,
    layer_norm_gradient,
)
from needle.backend_ndarray.plain.optim import adam_step, sgd_step
from needle.backend_ndarray.plain.sequence import (
    attention,
    attention_gradient,
    embedding,
    embedding_gradient,
    lstm,
    lstm_gradient,
)
from needle.backend_ndarray.plain.softmax import (
    cross_entropy,
    cross_entropy_gradient,
    logsoftmax,
    logsoftmax_gradient,
    logsumexp,
    softmax,
    softmax_gradient,
)

__all__ = [
    "adam_step",
    "attention",
    "attention_gradient",
    "batch_norm",
    "batch_norm_gradient",
    "batch_norm_inference",
    "cross_entropy",
    "cross_entropy_gradient",
    "embedding",
    "embedding_gradient",
    "layer_norm",
    "layer_norm_gradient",
    "logsoftmax",
    "logsoftmax_gradient",
    "logsumexp",
    "lstm",
    "lstm_gradient",
    "sgd_step",
    "softmax",
    "softmax_gradient",
]
