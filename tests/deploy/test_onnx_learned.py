"""Support vector machines and tables of ai.onnx.ml, drawn at random, beside ONNX Runtime."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from deploy import Instant, interpreter
from deploy import onnx as exchange
from deploy.errors import EmitError, OnnxError
from tests.deploy.onnx_models import FLOAT, INT64, helper, numpy_helper, value

runtime = pytest.importorskip("onnxruntime")

KERNELS, FEATURES = ("LINEAR", "RBF", "POLY", "SIGMOID"), 4
STRING, DOUBLE = 8, 11


def machine(kernel: str, classes: int, probabilities: bool = False, post: str = "NONE", named: bool = False) -> bytes:
    """A classifier of libsvm's form with a few support vectors of each class."""
    rng = np.random.default_rng(classes + 10 * KERNELS.index(kernel))
    sizes = rng.integers(1, 4, classes)
    vectors, pairs = int(sizes.sum()), len(list(combinations(range(classes), 2)))

    def drawn(count: int) -> list[float]:
        return [float(v) for v in rng.standard_normal(count)]

    settings: dict[str, Any] = {
        "kernel_type": kernel, "kernel_params": [0.3, 0.5, 3.0], "post_transform": post, "rho": drawn(pairs),
        "vectors_per_class": sizes.tolist(), "support_vectors": drawn(vectors * FEATURES),
        "coefficients": drawn((classes - 1) * vectors),
    }  # fmt: skip
    settings |= {"prob_a": [-abs(v) for v in drawn(pairs)], "prob_b": drawn(pairs)} if probabilities else {}
    names: Any = ["a", "b", "c", "d", "e"] if named else [7, 2, 9, 4, 1]
    return classifier(**settings, **{"classlabels_strings" if named else "classlabels_ints": names[:classes]})


