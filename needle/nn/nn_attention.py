"""Self-attention for language models, its block, and the cache that makes decoding one token at a time cheap."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy

from .. import init, ops, reprs
from ..autograd import Tensor
from ..errors import NeedleError, ShapeError
from ..types import INTEGERS, plain_number
from .module import Module, check_features
from .nn_basic import Dropout, Linear
from .nn_norm import LayerNorm1d
from .nn_transformer import MultiHeadAttention

__all__ = ["KVCache", "RotaryEmbedding", "SelfAttention", "TransformerBlock"]


class KVCache:
    """The keys and values of the positions seen so far: memory for `max_len` of them, appended to in place.

    For generation, not for training: what is cached counts as a constant. `length` is the number of positions held.
    """

    def __init__(
        self, batch: int, heads: int, max_len: int, dim_head: int, device: Any = None, dtype: Any = "float32"
    ) -> None:
        sizes = (batch, heads, max_len, dim_head)
        if not all(isinstance(size, INTEGERS) and size >= 1 for size in sizes):
            raise ShapeError(f"[KVCache] needs sizes of at least 1, whole numbers, got {sizes}")
        self.max_len = max_len
        self.length = 0
        self._shape = (batch, heads, dim_head)
        self._keys, self._values = (
            init.zeros(*sizes, device=device, dtype=dtype).realize_cached_data() for _ in range(2)
        )

    def __repr__(self) -> str:
        return reprs.call(self, reprs.settings(self), f"{getattr(self, 'length', 0):,} positions held")

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values so far, those of k and v (batch, heads, T, dim_head) at the end: views of the cache.

        Raises ShapeError for other sizes, NeedleError, changing nothing, when there is no room.
        """
        shapes = [tuple(x.shape) for x in (k, v)]
        if any(len(s) != 4 or (*s[:2], s[3]) != self._shape for s in shapes) or shapes[0] != shapes[1]:
            batch, heads, dim_head = self._shape
            raise ShapeError(f"[KVCache] needs keys and values ({batch}, {heads}, T, {dim_head}), got {shapes}")
        first, end = self.length, self.length + shapes[0][2]
        if end > self.max_len:
            raise NeedleError(
                f"[KVCache] holds {first} of {self.max_len} positions, no room for {end - first} more: make the cache "
                "longer (max_len), or reset() it and feed the positions that still matter"
            )
        for memory, new in ((self._keys, k), (self._values, v)):
            memory[:, :, first:end, :] = new.realize_cached_data()
        self.length = end
        keys, values = (Tensor.make_const(memory[:, :, :end, :]) for memory in (self._keys, self._values))
        return keys, values

    def reset(self) -> None:
        """Forget all positions; the memory is kept."""
        self.length = 0


class RotaryEmbedding(Module):
    """(y_i, y_{i + D/2}) = (x_i, x_{i + D/2}) rotated by the angle p / base^(2i / D) at position p; x, y (B, H, T, D).

    Products of queries and keys so rotated depend on how far apart they are, not on where. The first position is
    `first`. Raises ShapeError for odd D.
    Source: Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.
    """

    def __init__(self, dim_head: int, base: float = 10_000.0) -> None:
        super().__init__()
        if dim_head < 2 or dim_head % 2:
            raise ShapeError(f"[RotaryEmbedding] needs an even number of columns for each head, got {dim_head}")
        self.dim_head = dim_head
        self.base = plain_number(base)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        check_features("RotaryEmbedding", x, self.dim_head, ndim=4)
        half, steps = self.dim_head // 2, x.shape[2]
        angles = numpy.outer(numpy.arange(first, first + steps), self.base ** -(numpy.arange(half) / half))
        a, b = x[..., :half], x[..., half:]
        cos, sin = (
            ops.broadcast_to(Tensor(part, device=x.device, dtype=x.dtype, requires_grad=False), a.shape)
            for part in (numpy.cos(angles), numpy.sin(angles))
        )
        return ops.concat([a * cos - b * sin, a * sin + b * cos], -1)


