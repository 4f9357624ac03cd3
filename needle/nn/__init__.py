"""Neural networks: modules and losses."""

from .nn_basic import (
    Dropout,
    Flatten,
    Identity,
    Linear,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SoftmaxLoss,
    _child_modules,
    _unpack_params,
)
from .nn_conv import Conv
from .nn_norm import BatchNorm1d, BatchNorm2d, LayerNorm1d
from .nn_sequence import LSTM, RNN, Embedding, LSTMCell, RNNCell
from .nn_transformer import AttentionLayer, MultiHeadAttention, Transformer, TransformerLayer

__all__ = [
    "LSTM",
    "RNN",
    "AttentionLayer",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LSTMCell",
    "LayerNorm1d",
    "Linear",
    "Module",
    "MultiHeadAttention",
    "Parameter",
    "RNNCell",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SoftmaxLoss",
    "Transformer",
    "TransformerLayer",
    "_child_modules",
    "_unpack_params",
]
