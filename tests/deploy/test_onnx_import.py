"""What comes as ONNX: sizes stay open, what is known is computed now, refusals name everything at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Graph, OnnxError, interpreter
from deploy import onnx as exchange
from deploy.compare import relative_error
from deploy.ir import Constant
from deploy.nd import dumps, loads
from tests.deploy.onnx_models import BOOL, FLOAT, INT64, helper, model, node, numpy_helper, onnx, value


def kinds(graph: Graph) -> set[str]:
    return {type(x.op).__name__ for x in graph.order()}


def run(graph: Graph, *arrays: Any) -> list[np.ndarray]:
    return list(interpreter.run(graph, dict(zip([x.op.name for x in graph.inputs], arrays, strict=True))).values())


def test_dims_with_names_and_without_stay_open_and_are_fixed_by_name() -> None:
    data = model([node("Relu", ["x.1"], ["y"])], [value("x.1", ["N", None, 3])], [value("y", ["N", None, 3])])
    graph = exchange.loads(data)
    assert str(graph.inputs[0].shape) == "(N, x_1_1, 3)" and graph.card["names"] == {"x_1": "x.1"}
    assert exchange.loads(data, {"x.1": (2, None, 3)}).inputs[0].shape[0] == 2
    assert str(exchange.loads(data, {"x.1": ("batch", 5, 3)}).inputs[0].shape) == "(batch, 5, 3)"
    with pytest.raises(OnnxError, match=r"no input is called \['z'\], the model has \['x.1'\]"):
        exchange.loads(data, {"z": (1,)})
    with pytest.raises(OnnxError, match=r"input 'x.1': it has 3 axes, \(2,\) names 1"):
        exchange.loads(data, {"x.1": (2,)})


def test_dims_whose_names_differ_in_signs_alone_are_two() -> None:
    nodes = [node("Relu", ["a"], ["b"]), node("Relu", ["c"], ["d"])]
    ports = [value("a", ["n+1"]), value("c", ["n-1"])], [value("b", [None]), value("d", [None])]
    graph = exchange.loads(model(nodes, *ports))
    assert [str(x.shape) for x in graph.inputs] == ["(n_1,)", "(n_1_1,)"]
    assert [len(y) for y in run(graph, np.ones(3, "float32"), np.ones(1, "float32"))] == [3, 1]


@pytest.mark.parametrize("written", ["cat,dog", '["cat"', "3"])
def test_metadata_that_no_card_can_hold_are_left_out(written: str) -> None:
    made = onnx.ModelProto.FromString(model([node("Relu", ["x"], ["y"])], [value("x", [2])], [value("y", [2])]))
    helper.set_model_props(made, {"labels": written, "author": "somebody", "needle.card": '{"labels": [1, 2]}'})
    graph = exchange.loads(made.SerializeToString())
    assert graph.card["author"] == "somebody" and not {"labels", "needle.card"} & graph.card.keys()
    assert loads(dumps(graph)).card == graph.card


def test_arithmetic_on_shapes_is_no_node() -> None:
    """x.view(x.shape[0] * x.shape[1], -1) as PyTorch writes it."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0), node("Gather", ["s", "one"], ["t"], axis=0),
        node("Mul", ["n", "t"], ["nt"]), node("Unsqueeze", ["nt", "axes"], ["nt1"]),
        node("Concat", ["nt1", "rest"], ["shape"], axis=0), node("Reshape", ["x", "shape"], ["y"]),
    ]  # fmt: skip
    arrays = {"zero": np.array(0), "one": np.array(1), "axes": np.array([0]), "rest": np.array([-1])}
    graph = exchange.loads(model(nodes, [value("x", ["n", "t", 4, 2])], [value("y", ["m", 8])], arrays))
    assert kinds(graph) == {"Input", "Reshape"} and str(graph.outputs[0][1].shape) == "(n*t, 8)"
    x = np.arange(48, dtype="float32").reshape(2, 3, 4, 2)
    np.testing.assert_array_equal(run(graph, x)[0], x.reshape(6, 8))


def test_floats_with_axes_are_weights_and_the_rest_is_structure() -> None:
    arrays = {"w": np.ones((2, 3), "float32"), "half": np.float32(0.5)}
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Mul", ["p", "half"], ["y"])]
    graph = exchange.loads(model(nodes, [value("x", ["n", 2])], [value("y", ["n", 3])], arrays))
    assert list(graph.weights()) == ["w"] and not any(isinstance(x.op, Constant) for x in graph.order())
    twice = graph.with_weights({"w": np.full((2, 3), 2, "float32")})
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(run(twice, x)[0], 2 * run(graph, x)[0])


