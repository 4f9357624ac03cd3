"""Signals, strings, and the classical models of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..dtypes import NAMES
from ..make import Unsupported, add, apply, axis_of, cast, const, mul, reshape
from ..ops import (
    DFT,
    MODES,
    STFT,
    Kernels,
    LabelEncoder,
    RegexFullMatch,
    Step,
    StringConcat,
    StringNormalizer,
    StringSplit,
    TfIdfVectorizer,
    Trees,
    mel_weights,
)  # fmt: skip
from ..row import Refused, Row


def _dft(at: At, x: Node, length: Node | None = None, axis: Node | None = None) -> Node:
    place = int(at.number(axis, "axis", -2)) if at.opset >= 20 else at.get("axis", 1)
    place = axis_of(place, len(x.shape))
    inverse, onesided = bool(at.get("inverse", 0)), bool(at.get("onesided", 0))
    n = x.shape[place] if not (onesided and inverse) else 2 * (x.shape[place] - 1)
    return apply(DFT(place, int(at.number(length, "dft_length", n)), inverse, onesided), x)


def _stft(at: At, x: Node, step: Node, window: Node | None = None, length: Node | None = None) -> Node:
    n = int(at.number(length, "frame_length", window.shape[0] if window is not None else x.shape[1]))
    op = STFT(int(at.number(step, "frame_step")), n, bool(at.get("onesided", 1)))
    return apply(op, x, *([] if window is None else [window]))


def _mel(at: At, *given: Node) -> Node:
    bins, length, rate, low, high = (at.number(v, name) for v, name in zip(given, (
        "num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"), strict=True))  # fmt: skip
    return const(mel_weights(int(bins), int(length), int(rate), low, high), NAMES[at.get("output_datatype", 1)])


def _window(*terms: float) -> Any:
    """A window of cosines: sum of (-1)^k terms[k] cos(2 pi k i / n)."""

    def read(at: At, size: Node) -> Node:
        n = int(at.number(size, "size"))
        wide = n if at.get("periodic", 1) else n - 1
        i = numpy.arange(n)
        y = sum((-1) ** k * t * numpy.cos(2 * numpy.pi * k * i / wide) for k, t in enumerate(terms))
        return const(y, NAMES[at.get("output_datatype", 1)])

    return read


def _normalizer(at: At, x: Node) -> Node:
    op = StringNormalizer(at.get("case_change_action", "NONE"), bool(at.get("is_case_sensitive", 0)),
                          tuple(at.get("stopwords") or ()), at.fresh("words"))  # fmt: skip
    return apply(op, x)


def _split(at: At, x: Node) -> tuple[Node, ...]:
    return make.items(StringSplit(at.get("delimiter", ""), at.get("maxsplit"), at.fresh("pieces")), x)


def _tfidf(at: At, x: Node) -> Node:
    pool = at.get("pool_int64s") or at.get("pool_strings") or ()
    op = TfIdfVectorizer(at.get("min_gram_length"), at.get("max_gram_length"), at.get("max_skip_count"),
                         at.get("mode"), tuple(at.get("ngram_counts")), tuple(at.get("ngram_indexes")), tuple(pool),
                         tuple(at.get("weights") or ()))  # fmt: skip
    return apply(op, x)


# -- ai.onnx.ml --------------------------------------------------------------------------------------------------------

KINDS = {"strings": ("object", "_Unused"), "int64s": ("int64", -1), "floats": ("float32", -0.0), "tensor": ("", None)}


def _labels(at: At, x: Node) -> Node:
    if "classes_strings" in at.attributes:
        names = tuple(at.get("classes_strings"))
        places = tuple(range(len(names)))
        if x.type.dtype == "object":
            return apply(LabelEncoder(names, places, at.get("default_int64", -1), "int64"), x)
        return apply(LabelEncoder(places, names, at.get("default_string", "_Unused"), "object"), x)
    sides: dict[str, tuple[Any, str]] = {}
    for side in ("keys", "values"):
        for kind, (dtype, _) in KINDS.items():
            if f"{side}_{kind}" in at.attributes:
                value = at.get(f"{side}_{kind}")
                flat = value.reshape(-1).tolist() if kind == "tensor" else list(value)
                sides[side] = tuple(flat), str(value.dtype) if kind == "tensor" else dtype
                word = kind
    (keys, _), (values, dtype) = sides["keys"], sides["values"]
    default: Any = at.get("default_tensor")
    if default is not None:
        default = default.reshape(-1)[0]
        default = default if isinstance(default, str) else default.item()
    else:
        fallback = {"object": ("default_string", "_Unused"), "int64": ("default_int64", -1)}
        default = at.get(*fallback.get(dtype, ("default_float", -0.0)))
    del word
    return apply(LabelEncoder(keys, values, default, dtype), x)


def _scaler(at: At, x: Node) -> Node:
    y = cast(x, "float32")
    offset, factor = (numpy.array(at.get(n), dtype="float32") for n in ("offset", "scale"))
    return mul(add(y, const(-offset)), const(factor))


def _normalize(at: At, x: Node) -> Node:
    y, axis = cast(x, "float32"), len(x.shape) - 1
    match at.get("norm", "MAX"):
        case "L1":
            norm = make.total(apply(ops.Abs(), y), (axis,), True)
        case "L2":
            norm = apply(ops.Sqrt(), make.total(mul(y, y), (axis,), True))
        case _:
            norm = apply(ops.Max((axis,), True), apply(ops.Abs(), y))
    zero = apply(ops.Equal(), norm, make.like(norm, 0))
    return make.div(y, make.where(zero, make.like(norm, 1), norm))


def _binarizer(at: At, x: Node) -> Node:
    return cast(apply(ops.Greater(), x, make.like(x, at.get("threshold", 0.0))), x.type.dtype)


def _features(at: At, x: Node, places: Node) -> Node:
    y = apply(ops.Take(len(x.shape) - 1), x, reshape(places, (-1,)))
    return reshape(y, (1, *y.shape)) if len(y.shape) == 1 else y


def _vectorizer(at: At, *inputs: Node) -> Node:
    return make.concat([cast(reshape(x, (x.shape[0], -1)), "float32") for x in inputs], 1)


def _imputer(at: At, x: Node) -> Node:
    floats = at.get("imputed_value_floats")
    new = const(numpy.array(floats or at.get("imputed_value_int64s")), x.type.dtype)
    old = at.get("replaced_value_float", 0.0) if floats else at.get("replaced_value_int64", 0)
    mask = apply(ops.IsNaN(), x) if old != old else apply(ops.Equal(), x, make.like(x, old))
    return make.where(mask, new, x)


def _one_hot(at: At, x: Node) -> Node:
    names = at.get("cats_int64s") or at.get("cats_strings")
    places = apply(LabelEncoder(tuple(names), tuple(range(len(names))), -1, "int64"), x)
    wide = reshape(places, (*places.shape, 1))
    return cast(apply(ops.Equal(), wide, const(numpy.arange(len(names)))), "float32")


def _linear(at: At, x: Node) -> Node:
    weights = numpy.array(at.get("coefficients"), dtype="float32")
    n = at.get("targets", 1)
    y = make.matmul(cast(x, "float32"), const(weights.reshape(n, -1).T))
    shift = at.get("intercepts")
    y = y if shift is None else add(y, const(numpy.array(shift, dtype="float32")))
    return _post(at.get("post_transform", "NONE"), y)


def _post(kind: str, y: Node) -> Node:
    match kind:
        case "NONE":
            return y
        case "LOGISTIC":
            return apply(ops.Sigmoid(), y)
        case "SOFTMAX":
            return apply(ops.Softmax(), y)
        case "SOFTMAX_ZERO":
            zero = apply(ops.Equal(), y, make.like(y, 0))
            masked = make.where(zero, make.like(y, -1e30), y)
            return make.where(zero, make.like(y, 0), apply(ops.Softmax(), masked))
    raise Unsupported(f"post_transform {kind}")


def _classes(at: At, scores: Node, binary: Any = None) -> tuple[Node, Node]:
    """(labels, scores): the class of the largest score; of one score, two classes."""
    names = at.get("classlabels_strings") or at.get("classlabels_ints") or at.get("classlabels_int64s")
    if names is None:
        names = tuple(range(scores.shape[1]))
    kind = at.get("post_transform", "NONE")
    if scores.shape[1] == 1 and len(names) == 2:
        edge = 0.5 if binary is None else binary
        chosen = cast(apply(ops.Greater(), reshape(scores, (scores.shape[0],)), make.like(scores, edge)), "int64")
        if kind == "LOGISTIC":
            y = apply(ops.Sigmoid(), scores)
            both = make.concat([make.sub(make.like(y, 1), y), y], 1)
        elif kind == "NONE":
            other = make.sub(make.like(scores, 1), scores) if edge == 0.5 else apply(ops.Negate(), scores)
            both = make.concat([other, scores], 1)
        else:
            both = _post(kind, make.concat([apply(ops.Negate(), scores), scores], 1))
    else:
        chosen, both = apply(ops.ArgMax(1), scores), _post(kind, scores)
    table = const(numpy.array(names, dtype="int64" if isinstance(names[0], int) else object))
    return apply(ops.Take(0), table, chosen), both


def _linear_classes(at: At, x: Node) -> tuple[Node, Node]:
    shift = at.get("intercepts") or (0.0,)
    n = len(shift)
    weights = numpy.array(at.get("coefficients"), dtype="float32").reshape(n, -1)
    scores = add(make.matmul(cast(x, "float32"), const(weights.T)), const(numpy.array(shift, dtype="float32")))
    return _classes(at, scores, 0.0 if at.get("post_transform", "NONE") != "NONE" else 0.5)


def _support(at: At, x: Node) -> Node:
    kind = at.get("kernel_type", "LINEAR")
    gamma, offset, degree = at.get("kernel_params") or (0.0, 0.0, 0.0)
    shift = const(numpy.array(at.get("rho"), dtype="float32"))
    coefficients = numpy.array(at.get("coefficients"), dtype="float32")
    count = at.get("n_supports", 0)
    if count:
        vectors = numpy.array(at.get("support_vectors"), dtype="float32").reshape(count, -1)
        near = apply(Kernels(kind, gamma, offset, degree), cast(x, "float32"), const(vectors))
        y = make.matmul(near, const(coefficients.reshape(-1, 1)))
    else:
        y = make.matmul(cast(x, "float32"), const(coefficients.reshape(-1, 1)))
    y = add(y, shift)
    if at.get("one_class", 0):
        return cast(make.where(apply(ops.Greater(), y, make.like(y, 0)), make.like(y, 1), make.like(y, -1)), "float32")
    return _post(at.get("post_transform", "NONE"), y)


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
    n = at.get("n_targets", 1)
    y = trees(at, x, "target", n)
    base = at.get("base_values") or at.get("base_values_as_tensor")
    y = y if base is None else add(y, const(numpy.array(base, dtype="float32")))
    return _post(at.get("post_transform", "NONE"), y)


def _trees_classifier(at: At, x: Node) -> tuple[Node, Node]:
    n = max(at.get("class_ids")) + 1
    names = at.get("classlabels_strings") or at.get("classlabels_int64s")
    binary = len(names) == 2 and len(set(at.get("class_ids"))) == 1
    y = trees(at, x, "class", 1 if binary else max(n, len(names)))
    base = at.get("base_values")
    y = y if base is None else add(y, const(numpy.array(base, dtype="float32")))
    return _classes(at, y, 0.0 if binary and at.get("post_transform", "NONE") != "NONE" else 0.5)


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
            members.append(tuple(next(rest)))
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
    return _post(posts[at.get("post_transform", 0)], y)


def _step(kind: str, names: dict[str, tuple[str, Any]]) -> Any:
    def read(at: At, rate: Node, count: Node, *tensors: Node) -> tuple[Node, ...]:
        settings = {field: at.get(*name) for field, name in names.items()}
        if kind == "Momentum":
            settings["nesterov"] = at.get("mode") == "nesterov"
        return make.items(Step(kind, **settings), rate, count, *tensors)

    return read


ROWS: dict[str, Row | Refused] = {
    "DFT": Row(_dft), "STFT": Row(_stft), "MelWeightMatrix": Row(_mel),
    "HannWindow": Row(_window(0.5, 0.5)), "HammingWindow": Row(_window(25 / 46, 21 / 46)),
    "BlackmanWindow": Row(_window(0.42, 0.5, 0.08)),
    "StringConcat": Row(lambda at, a, b: apply(StringConcat(), a, b)),
    "StringNormalizer": Row(_normalizer),
    "StringSplit": Row(_split),
    "RegexFullMatch": Row(lambda at, x: apply(RegexFullMatch(at.get("pattern")), x)),
    "TfIdfVectorizer": Row(_tfidf),
    "ai.onnx.ml.LabelEncoder": Row(_labels),
    "ai.onnx.ml.Scaler": Row(_scaler),
    "ai.onnx.ml.Normalizer": Row(_normalize),
    "ai.onnx.ml.Binarizer": Row(_binarizer),
    "ai.onnx.ml.ArrayFeatureExtractor": Row(_features),
    "ai.onnx.ml.FeatureVectorizer": Row(_vectorizer),
    "ai.onnx.ml.Imputer": Row(_imputer),
    "ai.onnx.ml.OneHotEncoder": Row(_one_hot),
    "ai.onnx.ml.LinearRegressor": Row(_linear),
    "ai.onnx.ml.LinearClassifier": Row(_linear_classes),
    "ai.onnx.ml.SVMRegressor": Row(_support),
    "ai.onnx.ml.SVMClassifier": Refused("support vector classifiers, which vote by pairs, are not read"),
    "ai.onnx.ml.TreeEnsembleRegressor": Row(_trees_regressor),
    "ai.onnx.ml.TreeEnsembleClassifier": Row(_trees_classifier),
    "ai.onnx.ml.TreeEnsemble": Row(_tree_ensemble),
    "ai.onnx.ml.ZipMap": Row(lambda at, x: x),  # the table whose columns a dictionary would name
    "ai.onnx.ml.CastMap": Refused("dictionaries are no tensors"),
    "ai.onnx.ml.DictVectorizer": Refused("dictionaries are no tensors"),
    "ai.onnx.preview.training.Adagrad": Row(_step("Adagrad", {
        "decay": ("decay_factor", 0.0), "epsilon": ("epsilon", 1e-6), "norm": ("norm_coefficient", 0.0)})),
    "ai.onnx.preview.training.Adam": Row(_step("Adam", {
        "alpha": ("alpha", 0.9), "beta": ("beta", 0.999), "epsilon": ("epsilon", 1e-6),
        "norm": ("norm_coefficient", 0.0), "norm_after": ("norm_coefficient_post", 0.0)})),
    "ai.onnx.preview.training.Momentum": Row(_step("Momentum", {
        "alpha": ("alpha", 0.0), "beta": ("beta", 0.0), "norm": ("norm_coefficient", 0.0)})),
    "ai.onnx.preview.training.Gradient": Refused("gradients are taken of a module: deploy.onnx.module"),
    "MaxRoiPool": Refused("an older form of RoiAlign, not read"),
}  # fmt: skip
