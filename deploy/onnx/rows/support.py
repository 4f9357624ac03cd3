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


def _floats(at: At, name: str, count: int | None = None) -> Any:
    """The numbers of an attribute. Raises Unsupported unless there are `count`."""
    found = numpy.array(at.get(name) or (), dtype="float32")
    if count is not None and len(found) != count:
        raise Unsupported(f"'{name}' must hold {count} numbers, got {len(found)}")
    return found


def _products(at: At, x: Node, count: int, weights: Any) -> Node:
    """sum_v k(x, s_v) weights[v, j] over `count` support vectors s; without any, the linear x weights"""
    x = cast(x, "float32")
    if count:
        gamma, offset, degree = at.get("kernel_params") or (0.0, 0.0, 0.0)
        vectors = const(_floats(at, "support_vectors", count * int(x.shape[1])).reshape(count, -1))
        x = apply(Kernels(at.get("kernel_type", "LINEAR"), gamma, offset, degree), x, vectors)
    return make.matmul(x, const(weights))


def _regressor(at: At, x: Node) -> Node:
    count = at.get("n_supports", 0)
    weights = _floats(at, "coefficients", count or int(x.shape[1])).reshape(-1, 1)
    y = add(_products(at, x, count, weights), const(_floats(at, "rho", 1)))
    if at.get("one_class", 0):
        return cast(make.where(apply(ops.Greater(), y, make.like(y, 0)), make.like(y, 1), make.like(y, -1)), "float32")
    return post(at.get("post_transform", "NONE"), y)


def _classifier(at: At, x: Node) -> tuple[Node, Node]:
    """(labels, scores): scores of the pairs of classes, or probabilities of the classes where those were fitted."""
    names = at.get("classlabels_strings") or at.get("classlabels_ints") or (0,)
    if sum(at.get("vectors_per_class") or ()):
        pairs = _scores_of_pairs(at, x, len(names))
        ranked = _votes(pairs, len(names))
        scores = _probabilities(at, pairs, len(names)) if at.get("prob_a") else pairs
    else:
        weights = _floats(at, "coefficients", len(names) * int(x.shape[1])).reshape(len(names), -1)
        ranked = scores = add(_products(at, x, 0, weights.T), const(_floats(at, "rho")[:1]))
    labels = _labels(at, names, ranked)
    if scores.shape[1] == 1 and len(names) == 2:
        if "SOFTMAX" in at.get("post_transform", "NONE"):
            raise Unsupported("the softmax of one score, which runtimes do not agree on")
        scores = make.concat([apply(ops.Negate(), scores), scores], 1)
    return labels, post(at.get("post_transform", "NONE"), scores)


def _scores_of_pairs(at: At, x: Node, classes: int) -> Node:
    sizes = at.get("vectors_per_class")
    vectors, pairs = sum(sizes), classes * (classes - 1) // 2
    if len(sizes) != classes or min(sizes) < 0 or classes < 2:
        raise Unsupported(f"'vectors_per_class' must hold a count for each of {classes} classes, of 2 or more")
    if pairs * max(vectors, classes) > make.MAX_FOLDED:
        raise Unsupported(f"{pairs} pairs of {classes} classes and {vectors} support vectors are too many")
    weights = _floats(at, "coefficients", (classes - 1) * vectors).reshape(classes - 1, vectors)
    return add(_products(at, x, vectors, _of_pairs(weights, sizes)), const(_floats(at, "rho", pairs)))


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
    first, second = numpy.triu_indices(classes, 1)
    sign = numpy.zeros((len(first), classes), dtype="float32")
    sign[range(len(first)), first], sign[range(len(first)), second] = 1, -1
    won = cast(apply(ops.Greater(), scores, make.like(scores, 0)), "float32")
    return add(make.matmul(won, const(sign)), const(numpy.arange(classes, dtype="float32")))  # the second of so many


def _probabilities(at: At, scores: Node, classes: int) -> Node:
    """Of the classes, from those of the pairs: 1 / (1 + exp(a s + b)) for the first of a pair with the score s."""
    pairs = classes * (classes - 1) // 2
    line = add(mul(scores, const(_floats(at, "prob_a", pairs))), const(_floats(at, "prob_b", pairs)))
    sure = apply(ops.Sigmoid(), apply(ops.Negate(), line))
    sure = apply(ops.Minimum(), apply(ops.Maximum(), sure, make.like(sure, CERTAIN)), make.like(sure, 1 - CERTAIN))
    return apply(PairwiseCoupling(classes), sure)


def _labels(at: At, names: Any, ranked: Node) -> Node:
    """Those of the highest votes or scores; of one class, whether its score is above 0."""
    best, place = apply(ops.Max((1,)), ranked), apply(ops.ArgMax(1), ranked)
    if len(names) == 1 and not isinstance(names[0], int):
        raise Unsupported("one class with a name: what the others are called is not said")
    if len(names) == 1:
        return cast(apply(ops.Greater(), best, make.like(best, 0)), "int64")
    if len(names) == 2 and not sum(at.get("vectors_per_class") or ()):
        # as ONNX Runtime has it: any score that is high enough says the second class
        positive = min(at.get("coefficients")) >= 0
        test, edge = (ops.GreaterEqual(), 0.5) if positive else (ops.Greater(), 0.0)
        place = make.where(apply(test, best, make.like(best, edge)), make.like(place, 1), place)
    return apply(ops.Take(0), const(numpy.array(names, dtype="int64" if isinstance(names[0], int) else object)), place)


ROWS: dict[str, Row | Refused] = {
    "ai.onnx.ml.SVMRegressor": Row(_regressor),
    "ai.onnx.ml.SVMClassifier": Row(_classifier),
}