def classifier(**settings: Any) -> bytes:
    node = helper.make_node("SVMClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **settings)
    label = STRING if "classlabels_strings" in settings else INT64
    outputs = [value("label", ["n"], label), value("scores", ["n", None])]
    graph = helper.make_graph([node], "g", [value("x", ["n", FEATURES], FLOAT)], outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


def of_rows(kind: str, **settings: Any) -> bytes:
    """An operator of ai.onnx.ml that gives classes, on rows of features; lists of floats may be tensors of doubles."""
    opset = 3 if any(name.endswith("_as_tensor") for name in settings) else 1
    node = helper.make_node(kind, ["x"], ["label", "scores"], domain="ai.onnx.ml", **settings)
    outputs = [value("label", ["n"], INT64), value("scores", ["n", None])]
    graph = helper.make_graph([node], "g", [value("x", ["n", FEATURES], FLOAT if opset == 1 else DOUBLE)], outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", opset)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


def forest(ids: list[int], positive: bool, post: str, base: list[float], doubles: bool = False) -> bytes:
    """Three trees of two levels whose leaves say a number of each class in `ids`, of two or three classes."""
    rng = np.random.default_rng(len(base) + 2 * positive)
    lists: dict[str, list[Any]] = {"base_values": base} if base else {}

    def put(name: str, *values: Any) -> None:
        lists.setdefault(name, []).extend(values)

    for tree in range(3):
        for i in range(7):
            inner = i < 3
            put("nodes_treeids", tree)
            put("nodes_nodeids", i)
            put("nodes_featureids", int(rng.integers(FEATURES)) if inner else 0)
            put("nodes_values", float(rng.standard_normal()) if inner else 0.0)
            put("nodes_modes", "BRANCH_LEQ" if inner else "LEAF")
            put("nodes_truenodeids", 2 * i + 1 if inner else 0)
            put("nodes_falsenodeids", 2 * i + 2 if inner else 0)
            for k in ids if not inner else ():
                put("class_treeids", tree)
                put("class_nodeids", i)
                put("class_ids", k)
                put("class_weights", float(abs(rng.standard_normal()) / 3 if positive else rng.standard_normal()))
    for name in ("base_values", "class_weights", "nodes_values") if doubles else ():
        if name in lists:
            lists[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(lists.pop(name)), name)
    names = [7, 3, 9][: max(2, len(ids))]
    return of_rows("TreeEnsembleClassifier", post_transform=post, classlabels_int64s=names, **lists)


def agree(data: bytes, engine: str = "interpreted") -> None:
    session = runtime.InferenceSession(data)
    x = np.random.default_rng(1).standard_normal((9, FEATURES), np.float32)
    x = x.astype("float64" if session.get_inputs()[0].type == "tensor(double)" else "float32")
    expected = session.run(None, {"x": x})
    graph = exchange.loads(data)
    found = list((Instant(graph).run(x=x) if engine == "instant" else interpreter.run(graph, {"x": x})).values())
    assert np.asarray(found[0]).tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", (2, 3, 5))
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_vote_of_pairs_as_onnx_runtime_has_it(kernel: str, classes: int) -> None:
    agree(machine(kernel, classes))
    agree(machine(kernel, classes), "instant")
    agree(machine(kernel, classes, post="LOGISTIC", named=True))
    agree(machine(kernel, classes, probabilities=True))


@pytest.mark.parametrize("seed", range(6))
def test_scores_of_liblinear(seed: int) -> None:
    """Of two classes, ONNX Runtime says the second as soon as any score is high: with weights all positive, and not."""
    rng = np.random.default_rng(seed)
    for classes in (2, 4):
        weights = rng.standard_normal(classes * FEATURES)
        weights = abs(weights) if seed % 2 else weights
        names = list(range(3, 3 + classes))
        agree(classifier(coefficients=weights.tolist(), rho=[0.2], classlabels_ints=names, kernel_type="LINEAR",
                         kernel_params=[0.0, 0.0, 0.0]))  # fmt: skip


def test_what_runtimes_do_not_agree_on_is_refused() -> None:
    with pytest.raises(OnnxError, match="softmax of one score, which runtimes do not agree on"):
        exchange.loads(machine("RBF", 2, post="SOFTMAX"))
    agree(machine("RBF", 3, post="SOFTMAX"))
    agree(machine("RBF", 2, probabilities=True, post="SOFTMAX"))


@pytest.mark.parametrize("doubles", (False, True))
@pytest.mark.parametrize("positive", (False, True))
@pytest.mark.parametrize("post", ("NONE", "LOGISTIC"))
def test_trees_that_score_one_of_two_classes(post: str, positive: bool, doubles: bool) -> None:
    """ONNX Runtime takes threshold and the other class's score from whether a weight is below 0."""
    agree(forest([0], positive, post, [], doubles))
    agree(forest([0], positive, post, [0.3], doubles))
    agree(forest([1], positive, post, [], doubles))
    agree(forest([1], positive, "SOFTMAX", [], doubles))
    agree(forest([0, 1, 2], positive, post, [0.1, -0.2, 0.3], doubles))
    agree(forest([0], positive, post, [0.3]), "instant")


def test_trees_on_which_runtimes_do_not_agree_are_refused() -> None:
    with pytest.raises(OnnxError, match="the softmax of one score"):
        exchange.loads(forest([0], True, "SOFTMAX", []))
    for ids, base in (([1], [0.3]), ([0], [0.3, 0.1])):
        with pytest.raises(OnnxError, match="base values where one of two classes has scores"):
            exchange.loads(forest(ids, True, "NONE", base))
    with pytest.raises(OnnxError, match="'base_values' must hold a number for each of 2 classes, got 1"):
        exchange.loads(forest([0, 1], True, "NONE", [0.3]))
    with pytest.raises(OnnxError, match=r"'class_ids' must be in 0..1"):
        exchange.loads(forest([5], True, "NONE", []))


@pytest.mark.parametrize("post", ("NONE", "LOGISTIC"))
def test_a_line_between_two_classes_is_where_its_score_is_0(post: str) -> None:
    weights = np.random.default_rng(3).standard_normal(FEATURES).tolist()
    agree(of_rows("LinearClassifier", coefficients=weights, intercepts=[0.2], classlabels_ints=[4, 2],
                  post_transform=post))  # fmt: skip


@pytest.mark.parametrize("norm", ("MAX", "L1", "L2"))
def test_rows_are_divided_by_what_onnx_runtime_takes(norm: str) -> None:
    node = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm=norm)
    graph = helper.make_graph([node], "g", [value("x", ["n", 3])], [value("y", ["n", 3])])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    x = np.array([[1, -3, 2], [-1, -2, -4], [0, 0, 0], [-3, 0, 0]], "float32")
    (expected,) = runtime.InferenceSession(data).run(None, {"x": x})
    np.testing.assert_allclose(interpreter.run(exchange.loads(data), {"x": x})["y"], expected, rtol=1e-6)


@pytest.mark.parametrize("kinds", ("int64s int64s", "floats floats", "int64s floats"))
def test_tables_of_numbers_in_programs(kinds: str) -> None:
    """Of equal keys the last counts; what is no key is the default."""
    keys, values = kinds.split()

    def drawn(kind: str, *numbers: int) -> Any:
        return [float(v) if kind == "floats" else v for v in numbers]

    table = {f"keys_{keys}": drawn(keys, 3, 1, 2, 1), f"values_{values}": drawn(values, 30, 11, 20, 10)}
    table |= {"default_int64": -7, "default_float": -7.5}
    node = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", **table)
    number = {"int64s": INT64, "floats": FLOAT}
    graph = helper.make_graph([node], "g", [value("x", ["n", 2], number[keys])], [value("y", ["n", 2], number[values])])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    x = np.array([[1, 2], [3, 4], [0, -1]], {"int64s": "int64", "floats": "float32"}[keys])
    read = exchange.loads(data)
    for found in (Instant(read).run(x=x), interpreter.run(read, {"x": x})):
        expected = [[10, 20], [30, "default"], ["default"] * 2]
        default = -7 if values == "int64s" else -7.5
        assert found["y"].tolist() == [[default if v == "default" else v for v in row] for row in expected]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rho": [0.1]}, "'rho' must hold 3 numbers, got 1"),
        ({"coefficients": [0.5] * 5}, "'coefficients' must hold"),
        ({"support_vectors": [0.5] * 5}, "'support_vectors' must hold"),
        ({"vectors_per_class": [1, 2]}, "a count for each of 3 classes"),
        ({"vectors_per_class": [-1, 3, 1]}, "a count for each of 3 classes"),
        ({"prob_a": [0.1] * 3}, "'prob_b' must hold 3 numbers, got 0"),
        ({"kernel_type": "COSINE"}, "LINEAR, POLY, RBF or SIGMOID, got 'COSINE'"),
    ],
)
def test_lists_of_other_lengths_are_refused(changed: dict[str, Any], message: str) -> None:
    given = {"classlabels_ints": [1, 2, 3], "vectors_per_class": [1, 1, 1], "coefficients": [0.5] * 6, "rho": [0.1] * 3,
             "support_vectors": [0.5] * 12, "kernel_type": "RBF", "kernel_params": [0.3, 0.0, 3.0]}  # fmt: skip
    with pytest.raises(OnnxError, match=message):
        exchange.loads(classifier(**{**given, **changed}))


def test_a_list_of_many_classes_is_refused_before_their_pairs_are_made() -> None:
    with pytest.raises(OnnxError, match="too many"):
        exchange.loads(classifier(classlabels_ints=list(range(20_000)), vectors_per_class=[1] * 20_000))


def test_tables_that_programs_cannot_hold_stay_with_the_interpreter() -> None:
    """A key that int32 cannot hold is no key of int32's; a key without a value is refused."""
    def table(kind: int, keys: list[int], values: list[int]) -> bytes:
        node = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_int64s=keys,
                                values_int64s=values)  # fmt: skip
        graph = helper.make_graph([node], "g", [value("x", ["n"], kind)], [value("y", ["n"], INT64)])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
        data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
        return data

    read = exchange.loads(table(6, [2**32 + 1, 2], [10, 20]))
    assert interpreter.run(read, {"x": np.array([1, 2], "int32")})["y"].tolist() == [-1, 20]
    with pytest.raises(EmitError, match="LabelEncoder"):
        Instant(read)
    with pytest.raises(OnnxError, match="a value for each key, got 3 and 2"):
        exchange.loads(table(INT64, [1, 2, 3], [10, 20]))
