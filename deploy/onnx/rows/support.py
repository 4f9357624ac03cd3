"""ai.onnx.ml: support vector machines, of libsvm (each pair of classes votes) and of liblinear (a score for each)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..make import Unsupported, add, apply, cast, const, mul
from ..ops import Kernels, PairwiseCoupling
from ..row import Refused, Row
from .learned import post

CERTAIN = 1e-7  # no pair is surer than this, as libsvm has it


def _floats(at: At, name: str) -> Any:
    return numpy.array(at.get(name) or (), dtype="float32")


def _products(at: At, x: Node, count: int, weights: Any) -> Node:
    """sum_v k(x, s_v) weights[v, j] over `count` support vectors s; without any, the linear x weights"""
    x = cast(x, "float32")
    if count:
        gamma, offset, degree = at.get("kernel_params") or (0.0, 0.0, 0.0)
        vectors = const(_floats(at, "support_vectors").reshape(count, -1))
        x = apply(Kernels(at.get("kernel_type", "LINEAR"), gamma, offset, degree), x, vectors)
    return make.matmul(x, const(weights))


def _regressor(at: At, x: Node) -> Node:
    weights = _floats(at, "coefficients").reshape(-1, 1)
    y = add(_products(at, x, at.get("n_supports", 0), weights), const(_floats(at, "rho")))
    if at.get("one_class", 0):
        return cast(make.where(apply(ops.Greater(), y, make.like(y, 0)), make.like(y, 1), make.like(y, -1)), "float32")
    return post(at.get("post_transform", "NONE"), y)


def _classifier(at: At, x: Node) -> tuple[Node, Node]:
    """(labels, scores): scores of the pairs of classes, or probabilities of the classes where those were fitted."""
    names = at.get("classlabels_strings") or at.get("classlabels_ints") or (0,)
    sizes, weights, rho = at.get("vectors_per_class") or (), _floats(at, "coefficients"), _floats(at, "rho")
    if sizes:
        pairs = add(_products(at, x, sum(sizes), _of_pairs(weights.reshape(-1, sum(sizes)), sizes)), const(rho))
        ranked = _votes(pairs, len(names))
        scores = _probabilities(at, pairs, len(names)) if at.get("prob_a") else pairs
    else:
        ranked = scores = add(_products(at, x, 0, weights.reshape(len(names), -1).T), const(rho[:1]))
    labels = _labels(at, names, ranked)
    if scores.shape[1] == 1 and len(names) == 2:
        if "SOFTMAX" in at.get("post_transform", "NONE"):
            raise Unsupported("the softmax of one score, which runtimes do not agree on")
        scores = make.concat([apply(ops.Negate(), scores), scores], 1)
    return labels, post(at.get("post_transform", "NONE"), scores)


def _of_pairs(coefficients: Any, sizes: Any) -> Any:
    """(vectors, pairs): of classes i < j, row j - 1 of libsvm's is what vectors of i say, row i what those of j do."""
    stops = numpy.cumsum(sizes)
    own = [slice(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    pairs = list(combinations(range(len(sizes)), 2))
    found = numpy.zeros((int(stops[-1]), len(pairs)), dtype="float32")
    for column, (i, j) in enumerate(pairs):
        found[own[i], column] = coefficients[j - 1, own[i]]
        found[own[j], column] = coefficients[i, own[j]]
    return found


def _votes(scores: Node, classes: int) -> Node:
    """How many pairs each class wins: the first of a pair those above 0, the second the others."""
    pairs = list(combinations(range(classes), 2))
    first, second = (numpy.eye(classes, dtype="float32")[[pair[side] for pair in pairs]] for side in (0, 1))
    won = cast(apply(ops.Greater(), scores, make.like(scores, 0)), "float32")
    return add(make.matmul(won, const(first - second)), const(second.sum(0)))


def _probabilities(at: At, scores: Node, classes: int) -> Node:
    """Of the classes, from those of the pairs: 1 / (1 + exp(a s + b)) for the first of a pair with the score s."""
    line = add(mul(scores, const(_floats(at, "prob_a"))), const(_floats(at, "prob_b")))
    sure = apply(ops.Sigmoid(), apply(ops.Negate(), line))
    sure = apply(ops.Minimum(), apply(ops.Maximum(), sure, make.like(sure, CERTAIN)), make.like(sure, 1 - CERTAIN))
    return apply(PairwiseCoupling(classes), sure)


def _labels(at: At, names: Any, ranked: Node) -> Node:
    """Those of the highest votes or scores; of one class, whether its score is above 0."""
    best, place = apply(ops.Max((1,)), ranked), apply(ops.ArgMax(1), ranked)
    if len(names) == 1:
        return cast(apply(ops.Greater(), best, make.like(best, 0)), "int64")
    if len(names) == 2 and not at.get("vectors_per_class"):
        # as ONNX Runtime has it: any score that is high enough says the second class
        positive = min(at.get("coefficients")) >= 0
        test, edge = (ops.GreaterEqual(), 0.5) if positive else (ops.Greater(), 0.0)
        place = make.where(apply(test, best, make.like(best, edge)), make.like(place, 1), place)
    return apply(ops.Take(0), const(numpy.array(names, dtype="int64" if isinstance(names[0], int) else object)), place)


ROWS: dict[str, Row | Refused] = {
    "ai.onnx.ml.SVMRegressor": Row(_regressor),
    "ai.onnx.ml.SVMClassifier": Row(_classifier),
}
