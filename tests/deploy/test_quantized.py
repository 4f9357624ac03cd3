"""Networks in bytes: what a graph becomes, the same bits in every engine, batch and instruction set, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Compiled, DeployError, Graph, Instant, build, freeze, interpreter
from deploy.ir import Node
from deploy.nd import dumps, loads
from deploy.passes import optimize
from deploy.quantize import quantize, rewriting
from deploy.quantize.layers import errors_by_layer
from deploy.quantize.measure import relative
from deploy.quantize.scales import Observed, Scale, column_scales, scale_of
from deploy.quantized_ops import (
    ByteTable,
    Dequantize,
    PackBytes,
    Quantize,
    QuantizedConv,
    QuantizedMatMul,
    QuantizedProduct,
)  # fmt: skip
from needle import Tensor, nn, ops
from needle.backend_ndarray import NDArray
from needle.errors import DTypeError, ShapeError
from needle.types import Type
from tests.deploy.conftest import conv_bn, small_net

draw = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype("float32")


def pools_and_curves() -> nn.Module:
    """Maxima, a normalisation behind them, GELU, 6 and 10 channels, a sum."""
    np.random.seed(4)
    norm = nn.BatchNorm2d(12)
    norm.running_mean, norm.running_var = Tensor(normal(12)), Tensor(np.abs(normal(12)) + 0.5)
    norm.weight = nn.Parameter(normal(12))  # of both signs
    body = nn.Sequential(nn.Conv(10, 10, 3), nn.ReLU(), nn.Conv(10, 10, 3))
    return nn.Sequential(
        nn.Conv(3, 6, 3), nn.GELU(), nn.Conv(6, 12, 3), nn.MaxPool2d(2), norm, nn.GELU(), nn.Conv(12, 10, 3, stride=2),
        nn.Residual(body), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(10, 7),
    )  # fmt: skip


def activations() -> Any:
    """Those that products take up in float32: of bytes they are tables, also where they are made of several ops."""
    np.random.seed(6)
    layers = [nn.Conv2d(a, 8, 3, padding=1) for a in (3, 8, 8, 8)]
    head = nn.Linear(8, 4)

    def forward(x: Tensor) -> Tensor:
        x = ops.clip(layers[0](x), 0.0, 6.0)
        x = ops.silu(layers[1](x))
        y = layers[2](x)
        x = y * ops.clip(y * (1 / 6) + 0.5, 0.0, 1.0)
        y = layers[3](x)
        return head(ops.max(y * ops.sigmoid(y), axis=(2, 3)))

    return forward


NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "residual": (small_net, (3, 8, 8)),
    "pools and curves": (pools_and_curves, (3, 9, 8)),
    "activations": (activations, (3, 6, 5)),
    "means": (lambda: nn.Sequential(conv_bn(3, 8, 3, 1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)), (3, 4, 4)),
    "products": (lambda: nn.Sequential(nn.Linear(9, 33), nn.ReLU(), nn.Linear(33, 6)), (9,)),
}


@pytest.fixture(scope="module", params=NETS)
def pair(request: pytest.FixtureRequest) -> tuple[Graph, Graph]:
    """A graph of floats, and of bytes."""
    make, shape = NETS[request.param]
    model = make()
    if isinstance(model, nn.Module):
        model.eval()
    graph = freeze(model, Type(("batch", *shape)))
    return graph, quantize(graph, {"input": normal(64, *shape)})


def rows(graph: Graph, count: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, *map(int, graph.inputs[0].shape[1:]))).astype("float32")


def ops_of(graph: Graph, kind: type) -> list[Node]:
    return [x for x in graph.order() if isinstance(x.op, kind)]


def test_every_product_becomes_one_of_bytes_and_costs_little(pair: tuple[Graph, Graph]) -> None:
    plain, found = pair
    products = [x for x in optimize(plain).order() if "Fused" in type(x.op).__name__]
    assert len(ops_of(found, QuantizedProduct)) == len(products)
    assert not [x for x in found.order() if "Fused" in type(x.op).__name__]
    x = rows(plain, 50)
    error = relative(*(interpreter.run(graph, {"input": x})["output"] for graph in pair))
    assert 0 < error < 0.06


def test_activations_between_products_are_tables_of_bytes() -> None:
    graph = freeze(activations(), Type(("batch", 3, 6, 5)))
    found = quantize(graph, {"input": normal(16, 3, 6, 5)})
    assert len(ops_of(found, ByteTable)) == 3 and len(ops_of(found, Quantize)) == 2  # the last is read by maxima


def test_a_row_has_the_interpreters_bits_at_every_batch_on_any_number_of_threads(pair: tuple[Graph, Graph]) -> None:
    _, graph = pair
    x = rows(graph, 33)
    expected = meant(graph, x)
    with Instant(graph) as one, Instant(graph, threads=2) as two, Instant(graph, max_batch=5) as pieces:
        for batch in range(1, 34):
            assert np.array_equal(one(x[:batch]), expected[:batch])
        assert np.array_equal(two(x), expected) and np.array_equal(pieces(x), expected)


def meant(graph: Graph, x: np.ndarray) -> np.ndarray:
    """By the interpreter; where floats are summed in between, in which numpy has an order of its own, row by row."""
    if ops_of(graph, ops.AvgPool):
        with Instant(graph) as instant:
            return np.concatenate([instant(x[i : i + 1]) for i in range(len(x))])
    found = interpreter.run(graph, {"input": x})["output"]
    assert np.array_equal(interpreter.run(graph, {"input": x}, array=NDArray)["output"], found)
    return found


def test_it_is_an_ordinary_file_and_passes_leave_its_bits(pair: tuple[Graph, Graph]) -> None:
    _, graph = pair
    again = loads(dumps(graph))
    assert dumps(again) == dumps(graph)
    x = rows(graph, 3)
    results = [interpreter.run(g, {"input": x})["output"] for g in (graph, again, optimize(again))]
    assert all(np.array_equal(results[0], y) for y in results)


@pytest.mark.thorough
def test_the_compiled_program_has_the_same_bits(pair: tuple[Graph, Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    _, graph = pair
    built, x = build(graph, name="bytes", levels="all"), rows(graph, 9)
    for isa in ("v2", "v3", "v4", ""):
        monkeypatch.setenv("NEEDLE_ISA", isa)
        with Compiled(built.library, built.weights) as compiled:
            assert np.array_equal(compiled(x), meant(graph, x))


PRINTS = """
import sys, hashlib, numpy as np
from deploy import Graph, Instant
graph = Graph.load(sys.argv[1])
x = np.random.default_rng(7).standard_normal((9, *map(int, graph.inputs[0].shape[1:]))).astype("float32")
print(hashlib.sha256(Instant(graph)(x).tobytes()).hexdigest())
"""


@pytest.mark.thorough
def test_instruction_sets_have_the_same_bits(tmp_path: Path) -> None:
    """v4 is without the instruction for bytes that this processor may have beyond it; others where they were built."""
    make, shape = NETS["residual"]
    graph = freeze(make(), Type(("batch", *shape)))
    quantize(graph, {"input": normal(16, *shape)}).save(tmp_path / "net.nd")
    found = set()
    for isa in ("", "v4", "v3", "v2"):
        command = [sys.executable, "-c", PRINTS, str(tmp_path / "net.nd")]
        done = subprocess.run(command, env=os.environ | {"NEEDLE_ISA": isa}, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_errors_by_layer_name_what_became_bytes() -> None:
    graph = freeze(small_net(), Type(("batch", 3, 8, 8)))
    x = {"input": normal(32, 3, 8, 8)}
    made = rewriting(graph, x)
    made.graph_of_bytes()
    found = errors_by_layer(made, x)
    products = ops_of(made.graph_of_bytes(), QuantizedProduct)
    assert len(found) == len(products)  # each but the last, and the input
    assert all(0 < error < 0.1 for _, error in found) and any("FusedConv bias relu" in about for about, _ in found)


def test_what_products_cannot_be_stays_in_float32() -> None:
    def model(x: Tensor) -> Tensor:
        return ops.matmul(ops.reshape(x, (x.shape[0], 4, 9)), ops.transpose(ops.reshape(x, (x.shape[0], 4, 9))))

    with pytest.raises(DeployError, match=r"\[quantize\] the graph has no convolution or product with weights"):
        quantize(freeze(model, Type(("batch", 36))), {"input": normal(3, 36)})


def test_outliers_do_not_make_all_numbers_coarse() -> None:
    seen, numbers = Observed(), np.append(draw.standard_normal(1_500_000), 100.0).astype("float32")
    seen.widen(numbers)
    seen.count(numbers)
    low, high = float(numbers.min()), 100.0
    step = seen.scale().step
    assert step < 0.6 * scale_of(low, high).step  # and yet not as small as if it were not there
    assert step > scale_of(low, -low).step


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(0.0, 2.55, 0), (-1.28, 1.27, 128), (-2.55, 0.0, 255), (-0.1, 10.0, 3)]
)
def test_a_range_holds_zero_exactly(low: float, high: float, zero: int) -> None:
    scale = scale_of(low, high)
    assert scale.zero == zero and Quantize(*scale).compute(np.zeros(1, "float32"))[0] == zero
    x = np.linspace(low, high, 1001).astype("float32")
    back = Dequantize(*scale).compute(Quantize(*scale).compute(x))
    assert np.abs(back - x).max() <= scale.step * 0.5 + scale.step / 2 * (zero in (3,)) + 1e-6


def test_constants_and_zeros_have_a_scale() -> None:
    assert Observed().scale() == Scale(1.0, 0)
    assert column_scales(np.zeros((3, 2))).tolist() == [1.0, 1.0]


def test_biases_far_beyond_the_weights_fit_their_sums() -> None:
    """A column of tiny weights and a large bias: its step grows until the bias is a whole number of steps."""
    layer = nn.Linear(8, 4)
    layer.weight.data = Tensor(normal(8, 4) * np.array([1e-12, 1, 1, 0], "float32"))
    layer.bias.data = Tensor(np.array([[3.0, -2.0, 1e6, 0.5]], "float32"))
    graph = freeze(layer, Type(("batch", 8)))
    x = normal(20, 8)
    found = Instant(quantize(graph, {"input": x}))(x)
    np.testing.assert_allclose(found, Instant(graph)(x), rtol=2e-2, atol=5e-2)


@pytest.mark.parametrize(
    ("op", "types", "error", "says"),
    [
        (Quantize(0.0), [Type((2,))], ShapeError, r"\[quantize\] needs step > 0 and multiple >= 1, got 0.0, 1"),
        (Quantize(1.0, 256), [Type((2,))], ShapeError, r"what stands for zero must be 0..255, got 256"),
        (Quantize(1.0), [Type((2,), "int8")], DTypeError, r"needs float32 of one axis or more"),
        (Dequantize(1.0), [Type((2,))], DTypeError, r"\[dequantize\] needs uint8, got float32"),
        (ByteTable(), [Type((2, 3), "uint8"), Type((4, 256), "uint8")], ShapeError, r"\(256,\) or \(C, 256\)"),
        (PackBytes(), [Type((6, 3), "int8")], ShapeError, r"\[pack bytes\] needs a matrix of 4, 8, 12, ... rows"),
        (
            QuantizedConv(), [Type((1, 4, 4, 3), "uint8"), Type((3, 3, 3, 8), "int8"), Type((8,), "int32"), Type((8,))],
            ShapeError, r"stride >= 1, padding >= 0 and Ci of 4, 8, 12, ..., got 1, 0 and 3",
        ),
        (
            QuantizedConv(), [Type((1, 2, 2, 4), "uint8"), Type((3, 3, 4, 8), "int8"), Type((8,), "int32"), Type((8,))],
            ShapeError, r"the kernel \(3, 3, 4, 8\) does not fit into \(1, 2, 2, 4\), padded 0",
        ),
        (
            QuantizedMatMul(epilogue=("add", "add")),
            [Type((1, 4), "uint8"), Type((4, 8), "int8"), Type((8,), "int32"), Type((8,))],
            ShapeError, "needs an epilogue of",
        ),
        (
            QuantizedMatMul(epilogue=("add",)),
            [Type((1, 4), "uint8"), Type((4, 8), "int8"), Type((8,), "int32"), Type((8,))], ShapeError, "what is added",
        ),
        (
            QuantizedMatMul(),
            [Type((1, 40_000), "uint8"), Type((40_000, 8), "int8"), Type((8,), "int32"), Type((8,))],
            ShapeError, r"sums at most \d+ products in 32 bits",
        ),
        (
            QuantizedMatMul(), [Type((1, 4), "int8"), Type((4, 8), "int8"), Type((8,), "int32"), Type((8,))],
            DTypeError, r"\[quantized matmul\] needs uint8, int8, got int8, int8",
        ),
    ],
)  # fmt: skip
def test_inputs_without_a_meaning_are_refused(op: Any, types: list[Type], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        op.infer(*types)
