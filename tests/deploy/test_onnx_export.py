"""What leaves as ONNX: accepted by its checker, with the numbers of ONNX Runtime, the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Graph, OnnxError, freeze, interpreter
from deploy import onnx as exchange
from deploy.compare import relative_error
from deploy.ir import Input, Node, apply
from deploy.quantize import quantize
from deploy.sources import frozen
from needle import Tensor, nn, ops
from needle.types import Type

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

IDS = {"ids", "slot", "position"}


def by_runtime(data: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_leaves(graph: Graph, inputs: dict[str, np.ndarray], opset: int = 17) -> Graph:
    """It is written, runs elsewhere and comes back with the same numbers; what came back."""
    data = exchange.dumps(graph, opset)
    assert exchange.dumps(graph, opset) == data
    expected, found = interpreter.run(graph, inputs), by_runtime(data, inputs)
    again = exchange.loads(data)
    back = interpreter.run(again, inputs)
    assert found.keys() == expected.keys() == back.keys()
    for name, meant in expected.items():
        assert relative_error(found[name], meant) < 1e-5
        assert relative_error(back[name], meant) < 1e-5
    return again


def stirred(model: Any) -> Any:
    """The model with weights that are not zero: some layers start with zeros, which would prove nothing."""
    draw = np.random.default_rng(0)
    for parameter in model.parameters():
        noise = draw.standard_normal(parameter.shape).astype("float32") * 0.05
        parameter.data = Tensor(parameter.numpy() + noise, device=parameter.device, requires_grad=False)
    return model.eval()


@pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")
@pytest.mark.parametrize("name", zoo.names())
def test_every_model_of_the_zoo_leaves(name: str) -> None:
    graph = frozen(stirred(zoo.load(name, tiny=True)), f"zoo:{name}")
    (x,) = graph.inputs
    shape = (3, *(int(n) for n in x.shape[1:]))
    draw = np.random.default_rng(1)
    whole = not isinstance(zoo.entry(name).card()["input"], dict) or "image" not in str(zoo.entry(name).card()["input"])
    given = draw.integers(0, 2, shape) if whole and len(shape) == 2 and "dcgan" not in name else draw.normal(size=shape)
    back = assert_leaves(graph, {x.op.name: given.astype(x.type.dtype)})
    assert back.weights().keys() <= graph.weights().keys() | {f"transposed_{i}" for i in range(10**4)}
    assert dict(back.card) == json.loads(json.dumps(dict(graph.card)))


@pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")
def test_a_language_model_leaves_with_open_batch_and_time() -> None:
    model = stirred(zoo.load("gpt-char", tiny=True))
    graph = freeze(model, Type(("batch", "time"), "int32"), dims={"time": (1, 16)})
    data = exchange.dumps(graph)
    (x,) = onnx.ModelProto.FromString(data).graph.input
    assert [d.dim_param for d in x.type.tensor_type.shape.dim] == ["batch", "time"]
    for batch, time in ((1, 1), (2, 5), (3, 16)):
        ids = np.random.default_rng(time).integers(0, 60, (batch, time)).astype("int32")
        found = by_runtime(data, {"input": ids})["output"]
        assert relative_error(found, interpreter.run(graph, {"input": ids})["output"]) < 1e-5


@pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")
def test_a_decoder_leaves_with_its_cache_as_inputs_and_outputs() -> None:
    step, example, options = stirred(zoo.load("gpt-char", tiny=True)).decoding(slots=3)
    graph = freeze(step, example, **options)
    data = exchange.dumps(graph)
    kept = {x.op.name: np.zeros(x.shape, "float32") for x in graph.inputs if x.op.name in dict(graph.state)}
    other = dict(kept)
    after = dict(graph.state)
    for position, ids in ((0, [[5, 9, 2]]), (3, [[7]]), (4, [[1, 8]])):
        given = {"ids": np.array(ids, "int32"), "slot": np.array([2], "int32"),
                 "position": np.array([position], "int32")}  # fmt: skip
        mine, theirs = interpreter.run(graph, {**given, **kept}), by_runtime(data, {**given, **other})
        assert relative_error(theirs["logits"], mine["logits"]) < 1e-5
        kept = {name: mine[after[name]] for name in kept}
        other = {name: theirs[after[name]] for name in other}
    facts = {p.key: p.value for p in onnx.ModelProto.FromString(data).metadata_props}
    assert json.loads(facts["state"]) == [list(pair) for pair in graph.state]


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "grouped convolution": (nn.Conv2d(4, 8, 3, 1, (1, 2), groups=2, dilation=2), (2, 4, 6, 7)),
    "transposed": (nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), (2, 3, 5, 5)),
    "pools": (nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d(2)), (2, 3, 8, 8)),
    "group norm": (nn.GroupNorm(2, 6), (2, 6, 4, 4)),
    "rms norm": (nn.RMSNorm(6), (2, 5, 6)),
    "activations": (nn.Sequential(nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.Softplus()), (2, 7)),
    "gru": (nn.GRU(4, 5), (3, 2, 4)),
    "rnn": (nn.RNN(4, 5), (3, 2, 4)),
    "upsampling": (nn.Upsample(2, "bilinear"), (1, 2, 4, 5)),
}


class First(nn.Module):
    """The first result of a module, where it has several."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("opset", [17, 20])
