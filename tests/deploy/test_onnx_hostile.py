"""Damaged and hostile files are refused with the place, and take no memory that they merely claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import OnnxError, interpreter
from deploy import onnx as exchange
from deploy.ir import Constant
from deploy.onnx import make, read
from deploy.onnx.ops import Sizes
from tests.deploy.onnx_models import helper, model, node, onnx, value

PORTS = [value("x", ["n", 2])], [value("y", ["n", 2])]


def plain() -> Any:
    return onnx.ModelProto.FromString(model([node("Add", ["x", "w"], ["y"])], *PORTS, {"w": np.ones(2, "float32")}))


def refused(made: Any, reason: str) -> None:
    with pytest.raises(OnnxError, match=reason):
        exchange.loads(made if isinstance(made, bytes) else made.SerializeToString())


def test_bytes_that_are_no_model() -> None:
    whole = plain().SerializeToString()
    for data in (b"", b"\x00", b"PK\x03\x04 not a model", whole[: len(whole) // 2], whole[:-3]):
        refused(data, r"\[onnx\] ('model' (is damaged|holds no graph)|the model cannot be read)")


def test_graphs_that_are_none() -> None:
    made = plain()
    made.graph.node[0].input[0] = "y"
    refused(made, "'y' is used before it is computed, or nowhere computed")
    made = plain()
    made.graph.output[0].name = "nowhere"
    refused(made, "the graph: 'nowhere' is used before it is computed")
    made = plain()
    del made.opset_import[:]
    made.graph.node[0].op_type = "Nothing"
    refused(made, "there is no such operator")


def test_sizes_that_a_file_only_claims() -> None:
    made = plain()
    made.graph.initializer[0].dims[:] = [2**40, 2**20]
    refused(made, r"initializer 'w': \[onnx\] tensor 'w': \[1099511627776, 1048576\] of float32 do not fit into its")
    made = plain()
    made.graph.initializer[0].dims[:] = [-2]
    refused(made, r"tensor 'w': needs sizes of 0 or more, got \[-2\]")
    made = plain()
    made.graph.initializer[0].data_type = 99
    refused(made, "tensor 'w': unknown element type 99")
    arrays = {"shape": np.array([2**31, 2**31])}
    nodes = [node("ConstantOfShape", ["shape"], ["big"]), node("ReduceSum", ["big"], ["s"])]
    nodes.append(node("Add", ["x", "s"], ["y"]))
    refused(model(nodes, *PORTS, arrays), r"more than 2147483648 elements")
    nodes = [node("Expand", ["one", "shape"], ["big"]), node("Add", ["x", "big"], ["y"])]
    refused(model(nodes, *PORTS, {**arrays, "one": np.float32(1)}), r"\[onnx\]")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "link.bin", ""])
def test_external_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    folder = tmp_path / "model"
    (folder / "a").mkdir(parents=True)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    made = plain()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(OnnxError, match=r"tensor 'w': (.* is no file inside the model's|its data are in another)"):
        exchange.load(folder / "m.onnx")


def test_external_data_that_are_too_short(tmp_path: Path) -> None:
    made = plain()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, text in (("location", "w.bin"), ("offset", "4"), ("length", "8")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(OnnxError, match=r"tensor 'w': 8 bytes from 4 of 'w.bin', which has 8"):
        exchange.load(tmp_path / "m.onnx")


def test_too_many_nodes_and_too_deep_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_NODES", 10)
    chain = [node("Relu", [f"v{i}" if i else "x"], [f"v{i + 1}" if i < 10 else "y"]) for i in range(11)]
    refused(model(chain, *PORTS), r"'model' has 11 nodes; at most 10 are read")
    inner = last = helper.make_graph([node("Relu", ["x"], ["b"])], "g", [], [value("b", ["n", 2])])
    for _ in range(read.MAX_DEPTH + 1):
        nested = node("If", ["c"], ["b"], then_branch=inner, else_branch=last)
        inner = helper.make_graph([nested], "g", [], [value("b", ["n", 2])])
    monkeypatch.setattr(read, "MAX_NODES", 10**6)
    made = plain()
    made.graph.node.extend(inner.node)
    refused(made, r"'model' has more than 16 graphs inside each other")


def test_loops_and_functions_without_end() -> None:
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"])], "body", [value("i", [], 7), value("c", [], 9)], [value("d", [], 9)]
    )
    nodes = [node("Loop", ["", "true"], [""], body=body), node("Relu", ["x"], ["y"])]
    nodes[0].output[:] = []
    refused(model(nodes, *PORTS, {"true": np.array(True)}), "more than 2000 rounds of a loop")
    call = helper.make_node("Me", ["a"], ["b"], domain="mine")
    endless = helper.make_function("mine", "Me", ["a"], ["b"], [call], [helper.make_opsetid("mine", 1)])
    graph = helper.make_graph([helper.make_node("Me", ["x"], ["y"], domain="mine")], "g", *PORTS)
    made = helper.make_model(graph, functions=[endless], opset_imports=[helper.make_opsetid("mine", 1)])
    refused(made, "functions call each other without end")


def test_numbers_of_another_type_than_an_operator_takes() -> None:
    floats, twice = {"s": np.ones(2, "float32")}, {"s": np.array([0, 0])}
    refused(model([node("Tile", ["x", "s"], ["y"])], *PORTS, floats), "'repeats' must be whole numbers, got float32")
    refused(model([node("Unsqueeze", ["x", "s"], ["y"])], *PORTS, twice), r"axes \(0, 0\) name one axis twice")
    refused(model([node("Softmax", ["x"], ["y"], axis=1.0)], *PORTS), "attribute 'axis' must be INT, got FLOAT")


def test_constants_of_which_a_few_bytes_ask_for_many_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that an op gives is left to who runs the graph; what can be nothing but a constant is refused."""
    numbers = {"zero": np.array(0), "far": np.array(10**9), "one": np.array(1)}
    ports = [value("x", [1])], [value("y", [10**9])]
    nodes = [node("Range", ["zero", "far", "one"], ["r"]), node("Cast", ["r"], ["f"], to=1)]
    graph = exchange.loads(model([*nodes, node("Add", ["x", "f"], ["y"])], *ports, numbers))
    assert not any(isinstance(x.op, Constant) for x in graph.order())
    floats = {name: array.astype("float32") for name, array in numbers.items()}
    refused(model([*nodes[:1], node("Add", ["x", "r"], ["y"])], *ports, floats), "a range of 1000000000 numbers is too")
    refused(model([node("HannWindow", ["far"], ["y"])], *ports, numbers), "a window of 1000000000 numbers is too large")
    refused(model([node("EyeLike", ["x"], ["y"])], [value("x", [2**15] * 2)], [value("y", [2**15] * 2)]),
            "an identity of 32768 x 32768 numbers is too large")  # fmt: skip
    nodes = [node("SplitToSequence", ["x"], ["s"]), node("SequenceAt", ["s", "zero"], ["y"])]
    refused(model(nodes, [value("x", [2**31 - 1])], [value("y", [1])], numbers), "over 2147483647 elements, of at most")
    monkeypatch.setattr(make, "MAX_BYTES", 1000)
    nodes = [node("ConstantOfShape", ["hundred"], [f"c{i}"]) for i in range(5)]
    nodes += [node("Sum", ["x", *(f"c{i}" for i in range(5))], ["y"])]
    graph = exchange.loads(model(nodes, [value("x", [100])], [value("y", [100])], {"hundred": np.array([100])}))
    assert sum(x.op.array.nbytes for x in graph.order() if isinstance(x.op, Constant)) <= 1000
    np.testing.assert_array_equal(interpreter.run(graph, {"x": np.ones(100, "float32")})["y"], np.ones(100))


def test_sizes_that_are_joined_again_and_again_stay_few() -> None:
    nodes = [node("Shape", ["x"], ["s0"])]
    nodes += [node("Concat", [f"s{i}", f"s{i}"], [f"s{i + 1}"], axis=0) for i in range(20)]
    nodes += [node("Cast", ["s20"], ["f"], to=1), node("ReduceSum", ["f"], ["t"], keepdims=0)]
    graph = exchange.loads(model([*nodes, node("Add", ["x", "t"], ["y"])], *PORTS))
    assert max(len(x.op.values) for x in graph.order() if isinstance(x.op, Sizes)) <= 2048
