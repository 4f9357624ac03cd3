"""Ops that programs make other ops of: the same results, with a batch that stays open and for several of its sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy import EmitError, Graph, Instant, interpreter
from deploy.compare import relative_error
from deploy.ir import Input, Node, apply, constant
from deploy.onnx import ops as only
from needle import ops
from needle.sizes import dim
from needle.types import Type

BATCH = dim("batch", 7)
draw = np.random.default_rng(2)


def weights(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype("float32")


WINDOWS: Any = ((3, 2), (2, 1), ((1, 0), (0, 1)), (1, 2))
OPEN: dict[str, tuple[Any, list[tuple[int, ...]], list[np.ndarray]]] = {  # op, shapes behind the batch, constants
    "convolution of a signal": (ops.ConvND((2,), ((2, 1),), (1,)), [(9, 4)], [weights(3, 4, 6)]),
    "convolution of a volume, in groups": (
        ops.ConvND((1, 2, 1), ((1, 1), (0, 0), (1, 0)), (1, 1, 2), 2), [(4, 5, 6, 4)], [weights(2, 3, 2, 2, 6)]
    ),
    "each channel of a signal": (ops.ConvND((1,), ((2, 0),), (1,), 4), [(8, 4)], [weights(3, 1, 4)]),
    "wide window": (ops.ConvND((1, 1), ((0, 0), (3, 3)), (1, 1)), [(6, 8, 3)], [weights(1, 7, 3, 5)]),
    "one tap that meets the map": (ops.ConvND((1, 1), ((1, 1), (1, 1)), (2, 2)), [(3, 3, 2)], [weights(3, 3, 2, 4)]),
    "dilated, one tap that meets the map": (ops.Conv(1, 1, 1, 2), [(3, 3, 2)], [weights(3, 3, 2, 4)]),
    "nothing but padding": (ops.Conv(3, 1), [(1, 1, 2)], [weights(1, 1, 2, 4)]),
    "transposed": (
        ops.ConvNDInputGradient((2, 3), ((1, 0), (0, 2)), (1, 2), 2, (9, 13)), [(4, 4, 6)], [weights(3, 3, 2, 6)]
    ),
    "means of windows": (only.MeanPool(*WINDOWS, True, True), [(2, 7, 6)], []),
    "norms of windows": (only.NormPool(*WINDOWS, False, 3), [(2, 7, 6)], []),
    "largest of windows": (only.MaxPoolIndices(*WINDOWS, True, False), [(2, 7, 6)], []),
    "cubic": (only.Resize((2, 3), (9, 4), (), "cubic", antialias=True), [(2, 5, 7)], []),
    "nearest": (only.Resize((1,), (7,), (1.75,), coordinates="align_corners"), [(4, 3)], []),
    "grid": (only.GridSample("cubic", "reflection", False), [(3, 5, 6), (4, 3, 2)], []),
    "grid with zeros around": (only.GridSample("linear", "zeros", True), [(2, 4, 4, 3), (2, 3, 2, 3)], []),
    "transform": (only.DFT(1, 8, False, True), [(8, 1)], []),
    "best": (ops.TopK(3, 1), [(9, 2)], []),
    "place": (ops.ArgMax(1, True, True), [(9, 2)], []),
    "sums of products": (only.Einsum("...ij,...j->...i"), [(3, 4), (4,)], []),
    "distances": (only.Modulo(True), [(5,), (5,)], []),
}


@pytest.mark.parametrize("name", OPEN)
def test_the_program_computes_what_the_op_means(name: str) -> None:
    op, shapes, constants = OPEN[name]
    inputs = tuple(Node(Input(f"x{i}"), (), Type((BATCH, *shape))) for i, shape in enumerate(shapes))
    made = apply(op, *inputs, *map(constant, constants))
    parts = [made] if isinstance(made.type, Type) else [apply(ops.TupleGetItem(k), made) for k in range(len(made.type))]
    graph = Graph(inputs, tuple((f"y{k}", part) for k, part in enumerate(parts)))
    instant = Instant(graph)
    for batch in (1, 3):
        given = {f"x{i}": np.tanh(weights(batch, *shape)) for i, shape in enumerate(shapes)}
        expected = interpreter.run(graph, given)
        for key, y in instant.run(**given).items():
            assert y.dtype == expected[key].dtype and y.shape == expected[key].shape
            if y.dtype == np.int64:
                np.testing.assert_array_equal(y, expected[key])
            else:
                assert relative_error(y, expected[key]) < 2e-5


def test_sums_of_bytes_are_exact_however_long() -> None:
    a = draw.integers(0, 256, (3, 1000)).astype("uint8")
    b = draw.integers(-128, 128, (1000, 5)).astype("int8")
    a[0], b[:, 0] = 255, -128
    nodes = [Node(Input(name), (), Type(x.shape, str(x.dtype))) for name, x in (("a", a), ("b", b))]
    zeros = [constant(np.array(0, "uint8")), constant(np.array(127, "int8"))]
    found = Instant(Graph(tuple(nodes), (("y", apply(only.MatMulInteger(), *nodes, *zeros)),))).run(a=a, b=b)["y"]
    np.testing.assert_array_equal(found, a.astype("int64") @ (b.astype("int64") - 127))


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_numbers_up_to_an_open_size(dtype: str) -> None:
    x = Node(Input("x"), (), Type((BATCH, 3)))
    instant = Instant(Graph((x,), (("y", Node(only.Arange(-2, 3, BATCH, dtype), (), Type((BATCH,), dtype))),)))
    for batch in (1, 6):
        y = instant.run(x=weights(batch, 3))["y"]
        assert y.dtype == dtype and y.tolist() == list(range(-2, 3 * batch - 2, 3))


def test_what_needs_a_size_that_is_open_is_refused_by_name() -> None:
    x = Node(Input("x"), (), Type((2, dim("width", 9))))
    with pytest.raises(EmitError, match=r"DFT.*where they know the sizes"):
        Instant(Graph((x,), (("y", apply(only.DFT(1, 8, False, True), apply(ops.Reshape((2, x.shape[1], 1)), x))),)))


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_every_row_walks_down_all_trees(aggregate: str) -> None:
    # two trees: x0 <= 0 ? (x1 != 1 ? 3 : 4) : 2, and x2 < -1 ? 6 : 7 with NaN to the first; leaves name targets
    feature, mode = [0, 1, 0, 0, 0, 2, 0, 0], [0, 5, -1, -1, -1, 1, -1, -1]
    threshold, yes, no = [0, 1, 0, 0, 0, -1, 0, 0], [1, 3, 0, 0, 0, 6, 0, 0], [2, 4, 0, 0, 0, 7, 0, 0]
    missing, roots = [0, 0, 0, 0, 0, 1, 0, 0], [0, 5]
    start, stop = [0, 0, 0, 1, 3, 3, 4, 5], [0, 0, 1, 3, 4, 3, 5, 6]
    target, weight = [0, 0, 1, 1, 0, 1], [1, 2, 4, 8, 16, 32]
    tables = [np.array(t, "int64") for t in (feature, mode, threshold, yes, no, missing, roots, start, stop, target)]
    tables[2] = tables[2].astype("float32")
    nodes = [*map(constant, tables), constant(np.array(weight, "float32"))]
    x = Node(Input("x"), (), Type((BATCH, 3)))
    graph = Graph((x,), (("y", apply(only.Trees(2, aggregate), x, *nodes)),))
    given = {"x": np.array([[0, 1, 0], [-1, 2, -2], [1, 0, np.nan], [np.nan, 1, 5]], "float32")}
    np.testing.assert_array_equal(Instant(graph).run(**given)["y"], interpreter.run(graph, given)["y"])
