"""Trees, linear and support vector models of ai.onnx.ml, and one step of an optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.types import Type

from .base import NumpyOp, NumpyTupleOp

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
AGGREGATES = {"SUM": "sum", "AVERAGE": "mean", "MIN": "min", "MAX": "max"}


@dataclass(frozen=True)
class Trees(NumpyOp):
    """y[n, k] = the sum (or mean, least, largest) over trees of what the leaf that row n of x reaches says of target k

    Nodes are numbered through all trees: `feature`, `mode`, `threshold`, `yes`, `no`, `missing` (whether NaN goes to
    yes); a leaf has mode -1 and says `says[start:stop]` of (target, weight). Mode 6 tests membership in `members`.
    """

    targets: int
    aggregate: str
    dtype: str = "float32"
    members: tuple[tuple[float, ...], ...] = ()

    def infer(self, x: Type, *nodes: Type) -> Type:
        if self.aggregate not in AGGREGATES or len(x.shape) not in (1, 2):
            raise ShapeError(f"[trees] needs rows of features and one of {', '.join(AGGREGATES)}, got {x.shape}")
        return Type((x.shape[0] if len(x.shape) == 2 else 1, self.targets), self.dtype)

    def value(self, x: Any, *nodes: Any) -> Any:
        feature, mode, threshold, yes, no, missing, roots, start, stop, target, weight = nodes
        rows = x.reshape(-1, x.shape[-1])
        at = numpy.broadcast_to(roots, (len(rows), len(roots))).copy()
        who = numpy.arange(len(rows))[:, None]
        for _ in range(len(feature) + 1):
            inner = mode[at] >= 0
            if not inner.any():
                break
            goes = self._goes(rows[who, numpy.where(inner, feature[at], 0)], mode[at], threshold[at], missing[at])
            at = numpy.where(inner, numpy.where(goes, yes[at], no[at]), at)
        found = numpy.zeros((len(rows), len(roots), self.targets))
        seen = numpy.zeros(found.shape, dtype=bool)
        for n in range(len(rows)):
            for t in range(len(roots)):
                for i in range(start[at[n, t]], stop[at[n, t]]):
                    found[n, t, target[i]] += weight[i]
                    seen[n, t, target[i]] = True
        if self.aggregate == "MIN":
            return numpy.where(seen, found, numpy.inf).min(1, initial=numpy.inf).astype(self.dtype)
        if self.aggregate == "MAX":
            return numpy.where(seen, found, -numpy.inf).max(1, initial=-numpy.inf).astype(self.dtype)
        return getattr(found, AGGREGATES[self.aggregate])(1).astype(self.dtype)

    def _goes(self, v: Any, mode: Any, t: Any, missing: Any) -> Any:
        tests = [v <= t, v < t, v >= t, v > t, v == t, v != t]
        if self.members:
            sets = numpy.zeros(v.shape, dtype=bool)
            for index in numpy.ndindex(*v.shape):
                if mode[index] == 6:
                    sets[index] = float(v[index]) in self.members[int(t[index])]
            tests.append(sets)
        goes = numpy.select([mode == i for i in range(len(tests))], tests, False)
        return numpy.where(numpy.isnan(v.astype("float64")), missing.astype(bool), goes)


@dataclass(frozen=True)
class Kernels(NumpyOp):
    """y[n, j] = k(x_n, s_j) with support vectors s: linear, polynomial (gamma x.s + c)^degree, rbf, sigmoid"""

    kind: str
    gamma: float
    offset: float
    degree: float

    def infer(self, x: Type, support: Type) -> Type:
        if self.kind not in ("LINEAR", "POLY", "RBF", "SIGMOID"):
            raise ShapeError(f"[kernels] the kernel must be LINEAR, POLY, RBF or SIGMOID, got {self.kind!r}")
        if len(x.shape) != 2 or len(support.shape) != 2 or x.shape[1] != support.shape[1]:
            raise ShapeError(f"[kernels] needs rows of as many features as support vectors, got {x} and {support}")
        return Type((x.shape[0], support.shape[0]), "float32")

    def value(self, x: Any, support: Any) -> Any:
        x, s = x.astype("float64"), support.astype("float64")
        product = x @ s.T
        match self.kind:
            case "RBF":
                apart = (x * x).sum(1)[:, None] + (s * s).sum(1) - 2 * product
                y = numpy.exp(-self.gamma * apart)
            case "POLY":
                y = (self.gamma * product + self.offset) ** self.degree
            case "SIGMOID":
                y = numpy.tanh(self.gamma * product + self.offset)
            case _:
                y = product
        return y.astype("float32")


@dataclass(frozen=True)
class PairwiseCoupling(NumpyOp):
    """p[n], the probabilities of classes that agree best with those of pairs, r[n, (i, j)] = P(i | i or j), i < j

    The least sum over pairs of (r_ji p_i - r_ij p_j)^2 with sum p = 1, by libsvm's iteration: its steps, and where it
    ends. Source: Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling", 2004.
    """

    classes: int

    def infer(self, pairs: Type) -> Type:
        if pairs.shape[1] != self.classes * (self.classes - 1) // 2:
            raise ShapeError(f"[pairwise_coupling] {self.classes} classes have other pairs than {pairs.shape}")
        return Type((pairs.shape[0], self.classes), pairs.dtype)

    def value(self, pairs: Any) -> Any:
        k, n = self.classes, len(pairs)
        r = numpy.zeros((n, k, k))
        i, j = numpy.triu_indices(k, 1)
        r[:, i, j], r[:, j, i] = pairs, 1 - pairs.astype("float64")
        q = -r * r.swapaxes(1, 2)
        q[:, range(k), range(k)] = (r * r).sum(1)
        p = numpy.full((n, k), 1 / k)
        for _ in range(max(100, k)):
            qp = numpy.einsum("nij,nj->ni", q, p)
            pqp = (p * qp).sum(1)
            open = abs(qp - pqp[:, None]).max(1) >= 0.005 / k
            if not open.any():
                break
            for t in range(k):
                step = numpy.where(open, (pqp - qp[:, t]) / q[:, t, t], 0)
                pqp = (pqp + step * (step * q[:, t, t] + 2 * qp[:, t])) / (1 + step) ** 2
                p[:, t] += step
                p /= 1 + step[:, None]
                qp = (qp + step[:, None] * q[:, t]) / (1 + step[:, None])
        return p.astype(pairs.dtype)


@dataclass(frozen=True)
class Step(NumpyTupleOp):
    """(x, state...) after one step of an optimizer: "Adagrad", "Adam" or "Momentum" of ai.onnx.preview.training"""

    kind: str
    alpha: float = 0.0
    beta: float = 0.0
    epsilon: float = 0.0
    decay: float = 0.0  # of the rate
    norm: float = 0.0
    norm_after: float = 0.0
    nesterov: bool = False

    def infer(self, rate: Type, count: Type, *tensors: Type) -> tuple[Type, ...]:
        n = {"Adagrad": 3, "Adam": 4, "Momentum": 3}[self.kind]
        k = len(tensors) // n
        return (*tensors[:k], *tensors[2 * k :])

    def value(self, rate: Any, count: Any, *tensors: Any) -> Any:
        n = {"Adagrad": 3, "Adam": 4, "Momentum": 3}[self.kind]
        k = len(tensors) // n
        rows = [[tensors[i + j * k] for j in range(n)] for i in range(k)]
        made = [getattr(self, f"_{self.kind.lower()}")(float(rate), int(count), *row) for row in rows]
        return tuple(numpy.asarray(made[i][j], dtype=tensors[i].dtype) for j in range(n - 1) for i in range(k))

    def _adagrad(self, rate: float, count: int, x: Any, g: Any, h: Any) -> tuple[Any, ...]:
        rate, g = rate / (1 + count * self.decay), self.norm * x + g
        h = h + g * g
        return x - rate * g / (numpy.sqrt(h) + self.epsilon), h

    def _adam(self, rate: float, count: int, x: Any, g: Any, v: Any, h: Any) -> tuple[Any, ...]:
        g = self.norm * x + g
        v, h = self.alpha * v + (1 - self.alpha) * g, self.beta * h + (1 - self.beta) * g * g
        if count > 0:
            rate = rate * numpy.sqrt(1 - self.beta**count) / (1 - self.alpha**count)
        x = x - rate * v / (numpy.sqrt(h) + self.epsilon)
        return (1 - self.norm_after) * x, v, h

    def _momentum(self, rate: float, count: int, x: Any, g: Any, v: Any) -> tuple[Any, ...]:
        g = self.norm * x + g
        v = self.alpha * v + (self.beta if count > 0 else 1.0) * g
        return x - rate * (g + self.alpha * v if self.nesterov else v), v