def test_layers_leave(name: str, opset: int) -> None:
    layer, shape = LAYERS[name]
    x = np.random.default_rng(2).standard_normal(shape).astype("float32")
    graph = freeze(First(stirred(layer)), x, batch=None)
    assert_leaves(graph, {"input": x}, opset)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_running_sums_leave_in_the_dtype_they_are_taken_in(dtype: str) -> None:
    """Of integers in int64 here, while ONNX keeps the dtype: what is read comes back to that."""
    x, given = Node(Input("x"), (), Type((2, 3), dtype)), np.arange(6).reshape(2, 3).astype(dtype)
    again = assert_leaves(Graph((x,), (("y", apply(ops.CumSum(1), x)),)), {"x": given})
    assert again.outputs[0][1].type.dtype == ("int64" if dtype == "int32" else dtype)
    model = onnx.helper.make_graph(
        [onnx.helper.make_node("CumSum", ["x", "axis"], ["y"])], "sums",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT32, [2, 3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, [2, 3])],
        [onnx.helper.make_tensor("axis", onnx.TensorProto.INT64, [], [1])],
    )  # fmt: skip
    read = exchange.loads(onnx.helper.make_model(model).SerializeToString())
    assert read.outputs[0][1].type.dtype == "int32"
    assert interpreter.run(read, {"x": np.ones((2, 3), "int32")})["y"].tolist() == [[1, 2, 3]] * 2


PROMOTED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "quotients of integers": (ops.EWiseDiv(), ("int32", "int32")),
    "an integer times a fraction": (ops.MulScalar(0.5), ("int32",)),
    "an integer and a fraction": (ops.AddScalar(0.25), ("int64",)),
    "powers of an integer": (ops.PowerScalar(0.5), ("int64",)),
    "bounds of an integer": (ops.Clip(0.5, 2.5), ("int32",)),
    "an integer and a float": (ops.EWiseMul(), ("int32", "float32")),
    "floats of two kinds": (ops.EWiseAdd(), ("float32", "float64")),
    "integers compared with floats": (ops.Less(), ("int32", "float32")),
    "truths in order": (ops.Greater(), ("bool", "bool")),
    "truths multiplied": (ops.EWiseMul(), ("bool", "bool")),
    "numbers as truths": (ops.LogicalAnd(), ("int32", "bool")),
    "a choice": (ops.Where(), ("int32", "int64", "float32")),
    "a root": (ops.Sqrt(), ("int32",)),
    "gelu of doubles": (ops.GELU(True), ("float64",)),
    "differences": (ops.SquaredDifference(), ("int64", "int64")),
    "a sum": (ops.Summation((1,)), ("int32",)),
    "a mean": (ops.Mean((1,)), ("int32",)),
    "a variance": (ops.Var((1,)), ("int64",)),
    "softmax": (ops.Softmax(), ("int32",)),
    "products": (ops.MatMul(), ("int32", "float32")),
}


@pytest.mark.parametrize("name", PROMOTED)
def test_dtypes_that_meet_in_another_are_cast(name: str) -> None:
    op, dtypes = PROMOTED[name]
    nodes = tuple(Node(Input(f"x{i}"), (), Type((3, 3), dtype)) for i, dtype in enumerate(dtypes))
    draw = np.random.default_rng(1)
    graph = Graph(nodes, (("y", apply(op, *nodes)),))
    given = {f"x{i}": draw.integers(0 if d == "bool" else 1, 4, (3, 3)).astype(d) for i, d in enumerate(dtypes)}
    again = assert_leaves(graph, given)
    assert again.outputs[0][1].type.dtype == graph.outputs[0][1].type.dtype


def test_all_reasons_against_writing_come_at_once() -> None:
    x = Node(Input("x"), (), Type((2, 4, 4, 3), "float32"))
    bad = apply(ops.AdaptiveAvgPool((3, 3)), x)
    worse = apply(ops.ConvWeightGradient(1, 1, 3), x, x)
    graph = Graph((x,), (("a", bad), ("b", worse)))
    with pytest.raises(OnnxError, match=r"for 2 reasons:\n.*AdaptiveAvgPool.*(\n.*)*ConvWeightGradient.*training"):
        exchange.dumps(graph)
    with pytest.raises(OnnxError, match=r"opset must be in 13..24, got 9"):
        exchange.dumps(graph, 9)
    x = np.random.default_rng(2).random((4, 6), "float32")
    with pytest.raises(OnnxError, match="export the float model that was quantized"):
        exchange.dumps(quantize(freeze(nn.Linear(6, 4), x[:1]), {"input": x}))


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    x = Node(Input("x"), (), Type((2, 4, 4, 3), "float32"))
    with pytest.raises(OnnxError):
        exchange.save(Graph((x,), (("y", apply(ops.AdaptiveAvgPool((3, 3)), x)),)), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
