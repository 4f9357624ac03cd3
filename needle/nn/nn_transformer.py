"""Attention and the Transformer. Source: Vaswani et al., "Attention is all you need", 2017."""

from __future__ import annotations

import math
from typing import Any

import numpy

from .. import init, ops
from ..autograd import Tensor
from ..backend_selection import default_device
from ..errors import ShapeError
from .module import Module, check_features
from .nn_activation import ReLU
from .nn_basic import Dropout, Embedding, Linear, Residual, Sequential
from .nn_norm import LayerNorm1d

__all__ = ["AttentionLayer", "MultiHeadAttention", "Transformer", "TransformerLayer"]


class MultiHeadAttention(Module):
    """result = probs v, probs = dropout(softmax(q k^T / sqrt(D) + mask)): attention of every head, without weights.

    q (B, H, Tq, D), k and v (B, H, Tk, D); result (B, H, Tq, D), probs (B, H, Tq, Tk). With `causal` a query sees the
    keys up to its own place, both counted from the end, and there is one for each. Raises ShapeError for sizes that do
    not fit.
    """

    def __init__(
        self, *, dropout: float = 0.0, causal: bool = False, device: Any = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.device = device
        self.dtype = dtype
        self.causal = causal
        self.dropout = Dropout(dropout)

    def create_causal_mask(self, i: int, j: int, device: Any = None) -> Any:
        """The array (1, 1, i, j) that is -float32 max where key > query + (j - i), else 0."""
        mask = -numpy.finfo("float32").max * numpy.triu(numpy.ones((1, 1, i, j), dtype="float32"), j - i + 1)
        return Tensor(mask, device=device or self.device or default_device(), dtype="float32").realize_cached_data()

    def matmul(self, a: Tensor, b_transpose: Tensor) -> Tensor:
        """a b_transpose^T over the last two axes."""
        return ops.matmul(a, ops.transpose(b_transpose))

    def softmax(self, logit: Tensor) -> Tensor:
        """exp(x) / sum exp(x) over the last axis."""
        return ops.softmax(logit)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        _check_heads(q, k, v, self.causal)
        scores = self.matmul(q, k) * (1 / math.sqrt(q.shape[-1]))
        if self.causal:
            mask = self.create_causal_mask(q.shape[2], k.shape[2], q.device)
            scores = scores + ops.broadcast_to(Tensor(mask, device=q.device, requires_grad=False), scores.shape)
        probs = self.dropout(self.softmax(scores))
        return ops.matmul(probs, v), probs

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Any:
        """The result alone; one fused kernel that never holds `probs`, when no dropout is to be drawn."""
        if self.training and self.dropout.p > 0:
            return self(q, k, v)[0]
        _check_heads(q, k, v, self.causal)
        return ops.attention(q, k, v, scale=1 / math.sqrt(q.shape[-1]), causal=self.causal)[0]


class AttentionLayer(Module):
    """y = concat over heads of attention(norm(q) W_q, norm(k) W_k, norm(v) W_v) W_o, each with its own LayerNorm1d.

    q (B, Tq, q_features), k (B, Tk, k_features) and v (B, Tk, v_features), both q when None; y (B, Tq, out_features).
    Feature counts not given are q_features. Raises ShapeError for sizes that do not fit.
    """

    def __init__(
        self, q_features: int, num_head: int, dim_head: int, *, k_features: int | None = None,
        v_features: int | None = None, out_features: int | None = None, dropout: float = 0.0, causal: bool = True,
        device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.device = device
        self.dtype = dtype
        k_features = q_features if k_features is None else k_features
        v_features = q_features if v_features is None else v_features
        out_features = q_features if out_features is None else out_features
        self.q_features = q_features
        self.k_features = k_features
        self.v_features = v_features
        self.out_features = out_features
        self.num_head = num_head
        self.dim_head = dim_head
        options = {"device": device, "dtype": dtype}
        self.prenorm_q = LayerNorm1d(q_features, **options)
        self.prenorm_k = LayerNorm1d(k_features, **options)
        self.prenorm_v = LayerNorm1d(v_features, **options)
        inner = num_head * dim_head
        self.q_projection = Linear(q_features, inner, bias=False, **options)
        self.k_projection = Linear(k_features, inner, bias=False, **options)
        self.v_projection = Linear(v_features, inner, bias=False, **options)
        self.attn = MultiHeadAttention(dropout=dropout, causal=causal, **options)
        self.out_projection = Linear(inner, out_features, bias=False, **options)

    def forward(self, q: Tensor, k: Tensor | None = None, v: Tensor | None = None) -> Tensor:
        k = q if k is None else k
        v = q if v is None else v
        check_features("AttentionLayer", q, self.q_features, ndim=3)
        check_features("AttentionLayer", k, self.k_features, ndim=3)
        check_features("AttentionLayer", v, self.v_features, ndim=3)
        result = self.attn.attend(
            self._heads(self.q_projection(self.prenorm_q(q))),
            self._heads(self.k_projection(self.prenorm_k(k))),
            self._heads(self.v_projection(self.prenorm_v(v))),
        )
        joined = ops.reshape(ops.transpose(result, (1, 2)), (q.shape[0], q.shape[1], self.num_head * self.dim_head))
        y: Tensor = self.out_projection(joined)
        return y

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, H D) to (B, H, T, D)."""
        return ops.transpose(ops.reshape(x, (x.shape[0], x.shape[1], self.num_head, self.dim_head)), (1, 2))


class TransformerLayer(Module):
    """x + dropout(attention(x)), then x + dropout(W_2 dropout(relu(W_1 norm(x)))); x and y (B, T, q_features)."""

    def __init__(
        self, q_features: int, num_head: int, dim_head: int, hidden_size: int, *, dropout: float = 0.0,
        causal: bool = True, device: Any = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.device = device
        self.dtype = dtype
        options = {"device": device, "dtype": dtype}
        attention = AttentionLayer(q_features, num_head, dim_head, dropout=dropout, causal=causal, **options)
        feed_forward = [
            LayerNorm1d(q_features, **options),
            Linear(q_features, hidden_size, **options),
            ReLU(),  # type: ignore[misc]  # which is made of its op
            *_dropouts(dropout),
            Linear(hidden_size, q_features, **options),
            *_dropouts(dropout),
        ]
        self.attention = Residual(Sequential(attention, *_dropouts(dropout)))
        self.feed_forward = Residual(Sequential(*feed_forward))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.feed_forward(self.attention(x))
        return y


class Transformer(Module):
    """`num_layers` TransformerLayers over x plus a learned embedding of each position.

    x (T, B, embedding_size), or (B, T, embedding_size) with `batch_first`; T at most `sequence_len`. Returns y of the
    same shape and, in the place of a recurrent state, zeros. Raises ShapeError for a longer sequence.
    """

    def __init__(
        self, embedding_size: int, hidden_size: int, num_layers: int, *, num_head: int = 8, dim_head: int = 32,
        dropout: float = 0.0, causal: bool = True, device: Any = None, dtype: Any = "float32",
        batch_first: bool = False, sequence_len: int = 2048,
    ) -> None:  # fmt: skip
        super().__init__()
        self.device = device
        self.dtype = dtype
        self.batch_first = batch_first
        self.embedding_size = embedding_size
        self.sequence_len = sequence_len
        options = {"device": device, "dtype": dtype}
        self.positions = Embedding(sequence_len, embedding_size, **options)
        self.layers = [
            TransformerLayer(embedding_size, num_head, dim_head, hidden_size, dropout=dropout, causal=causal, **options)
            for _ in range(num_layers)
        ]

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_features("Transformer", x, self.embedding_size, ndim=3)
        if not self.batch_first:
            x = ops.transpose(x, (0, 1))
        steps = x.shape[1]
        if steps > self.sequence_len:
            raise ShapeError(f"[Transformer] needs at most {self.sequence_len} steps, got {steps}")
        x = x + ops.broadcast_to(self.positions(ops.iota(x, 1)), x.shape)
        for layer in self.layers:
            x = layer(x)
        if not self.batch_first:
            x = ops.transpose(x, (0, 1))
        return x, init.zeros_like(x)


def _dropouts(p: float) -> tuple[Dropout, ...]:
    """A Dropout, or none where it would draw numbers to no effect."""
    return (Dropout(p),) if p > 0 else ()


def _check_heads(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> None:
    shapes = [tuple(x.shape) for x in (q, k, v)]
    fits = all(len(shape) == 4 for shape in shapes)
    fits = fits and len({shape[:2] for shape in shapes}) == 1 and len({shape[3] for shape in shapes}) == 1
    if not fits or shapes[1][2] != shapes[2][2]:
        raise ShapeError(f"[MultiHeadAttention] needs q (B, H, Tq, D), k and v (B, H, Tk, D), got {shapes}")
    if causal and shapes[0][2] > shapes[1][2]:  # the first queries would see no key, which softmax takes for all alike
        given = f"{shapes[0][2]} queries, {shapes[1][2]} keys"
        raise ShapeError(f"[MultiHeadAttention] causal attention needs a key for every query, got {given}")