class SelfAttention(Module):
    """y = concat over heads of attention(q, k, v) W_o + b_o, with q, k, v = x W_qkv + b_qkv in one product.

    x and y (B, T, width), each head has width / heads columns. `dropout` acts on the weights of the attention. With a
    `cache` the keys and values of x join those of earlier calls: x holds the next positions only, and the result is
    that of a call with all of them, up to rounding. With `rotary` q and k pass through a RotaryEmbedding. Draws W_qkv,
    b_qkv, W_o, b_o, as Linear does. Raises ShapeError where width is no multiple of heads, NeedleError for a cache
    without `causal` attention or in training mode.
    """

    fused = {"qkv": ("q", "k", "v")}  # noqa: RUF012  (layers that hold several side by side, each as many columns)

    def __init__(
        self, width: int, heads: int, causal: bool = True, dropout: float = 0.0, bias: bool = True,
        device: Any = None, dtype: Any = "float32", *, rotary: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(heads, INTEGERS) or heads < 1 or width % heads:
            raise ShapeError(f"[SelfAttention] width must be a multiple of heads, got {width} and {heads}")
        self.width = width
        self.heads = heads
        self.qkv = Linear(width, 3 * width, bias, device, dtype)
        self.rotary = RotaryEmbedding(width // heads) if rotary else None
        self.attention = MultiHeadAttention(dropout=dropout, causal=causal, device=device, dtype=dtype)
        self.out = Linear(width, width, bias, device, dtype)

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        q, k, v = (ops.transpose(part, (1, 2)) for part in self._projected(x))
        if self.rotary is not None:
            first = cache.length if cache is not None else 0
            q, k = self.rotary(q, first), self.rotary(k, first)
        if cache is not None:
            if self.training or not self.attention.causal:
                raise NeedleError("[SelfAttention] a cache is for generation: it needs eval mode and causal=True")
            k, v = cache.append(k, v)
        return self._joined(self.attention.attend(q, k, v))

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, slot: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(y, keys, values): rows of x (B, T, width) that go on at `position` of `slot`, both (B,), of the caches.

        Keys and values (slots, context, heads, width / heads) come back with those of x in them: a function of tensors
        alone, which `deploy.freeze` records. Raises NeedleError as a call with a cache does, and with `rotary`.
        """
        if self.training or not self.attention.causal or self.rotary is not None:
            raise NeedleError("[SelfAttention] step is for generation: it needs eval mode, causal=True, rotary=False")
        q, k, v = self._projected(x)
        keys, values = (ops.cache_write(memory, new, slot, position) for memory, new in ((keys, k), (values, v)))
        scale = 1 / math.sqrt(self.width // self.heads)
        y = ops.cached_attention(ops.transpose(q, (1, 2)), keys, values, slot, position, scale)
        return self._joined(y), keys, values

    def _projected(self, x: Tensor) -> Iterable[Tensor]:
        """Queries, keys and values (B, T, heads, width / heads)."""
        check_features("SelfAttention", x, self.width, ndim=3)
        batch, steps, _ = x.shape
        return ops.split(ops.reshape(self.qkv(x), (batch, steps, 3, self.heads, self.width // self.heads)), 2)

    def _joined(self, y: Tensor) -> Tensor:
        """The heads' results y (B, heads, T, width / heads) side by side, times W_o."""
        batch, _, steps, _ = y.shape
        joined: Tensor = self.out(ops.reshape(ops.transpose(y, (1, 2)), (batch, steps, self.width)))
        return joined

    def cache(self, batch: int, max_len: int) -> KVCache:
        """An empty cache of the right sizes for `batch` sequences of up to `max_len` positions."""
        weight = self.qkv.weight
        return KVCache(batch, self.heads, max_len, self.width // self.heads, weight.device, weight.dtype)


class TransformerBlock(Module):
    """h = x + dropout(attention(norm_1(x))); y = h + dropout(W_2 gelu(W_1 norm_2(h) + b_1) + b_2); x, y (B, T, width).

    `hidden` is the number of columns between W_1 and W_2, 4 width when None. `attention_dropout` acts on the weights of
    the attention, which are then held in memory. `rotary` and a `cache` are as in SelfAttention. Raises ShapeError,
    NeedleError as that does.
    Source: Radford et al., "Language models are unsupervised multitask learners" (GPT-2), 2019.
    """

    def __init__(
        self, width: int, heads: int, hidden: int | None = None, *, causal: bool = True, dropout: float = 0.0,
        attention_dropout: float = 0.0, bias: bool = True, rotary: bool = False, device: Any = None,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        self.norm_1 = LayerNorm1d(width, device=device, dtype=dtype)
        self.attention = SelfAttention(width, heads, causal, attention_dropout, bias, device, dtype, rotary=rotary)
        self.norm_2 = LayerNorm1d(width, device=device, dtype=dtype)
        self.up = Linear(width, hidden, bias, device, dtype)
        self.down = Linear(hidden, width, bias, device, dtype)
        self.dropout = Dropout(dropout) if dropout > 0 else None  # which would draw numbers to no effect

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        return self._widened(x + self._dropped(self.attention(self.norm_1(x), cache)))

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, slot: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(y, keys, values) for rows of x that go on in slots of the caches: see `SelfAttention.step`."""
        y, keys, values = self.attention.step(self.norm_1(x), keys, values, slot, position)
        return self._widened(x + y), keys, values

    def _widened(self, h: Tensor) -> Tensor:
        return h + self._dropped(self.down(ops.gelu(self.up(self.norm_2(h)))))

    def _dropped(self, x: Tensor) -> Tensor:
        return x if self.dropout is None else self.dropout(x)
