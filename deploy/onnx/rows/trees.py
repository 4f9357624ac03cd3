"""ai.onnx.ml: ensembles of trees, in their older form (parallel lists) and the newer one."""

from __future__ import annotations

import numpy

from ...ir import Node
from .. import make
from ..at import At
from ..make import Unsupported, add, apply, const
from ..ops import MODES, Trees
from ..row import Refused, Row
from .learned import above, classes, labels, named_classes, post, two_classes


def trees(at: At, x: Node, prefix: str, targets: int) -> Node:
    """The sums of leaves of an ensemble in the older form: parallel lists of nodes, and of (node, target, weight)."""
    ids, tree = at.get("nodes_nodeids"), at.get("nodes_treeids")
    at_of = {(t, n): i for i, (t, n) in enumerate(zip(tree, ids, strict=True))}
    modes = [MODES.index(m) if m != "LEAF" else -1 for m in at.get("nodes_modes")]
    values = at.get("nodes_values_as_tensor", None)
    values = numpy.array(at.get("nodes_values"), "float32") if values is None else values
    inner = [i for i, m in enumerate(modes) if m >= 0]
    yes, no = numpy.zeros(len(ids), "int64"), numpy.zeros(len(ids), "int64")
    for i in inner:
        yes[i] = at_of[tree[i], at.get("nodes_truenodeids")[i]]
        no[i] = at_of[tree[i], at.get("nodes_falsenodeids")[i]]
    missing = at.get("nodes_missing_value_tracks_true") or [0] * len(ids)
    inside = {*yes[inner], *no[inner]}
    roots = [i for i in range(len(ids)) if i not in inside]
    weights = at.get(f"{prefix}_weights_as_tensor", None)
    weights = numpy.array(at.get(f"{prefix}_weights"), "float64") if weights is None else weights
    if not all(0 <= i < targets for i in at.get(f"{prefix}_ids")):
        raise Unsupported(f"'{prefix}_ids' must be in 0..{targets - 1}")
    rows: dict[int, list[tuple[int, float]]] = {}
    columns = (at.get(f"{prefix}_{name}") for name in ("treeids", "nodeids", "ids"))
    places = zip(*columns, weights, strict=True)
    for t, n, target, value in places:
        rows.setdefault(at_of[t, n], []).append((target, float(value)))
    start, stop = numpy.zeros(len(ids), "int64"), numpy.zeros(len(ids), "int64")
    target_of: list[int] = []
    weight_of: list[float] = []
    for i in range(len(ids)):
        start[i] = len(target_of)
        for target, value in rows.get(i, ()):
            target_of.append(target)
            weight_of.append(value)
        stop[i] = len(target_of)
    arrays = (numpy.array(at.get("nodes_featureids")), numpy.array(modes), values, yes, no, numpy.array(missing),
              numpy.array(roots), start, stop, numpy.array(target_of, "int64"), numpy.array(weight_of))  # fmt: skip
    op = Trees(targets, at.get("aggregate_function", "SUM"))
    return apply(op, x, *map(const, arrays))


def _trees_regressor(at: At, x: Node) -> Node:
    y, base = trees(at, x, "target", at.get("n_targets", 1)), _base(at)
    return post(at.get("post_transform", "NONE"), add(y, const(base)) if base.size else y)


def _base(at: At) -> numpy.ndarray:
    """What is added to the sums of the leaves; nothing where it is left out."""
    given = at.get("base_values_as_tensor")
    return numpy.array(at.get("base_values") or () if given is None else given.reshape(-1), dtype="float32")


def _trees_classifier(at: At, x: Node) -> tuple[Node, Node]:
    """(labels, scores); where leaves score but one of two classes, as ONNX Runtime has it."""
    ids, base, count = set(at.get("class_ids")), _base(at), len(named_classes(at))
    y = trees(at, x, "class", count or max(ids) + 1)
    if count != 2 or len(ids) == 2:
        if base.size not in (0, y.shape[1]):
            raise Unsupported(f"'base_values' must hold a number for each of {y.shape[1]} classes, got {base.size}")
        return classes(at, add(y, const(base)) if base.size else y)
    if base.size > 1 or (base.size and ids == {1}):
        raise Unsupported("base values where one of two classes has scores, which runtimes do not agree on")
    weights = at.get("class_weights_as_tensor")
    positive = min(at.get("class_weights") if weights is None else weights.reshape(-1)) >= 0
    edge, score = 0.5 if positive else 0.0, make.index(y, 1, (min(ids), min(ids) + 1, 1))
    if ids == {1}:
        return labels(at, above(score, edge), 2), post(at.get("post_transform", "NONE"), y)
    return two_classes(at, add(score, const(base)) if base.size else score, edge, 1.0 if positive else 0.0)


def _tree_ensemble(at: At, x: Node) -> Node:
    """The newer form: inner nodes and leaves in two lists."""
    modes, splits = at.get("nodes_modes").reshape(-1).astype(int), at.get("nodes_splits")
    features, n = at.get("nodes_featureids"), len(modes)
    leaf_weights, leaf_targets = at.get("leaf_weights").reshape(-1), at.get("leaf_targetids")
    total = n + len(leaf_weights)
    side = {}
    for word in ("true", "false"):
        ids, leaf = at.get(f"nodes_{word}nodeids"), at.get(f"nodes_{word}leafs")
        side[word] = [i + n if f else i for i, f in zip(ids, leaf, strict=True)] + [0] * (total - n)
    members: list[tuple[float, ...]] = []
    values = splits.reshape(-1).astype("float64").copy()
    sets = at.get("membership_values")
    if sets is not None:
        groups: list[list[float]] = [[]]
        for v in sets.reshape(-1).tolist():
            if v != v:
                groups.append([])
            else:
                groups[-1].append(v)
        rest = iter(groups)
        for i in numpy.flatnonzero(modes == 6):
            values[i] = len(members)
            members.append(tuple(next(rest, ())))
    missing = at.get("nodes_missing_value_tracks_true") or [0] * n
    pad = numpy.zeros(total - n)
    roots = at.get("tree_roots")
    arrays = (
        numpy.array([*features, *pad]).astype(int), numpy.array([*modes, *(pad - 1)]).astype(int),
        numpy.array([*values, *pad]).astype(splits.dtype), numpy.array(side["true"]), numpy.array(side["false"]),
        numpy.array([*missing, *pad]).astype(int), numpy.array(roots),
        numpy.array([*[0] * n, *range(total - n)]), numpy.array([*[0] * n, *range(1, total - n + 1)]),
        numpy.array(leaf_targets), leaf_weights.astype("float64"),
    )  # fmt: skip
    # a root that is a leaf is written as a node both of whose sides are that leaf
    aggregate = ("AVERAGE", "SUM", "MIN", "MAX")[at.get("aggregate_function", 1)]
    op = Trees(at.get("n_targets", 1), aggregate, str(splits.dtype), tuple(members))
    y = apply(op, x, *map(const, arrays))
    posts = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
    return post(posts[at.get("post_transform", 0)], y)


ROWS: dict[str, Row | Refused] = {
    "ai.onnx.ml.TreeEnsembleRegressor": Row(_trees_regressor),
    "ai.onnx.ml.TreeEnsembleClassifier": Row(_trees_classifier),
    "ai.onnx.ml.TreeEnsemble": Row(_tree_ensemble),
}