@pytest.mark.parametrize("opset", [7, 11, 12, 13, 17])
def test_older_opsets_keep_their_meaning(opset: int) -> None:
    """Softmax was over all axes from `axis` on; axes and paddings were attributes."""
    old = opset < 13
    nodes = [node("Softmax", ["x"], ["s"], axis=1)]
    arrays: dict[str, Any] = {}
    if old:
        nodes += [node("ReduceSum", ["s"], ["r"], axes=[2], keepdims=0), node("Unsqueeze", ["r"], ["y"], axes=[0])]
    else:
        arrays = {"two": np.array([2]), "zero": np.array([0])}
        nodes += [node("ReduceSum", ["s", "two"], ["r"], keepdims=0), node("Unsqueeze", ["r", "zero"], ["y"])]
    graph = exchange.loads(model(nodes, [value("x", [2, 3, 4])], [value("y", [1, 2, 3])], arrays, opset))
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    e = np.exp(x)
    meant = e / e.sum((1, 2) if old else (1,), keepdims=True)
    np.testing.assert_allclose(run(graph, x)[0], meant.sum(2)[None], rtol=1e-5)


def test_known_conditions_choose_and_unknown_ones_compute_both() -> None:
    def branch(operator: str) -> Any:
        return helper.make_graph([node(operator, ["x"], ["b"])], operator, [], [value("b", ["n"])])

    nodes = [node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg"))]
    ports = [value("x", ["n"])], [value("y", ["n"])]
    known = exchange.loads(model(nodes, *ports, {"c": np.array(False)}))
    assert kinds(known) == {"Input", "Negate"}
    open_one = exchange.loads(model(nodes, [*ports[0], value("c", [], BOOL)], ports[1]))
    x = np.array([-1.0, 2.0], "float32")
    for c in (True, False):
        np.testing.assert_array_equal(run(open_one, x, np.array(c))[0], np.maximum(x, 0) if c else -x)


def test_branches_of_different_sizes_are_chosen_as_the_graph_runs() -> None:
    """What follows has a size that is then known, also in arithmetic on shapes."""
    few = helper.make_graph([node("Slice", ["x", "zero", "two"], ["b"])], "few", [], [value("b", [2])])
    all_of_them = helper.make_graph([node("Identity", ["x"], ["b"])], "all", [], [value("b", ["n"])])
    nodes = [node("If", ["c"], ["y"], then_branch=few, else_branch=all_of_them), node("Shape", ["y"], ["s"]),
             node("Concat", ["s", "three"], ["t"], axis=0), node("ReduceMin", ["t"], ["k"], keepdims=1),
             node("TopK", ["y", "k"], ["best", "places"])]  # fmt: skip
    ports = [value("x", ["n"]), value("c", [], BOOL)], [value("best", ["k"]), value("places", ["k"], INT64)]
    numbers = {"zero": np.array([0]), "two": np.array([2]), "three": np.array([3])}
    graph = exchange.loads(model(nodes, *ports, numbers))
    x = np.array([3.0, 9.0, 1.0, 7.0, 5.0], "float32")
    for c, best, places in ((True, [9, 3], [1, 0]), (False, [9, 7, 5], [1, 3, 4])):
        found = run(graph, x, np.array(c))
        assert found[0].tolist() == best and found[1].tolist() == places
    minus = node("Neg", ["b"], ["d"]), value("d", [None])
    both = [helper.make_graph([*part.node, minus[0]], part.name, [], [*part.output, minus[1]])
            for part in (few, all_of_them)]  # fmt: skip
    nodes = [node("If", ["c"], ["y", "z"], then_branch=both[0], else_branch=both[1]), node("Add", ["y", "z"], ["sum"])]
    graph = exchange.loads(model(nodes, ports[0], [value("sum", ["k"])], numbers))
    assert [run(graph, x, np.array(c))[0].tolist() for c in (True, False)] == [[0] * 2, [0] * 5]
    with pytest.raises(OnnxError, match="branches of different types"):
        narrow = helper.make_graph([node("ReduceSum", ["x"], ["b"], keepdims=0)], "sum", [], [value("b", [])])
        chosen = node("If", ["c"], ["y"], then_branch=narrow, else_branch=all_of_them)
        exchange.loads(model([chosen], ports[0], [value("y", ["n"])]))


def test_resizing_an_image_leaves_an_open_batch_alone() -> None:
    for mode, places in (("linear", "half_pixel"), ("nearest", "asymmetric")):
        resize = node("Resize", ["x", "", "", "t"], ["y"], mode=mode, nearest_mode="floor",
                      coordinate_transformation_mode=places)  # fmt: skip
        nodes = [node("Shape", ["x"], ["s"], end=2), node("Concat", ["s", "hw"], ["t"], axis=0), resize]
        ports = [value("x", ["batch", 3, 4, 5])], [value("y", ["batch", 3, 8, 10])]
        graph = exchange.loads(model(nodes, *ports, {"hw": np.array([8, 10])}))
        x = np.random.default_rng(0).random((2, 3, 4, 5), "float32")
        assert kinds(graph) >= {"Upsample"} and run(graph, x)[0].shape == (2, 3, 8, 10)
        if mode == "nearest":
            np.testing.assert_array_equal(run(graph, x)[0], x.repeat(2, 2).repeat(2, 3))


def test_loops_of_known_length_are_unrolled_and_others_refused() -> None:
    body = helper.make_graph(
        [node("Add", ["v", "v"], ["w"]), node("Identity", ["c"], ["d"]), node("Identity", ["w"], ["row"])], "body",
        [value("i", [], INT64), value("c", [], BOOL), value("v", ["n"])],
        [value("d", [], BOOL), value("w", ["n"]), value("row", ["n"])],
    )  # fmt: skip
    nodes = [node("Loop", ["count", "", "x"], ["y", "rows"], body=body)]
    ports = [value("x", ["n"])], [value("y", ["n"]), value("rows", ["count", "n"])]
    graph = exchange.loads(model(nodes, *ports, {"count": np.array(3)}))
    y, rows = run(graph, np.ones(2, "float32"))
    np.testing.assert_array_equal(y, [8, 8])
    np.testing.assert_array_equal(rows, [[2, 2], [4, 4], [8, 8]])
    with pytest.raises(OnnxError, match="'the number of rounds' must be known when the model is read"):
        exchange.loads(model(nodes, [*ports[0], value("count", [], INT64)], ports[1]))


def test_functions_of_the_model_are_inlined() -> None:
    scaled = helper.make_function(
        "mine", "Scaled", ["a"], ["b"],
        [helper.make_node("Constant", [], ["k"]), helper.make_node("Mul", ["a", "k"], ["b"])],
        [helper.make_opsetid("", 17)], ["factor"],
    )  # fmt: skip
    reference = scaled.node[0].attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "value_float", "factor", 1
    graph = helper.make_graph(
        [helper.make_node("Scaled", ["x"], ["y"], domain="mine", factor=3.0)], "g", [value("x", [2])], [value("y", [2])]
    )
    made = helper.make_model(
        graph, functions=[scaled], opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    )
    y = run(exchange.loads(made.SerializeToString()), np.array([1, 2], "float32"))[0]
    np.testing.assert_array_equal(y, [3, 6])


def test_a_refusal_names_every_node_operator_and_reason() -> None:
    nodes = [
        node("MaxRoiPool", ["x", "x"], ["a"]), node("Nonsense", ["x"], ["b"]), node("Reshape", ["x", "shape"], ["c"]),
        node("Add", ["a", "b"], ["d"]), node("Relu", ["c"], ["e"]),
    ]  # fmt: skip
    ports = [value("x", [2]), value("shape", [1], INT64)], [value("d", [2]), value("e", [2])]
    with pytest.raises(OnnxError) as caught:
        exchange.loads(model(nodes, *ports))
    text = str(caught.value)
    assert text.startswith("[onnx] the model cannot be read, for 3 reasons:\n")
    for part in ("'maxroipool_of_a', MaxRoiPool (opset 17): an older form of RoiAlign",
                 "'nonsense_of_b', Nonsense (opset 17): there is no such operator here",
                 "'reshape_of_c', Reshape (opset 17): 'shape' must be known when the model is read"):  # fmt: skip
        assert part in text
    found = exchange.loads(model(nodes[2:3], [*ports[0]], [value("c", [2])]), values={"shape": np.array([2, 1])})
    assert found.outputs[0][1].shape == (2, 1)


def test_patterns_of_exporters_become_one_op() -> None:
    arrays = {"r": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}
    gelu = [
        node("Div", ["x", "r"], ["a"]), node("Erf", ["a"], ["b"]), node("Add", ["b", "one"], ["c"]),
        node("Mul", ["x", "c"], ["d"]), node("Mul", ["d", "half"], ["y"]),
    ]  # fmt: skip
    graph = exchange.loads(model(gelu, [value("x", ["n", 4])], [value("y", ["n", 4])], arrays))
    assert kinds(graph) == {"Input", "GELU"}
    norm = [
        node("ReduceMean", ["x"], ["m"], axes=[-1]), node("Sub", ["x", "m"], ["d"]), node("Pow", ["d", "two"], ["q"]),
        node("ReduceMean", ["q"], ["v"], axes=[-1]), node("Add", ["v", "eps"], ["e"]), node("Sqrt", ["e"], ["s"]),
        node("Div", ["d", "s"], ["n"]), node("Mul", ["n", "w"], ["g"]), node("Add", ["g", "b"], ["y"]),
    ]  # fmt: skip
    arrays = {"two": np.float32(2), "eps": np.float32(1e-5), "w": np.ones(4, "float32"), "b": np.ones(4, "float32")}
    graph = exchange.loads(model(norm, [value("x", ["n", 4])], [value("y", ["n", 4])], arrays))
    assert "LayerNorm" in kinds(graph) and "Sqrt" not in kinds(graph)
    mask = np.triu(np.full((5, 5), -np.inf, "float32"), 1)
    scores = [
        node("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["q", "t"], ["p"]),
        node("Mul", ["p", "half"], ["c"]), node("Add", ["c", "mask"], ["m"]), node("Softmax", ["m"], ["s"], axis=-1),
        node("MatMul", ["s", "v"], ["y"]),
    ]  # fmt: skip
    ports = [value(n, ["b", 2, 5, 4]) for n in "qkv"], [value("y", ["b", 2, 5, 4])]
    data = model(scores, *ports, {"half": np.float32(0.5), "mask": mask[None, None]})
    made = onnx.ModelProto.FromString(data)
    constant = helper.make_node("Constant", [], ["mask"], value=numpy_helper.from_array(mask[None, None]))
    made.graph.node.insert(0, constant)
    del made.graph.initializer[1]
    graph = exchange.loads(made.SerializeToString())
    assert "Attention" in kinds(graph) and "Softmax" not in kinds(graph)
    wide = numpy_helper.from_array(np.broadcast_to(mask, (3, 1, 5, 5)).copy())  # more rows than there are queries
    made.graph.node[0].CopyFrom(helper.make_node("Constant", [], ["mask"], value=wide))
    repeated = exchange.loads(made.SerializeToString(), dict.fromkeys("qkv", (1, 2, 5, 4)))
    assert "Softmax" in kinds(repeated) and repeated.outputs[0][1].shape == (3, 2, 5, 4)
    q, k, v = (np.random.default_rng(i).standard_normal((1, 2, 5, 4)).astype("float32") for i in range(3))
    e = np.exp(q @ k.transpose(0, 1, 3, 2) * 0.5 + mask)
    assert relative_error(run(graph, q, k, v)[0], e / e.sum(-1, keepdims=True) @ v) < 1e-5


def test_external_data_lie_beside_the_model(tmp_path: Path) -> None:
    w = np.arange(6, dtype="float32").reshape(2, 3)
    made = onnx.ModelProto.FromString(
        model([node("MatMul", ["x", "w"], ["y"])], [value("x", ["n", 2])], [value("y", ["n", 3])], {"w": w})
    )
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    graph = exchange.load(tmp_path / "m.onnx")
    np.testing.assert_array_equal(graph.weights()["w"], w)
    with pytest.raises(OnnxError, match=r"tensor 'w': its data are in another file 'w.bin'"):
        exchange.loads((tmp_path / "m.onnx").read_bytes())


def test_external_data_may_hold_several_numbers_in_a_byte(tmp_path: Path) -> None:
    w = helper.make_tensor("w", onnx.TensorProto.INT4, [5], [-8, -1, 0, 3, 7])
    w = numpy_helper.from_array(numpy_helper.to_array(w), "w")  # in raw data, which may lie outside
    nodes = [node("Cast", ["w"], ["c"], to=FLOAT), node("Add", ["x", "c"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value("x", [5])], [value("y", [5])], [w])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").stat().st_size == 3
    y = run(exchange.load(tmp_path / "m.onnx"), np.zeros(5, "float32"))[0]
    np.testing.assert_array_equal(y, [-8, -1, 0, 3, 7])


def test_importing_the_package_does_not_load_onnx() -> None:
    import subprocess
    import sys

    code = "import deploy, deploy.onnx, deploy.onnx.table, sys; print({'onnx', 'ml_dtypes'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


_ = FLOAT
