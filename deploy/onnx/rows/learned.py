"""ai.onnx.ml: what prepares features, and linear models."""

from __future__ import annotations

from typing import Any

import numpy

from needle import ops

from ...ir import Node
from .. import make
from ..at import At
from ..make import Unsupported, add, apply, cast, const, mul, reshape
from ..ops import LabelEncoder
from ..row import Refused, Row

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
    if len(sides) < 2:
        raise Unsupported("needs keys_ and values_, of strings, int64s, floats or a tensor")
    (keys, _), (values, dtype) = sides["keys"], sides["values"]
    default: Any = at.get("default_tensor")
    if default is not None:
        default = default.reshape(-1)[0]
        default = default if isinstance(default, str) else default.item()
    else:
        fallback = {"object": ("default_string", "_Unused"), "int64": ("default_int64", -1)}
        default = at.get(*fallback.get(dtype, ("default_float", -0.0)))
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
            norm = apply(ops.Max((axis,), True), y)  # with its sign
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
    return post(at.get("post_transform", "NONE"), y)


def post(kind: str, y: Node) -> Node:
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


def classes(at: At, scores: Node) -> tuple[Node, Node]:
    """(labels, scores): the class of the largest score."""
    return labels(at, apply(ops.ArgMax(1), scores), scores.shape[1]), post(at.get("post_transform", "NONE"), scores)


def two_classes(at: At, score: Node, edge: float, together: float) -> tuple[Node, Node]:
    """(labels, scores) of two classes by the score of the second, which it is above `edge`.

    As ONNX Runtime has it: the two scores are `together`, or 0 before a transform.
    """
    kind = at.get("post_transform", "NONE")
    if "SOFTMAX" in kind:
        raise Unsupported("the softmax of one score, which runtimes do not agree on")
    first = make.sub(make.like(score, together if kind == "NONE" else 0), score)
    return labels(at, above(score, edge), 2), post(kind, make.concat([first, score], 1))


def above(score: Node, edge: float) -> Node:
    """1 for the rows of a column that are above `edge`, else 0."""
    return cast(apply(ops.Greater(), reshape(score, (score.shape[0],)), make.like(score, edge)), "int64")


def labels(at: At, chosen: Node, count: int) -> Node:
    """The names of the classes with these numbers, or the numbers."""
    names = named_classes(at) or tuple(range(count))
    table = const(numpy.array(names, dtype="int64" if isinstance(names[0], int) else object))
    return apply(ops.Take(0), table, chosen)


def named_classes(at: At) -> tuple[Any, ...]:
    """What the classes are called; nothing where that is not said."""
    return at.get("classlabels_strings") or at.get("classlabels_ints") or at.get("classlabels_int64s") or ()


def _linear_classes(at: At, x: Node) -> tuple[Node, Node]:
    shift = at.get("intercepts") or (0.0,)
    n = len(shift)
    weights = numpy.array(at.get("coefficients"), dtype="float32").reshape(n, -1)
    scores = add(make.matmul(cast(x, "float32"), const(weights.T)), const(numpy.array(shift, dtype="float32")))
    return two_classes(at, scores, 0.0, 1.0) if n == 1 and len(named_classes(at)) == 2 else classes(at, scores)


ROWS: dict[str, Row | Refused] = {
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
    "ai.onnx.ml.ZipMap": Row(lambda at, x: x),  # the table whose columns a dictionary would name
    "ai.onnx.ml.CastMap": Refused("dictionaries are no tensors"),
    "ai.onnx.ml.DictVectorizer": Refused("dictionaries are no tensors"),
}
