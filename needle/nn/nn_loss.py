"""Losses as modules. `reduction` says what becomes of one loss for each element or row: their "mean", "sum", or "none".

A mean or sum has shape () in numpy mode and (1,) otherwise. Prediction and target must have one shape: they are never
broadcast, which would quietly compare everything with everything.
"""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..autograd import Tensor
from ..errors import NeedleError, ShapeError
from ..types import NUMBERS, plain_number
from .module import Module

__all__ = [
    "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss",
]  # fmt: skip


class _Loss(Module):
    """What the losses share: the reduction."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
            raise NeedleError(f"[{self._name}] reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.reduction = reduction

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _reduced(self, losses: Tensor) -> Tensor:
        if self.reduction == "none":
            return losses
        return ops.mean(losses) if self.reduction == "mean" else ops.summation(losses)

    def _same_shape(self, prediction: Tensor, target: Tensor) -> None:
        """Refuse what numpy would broadcast."""
        given, wanted = tuple(prediction.shape), tuple(target.shape)
        if given == wanted:
            return
        fix = ""
        if math.prod(given) == math.prod(wanted):
            fix = f"; if they mean the same, target.reshape({given})"
        raise ShapeError(f"[{self._name}] prediction and target must have one shape, got {given} and {wanted}{fix}")

    def _difference(self, prediction: Tensor, target: Tensor) -> Tensor:
        """prediction - target, of one shape."""
        self._same_shape(prediction, target)
        return prediction - target


class MSELoss(_Loss):
    """loss = (prediction - target)^2, prediction and target of one shape; another one raises ShapeError."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self._same_shape(prediction, target)
        return self._reduced(ops.squared_difference(prediction, target))


class L1Loss(_Loss):
    """loss = |prediction - target|, prediction and target of one shape; another one raises ShapeError."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self._reduced(ops.absolute(self._difference(prediction, target)))


class HuberLoss(_Loss):
    """loss = d^2 / 2 where d = |prediction - target| <= delta, else delta (d - delta / 2); delta 1 is smooth L1.

    Prediction and target of one shape; another one raises ShapeError, a delta that is not positive NeedleError.
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = plain_number(delta)
        if not self.delta > 0:
            raise NeedleError(f"[HuberLoss] delta must be positive, got {delta}")

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self._reduced(ops.huber(self._difference(prediction, target), self.delta))


