"""Adapted layers: a Linear, a convolution or an Embedding with low-rank changes of its weight beside it.

An adapted layer is a layer of its kind, with the parameters, names and settings of the one in whose place it is.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy

from ... import init, ops, reprs
from ...autograd import Tensor
from ...ops.bilinear import Bilinear
from ..module import Module, Parameter, check_features
from ..nn_basic import Dropout, Embedding, Linear
from ..nn_conv import Conv, Conv2d
from .product import Factors, adapted, multiplied

WHOLE = "whole"  # the name of the part that is all columns of a weight


class LowRank(Module):
    """W + s A B, s = alpha / rank or, with `rslora`, alpha / sqrt(rank): a change of the columns `first:end` of W.

    W (..., outputs), A (..., rank), B (rank, end - first). One of A and B is drawn and the other zero, so that a fresh
    one changes nothing: for an Embedding B from N(0, 1), otherwise A from U(-b, b), b = 1 / sqrt(n) with n the inputs
    of an output (Kaiming's with a slope of sqrt(5)), both as PEFT has it. `dropout` acts on the input of A; the look-up
    of an Embedding has none.
    """

    def __init__(
        self, layer: Adapted, rank: int, alpha: float, dropout: float, rslora: bool, part: tuple[int, int],
        generator: numpy.random.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rank, self.alpha, self.rslora, self.part = rank, alpha, rslora, part
        self.dropout = Dropout(dropout) if dropout > 0 and not isinstance(layer, Embedding) else None
        self.p = dropout
        rows, columns = (*layer.weight.shape[:-1], rank), (rank, part[1] - part[0])
        if isinstance(layer, Embedding):
            a, b = numpy.zeros(rows), generator.standard_normal(columns)
        else:
            bound = 1 / math.sqrt(math.prod(layer.weight.shape[:-1]))
            a, b = generator.uniform(-bound, bound, rows), numpy.zeros(columns)
        self.A, self.B = (Parameter(x, device=layer.weight.device, dtype=layer.weight.dtype) for x in (a, b))

    @property
    def scale(self) -> float:
        """s."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def extra_repr(self) -> str:
        """Rank, alpha and, where it is, rslora."""
        rslora = ["rslora=True"] if self.rslora else []
        return ", ".join([f"rank={self.rank}", f"alpha={self.alpha:g}", *rslora])


Adapter = dict[str, LowRank]  # of one layer: what changes all its columns or, of a fused layer, some of its parts


class Adapted(Module):
    """What the adapted layers have in common: named adapters, of which one at most is active.

    Merged, the layer computes with W + s A B in the place of W. W itself stays in `weight`, which others may use too,
    such as the head of a language model with tied weights: an adapter changes what this layer does, and nothing else.
    """

    product: Bilinear  # by which the layer multiplies with its weight
    weight: Parameter
    bias: Parameter | None = None

    def __init__(self, layer: Module) -> None:
        vars(self).update(vars(layer))
        self.adapters: dict[str, Adapter] = {}
        self.active: str | None = None
        self.merged: Any = None  # the array W + s A B

    def factors(self) -> Factors | None:
        """The A and B of the active adapter: of several parts [A_q A_v] and a B with B_q, B_v where they belong."""
        parts = list(self.adapters.get(self.active or "", {}).values())
        if not parts:
            return None
        outputs, first = self.weight.shape[-1], parts[0]
        if len(parts) == 1 and first.part == (0, outputs):
            return Factors(first.A, first.B, first.scale)
        rows = [ops.concat(self._beside(each, outputs), 1) for each in parts]
        return Factors(ops.concat([each.A for each in parts], -1), ops.concat(rows, 0), first.scale)

    def _beside(self, low: LowRank, outputs: int) -> list[Tensor]:
        """B between the zeros for the columns before and after it."""
        widths = low.part[0], outputs - low.part[1]
        options = {"device": low.B.device, "dtype": low.B.dtype}
        before, after = ([init.zeros(low.rank, width, **options)] if width else [] for width in widths)
        return [*before, low.B, *after]

    def merge(self) -> None:
        """Compute with the sum of the weight and the change by the active adapter from now on."""
        low = self.factors()
        if low is not None:
            change = ops.matmul(low.a.detach(), low.b.detach()) * low.scale
            self.merged = (self.weight.detach() + change).realize_cached_data()

    def apply(self, x: Tensor) -> Tensor:
        """The layer's product with its weight, changed by the active adapter, plus bias; outputs on the last axis."""
        if self.merged is not None:
            return multiplied(self.product, x, Tensor.make_const(self.merged), self.bias)
        low = self.factors()
        if low is None:
            return multiplied(self.product, x, self.weight, self.bias)
        dropout = next(iter(self.adapters[self.active or ""].values())).dropout
        d = x if dropout is None else dropout(x)
        return adapted(self.product, x, d, self.weight, self.bias, low)

    def plain(self) -> Module:
        """A layer of the kind that was there before, with the same parameters."""
        layer: Module = self.kind.__new__(self.kind)
        vars(layer).update({k: v for k, v in vars(self).items() if k not in ("adapters", "active", "merged")})
        return layer

    kind: ClassVar[type[Module]]

    def extra_repr(self) -> str:
        """The layer's own settings."""
        return ", ".join(reprs.settings(self.plain()))


class AdaptedLinear(Adapted, Linear):
    """y = x W + b + s (dropout(x) A) B, x (..., in_features): a Linear with adapters."""

    kind, product = Linear, ops.MatMul()

    def forward(self, x: Tensor) -> Tensor:
        check_features("Linear", x, self.in_features)
        return self.apply(x)


class AdaptedEmbedding(Adapted, Embedding):
    """y = W[ids] + s A[ids] B, ids of any shape: an Embedding with adapters."""

    kind, product = Embedding, ops.Embed()

    def forward(self, x: Tensor) -> Tensor:
        return self.apply(x)


class _AdaptedImages(Adapted):
    """y = conv(x, W) + b + s conv(dropout(x), A) B, the last product over channels; x (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        check_features(self.kind.__name__, x, self.in_channels, axis=1, ndim=4)  # type: ignore[attr-defined]
        return ops.permute(self.apply(ops.permute(x, (0, 2, 3, 1))), (0, 3, 1, 2))

    @property
    def product(self) -> Bilinear:  # type: ignore[override]
        return ops.Conv(self.stride, self.padding)  # type: ignore[attr-defined]


class AdaptedConv(_AdaptedImages, Conv):
    """A Conv with adapters; x (B, C, H, W)."""

    kind = Conv


class AdaptedConv2d(_AdaptedImages, Conv2d):
    """A Conv2d, of one group and without dilation, with adapters; x (B, C, H, W)."""

    kind = Conv2d


KINDS: dict[type[Module], type[Adapted]] = {
    each.kind: each for each in (AdaptedLinear, AdaptedEmbedding, AdaptedConv, AdaptedConv2d)
}


def adaptable(module: Module) -> bool:
    """Whether a layer can be adapted: one of KINDS, convolutions if all outputs see all channels, without dilation."""
    if isinstance(module, Adapted):
        return True
    plain = getattr(module, "groups", 1) == 1 and getattr(module, "dilation", 1) == 1
    return type(module) in KINDS and plain