class BCEWithLogitsLoss(_Loss):
    """loss = -w y log s(x) - (1 - y) log(1 - s(x)), s the sigmoid, x the logits, y the target, w `pos_weight`.

    Computed as softplus(x) - x y, which no x overflows. `pos_weight`, a number or a Tensor that broadcasts, is what a
    target of 1 counts more than one of 0. Raises ShapeError unless logits and target have one shape.
    """

    def __init__(self, pos_weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.pos_weight = pos_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self._same_shape(logits, target)
        losses = ops.softplus(logits) - logits * target
        if self.pos_weight is not None:
            weight = self.pos_weight - 1
            losses = losses + target * ops.softplus(-logits) * weight
        return self._reduced(losses)


class NLLLoss(_Loss):
    """loss = -logp[label], of log-probabilities (N, C) or (N, C, ...) and labels (N,) or (N, ...) in 0..C-1.

    What has the label `ignore_index` counts for nothing; the mean is over the others, and 0 if there are none. As an
    index of numpy, a label in -C..-1 counts from the last class: if -1 means no class, say `ignore_index=-1`. Raises
    ShapeError for other shapes, IndexRangeError for other labels.
    """

    def __init__(self, ignore_index: int | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.ignore_index = plain_number(ignore_index)

    def forward(self, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        rows, flat = _rows(self._name, log_probabilities, labels)
        counts = None if self.ignore_index is None else ops.not_equal(flat, self.ignore_index)
        indices = flat if counts is None else ops.where(counts, flat, 0)
        losses = -ops.gather(rows, indices.reshape((-1, 1)), 1).reshape(flat.shape)
        if counts is not None:
            losses = ops.where(counts, losses, 0.0)
        if self.reduction == "none":
            return losses.reshape(labels.shape)
        total = ops.summation(losses)
        return total if self.reduction == "sum" else total / max(1, _true(flat.shape[0], counts))


class CrossEntropyLoss(_Loss):
    """loss = -sum over classes of t log softmax(x), t = (1 - s) target + s / C, s = `smoothing`.

    Logits x (N, C) or (N, C, ...). The target is either the labels, whole numbers in 0..C-1 of the shape of x without
    its axis 1, or probabilities of the shape of x. Labels that are `ignore_index` count for nothing; the mean is over
    the others, and 0 if there are none. Raises ShapeError for other shapes, NeedleError for a smoothing outside [0, 1]
    or an `ignore_index` beside probabilities, IndexRangeError for other labels.
    """

    def __init__(self, smoothing: float = 0.0, ignore_index: int | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.smoothing = plain_number(smoothing)
        if not isinstance(self.smoothing, NUMBERS) or not 0 <= self.smoothing <= 1:
            raise NeedleError(f"[CrossEntropyLoss] smoothing must lie in [0, 1], got {smoothing}")
        self.ignore_index = plain_number(ignore_index)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if tuple(target.shape) == tuple(logits.shape) and len(logits.shape) > 1:
            return self._of_probabilities(logits, target)
        rows, labels = _rows(self._name, logits, target)
        losses = ops.cross_entropy(rows, labels, self.smoothing, self.ignore_index, self.reduction)
        return losses.reshape(target.shape) if self.reduction == "none" else losses

    def _of_probabilities(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.ignore_index is not None:
            raise NeedleError("[CrossEntropyLoss] ignore_index is for labels; give probabilities no row to be ignored")
        logs, share = ops.logsoftmax(_classes_last(logits)), _classes_last(target)
        if self.smoothing:
            share = share * (1 - self.smoothing) + self.smoothing / logits.shape[1]
        return self._reduced(-ops.summation(share * logs, len(logs.shape) - 1))


class KLDivLoss(_Loss):
    """loss = p (log p - q), of log-probabilities q and probabilities p of one shape; 0 where p is 0.

    "batchmean", the default, is the sum divided by the size of axis 0: the divergence of each row, on average.
    Raises ShapeError for two shapes, and for shape () in that mean.
    """

    def __init__(self, reduction: str = "batchmean") -> None:
        self.batchmean = isinstance(reduction, str) and reduction == "batchmean"
        super().__init__("sum" if self.batchmean else reduction)

    def forward(self, log_prediction: Tensor, target: Tensor) -> Tensor:
        self._same_shape(log_prediction, target)
        if self.batchmean and not target.shape:
            raise ShapeError("[KLDivLoss] the mean over a batch needs at least one axis, got shape ()")
        some = target > 0
        entropy = ops.where(some, target * ops.log(ops.where(some, target, 1.0)), 0.0)
        loss = self._reduced(entropy - target * log_prediction)
        return loss / max(1, int(target.shape[0])) if self.batchmean else loss


def _rows(where: str, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (N, C, ...) as rows of classes, and the label of each."""
    shape, given = tuple(scores.shape), tuple(labels.shape)
    if len(shape) < 2 or given != (shape[0], *shape[2:]):
        wanted = f"labels {(shape[0], *shape[2:])} or probabilities {shape}" if len(shape) > 1 else "logits (N, C, ...)"
        raise ShapeError(f"[{where}] needs {wanted}, got logits {shape} and target {given}")
    if len(shape) == 2:
        return scores, labels
    return _classes_last(scores).reshape((-1, shape[1])), labels.reshape((-1,))


def _classes_last(x: Tensor) -> Tensor:
    """(N, C, ...) as (N, ..., C): a view."""
    return ops.permute(x, (0, *range(2, len(x.shape)), 1)) if len(x.shape) > 2 else x


def _true(size: int, mask: Tensor | None) -> int:
    """How many are true; all of them without a mask."""
    return int(size) if mask is None else int(mask.numpy().sum())
