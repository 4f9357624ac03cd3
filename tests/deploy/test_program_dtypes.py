"""Every op in every dtype that programs accept: instant and compiled give what the op gives on arrays, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from deploy import Compiled, EmitError, Graph, Instant, build, freeze, interpreter
from deploy.compare import relative_error
from deploy.ir import Input, Node, apply
from deploy.lower import CALLS, HELD, Refused
from needle import Tensor, nn, ops
from needle.backend_ndarray import NDArray
from needle.errors import NeedleError
from needle.sizes import dim
from needle.types import DTYPES, TYPES, Type
from tests.cases import CASES

# What moves, casts, chooses, compares and counts; the other ops are of floats.
OF_ANY = (
    ops.Permute, ops.Transpose, ops.BroadcastTo, ops.Reshape, ops.Flip, ops.Split, ops.Stack, ops.Concat, ops.GetItem,
    ops.Dilate, ops.UnDilate, ops.Take, ops.Gather, ops.Cast, ops.Where, ops.Summation, ops.Max, ops.Min, ops.Mean,
    ops.Var, ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual, ops.LogicalAnd,
    ops.LogicalOr, ops.LogicalNot, ops.EWiseAdd, ops.EWiseMul, ops.EWiseDiv, ops.Maximum, ops.Minimum, ops.Negate,
    ops.Abs, ops.Sign, ops.ReLU, ops.Clip, ops.AddScalar, ops.MulScalar, ops.DivScalar, ops.Exp, ops.SquaredDifference,
    ops.Embed, ops.Iota,
)  # fmt: skip
BATCH = dim("batch", 7)


def drawn(dtype: str, shape: tuple[int, ...], ids: int | None, seed: int) -> np.ndarray:
    """Numbers at the ends of the dtype and around 0; of ids, those below a limit."""
    generator = np.random.default_rng(seed)
    if ids is not None:
        return generator.integers(0, ids, shape).astype(dtype)
    if dtype.startswith("float"):
        return generator.integers(-9, 9, shape).astype(dtype) / np.dtype(dtype).type(4)
    record = TYPES[dtype]
    low, high = (0, 2) if dtype == "bool" else (max(record.low, -1000), min(record.high, 1000))
    values = generator.integers(low, high, shape)
    if dtype != "bool" and shape and values.size:
        values.reshape(-1)[0] = record.high - 1  # sums and products wrap around
    return values.astype(dtype)


def samples() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """(name, op, inputs) for each op of OF_ANY that takes the dtypes."""
    for left, right in product(sorted(DTYPES), repeat=2):
        yield f"cast_{left}_{right}", ops.Cast(right), (drawn(left, (2, 3), None, 5),)
    seen: dict[tuple[type, str], int] = {}
    for index, case in enumerate(CASES):
        op, inputs = case.op, case.inputs
        shapes = [np.shape(y) for x in inputs for y in (x if isinstance(x, tuple) else (x,))]
        if not isinstance(op, OF_ANY) or isinstance(op, ops.Cast) or any(0 in shape for shape in shapes):
            continue
        for dtype in sorted(DTYPES):
            seen[type(op), dtype] = seen.get((type(op), dtype), 0) + 1
            if seen[type(op), dtype] > 2:
                continue

            def one(x: Any, i: int, dtype: str = dtype, index: int = index, op: Any = op, inputs: Any = inputs) -> Any:
                if isinstance(x, tuple):
                    return tuple(one(y, i) for y in x)
                chooses = isinstance(op, ops.Take | ops.Gather)
                if isinstance(op, ops.Embed) and i == 1:
                    return drawn("float32", np.shape(x), None, index + i)
                if (isinstance(op, ops.Embed) and i == 0) or (chooses and i == 1):
                    limit = np.shape(inputs[1])[0] if isinstance(op, ops.Embed) else np.shape(inputs[0])[op.axis]
                    return drawn("int64" if chooses else dtype, np.shape(x), limit, index + i)
                return drawn(dtype, np.shape(x), None, index + 7 * i)

            yield f"s{index}_{dtype}", op, tuple(one(x, i) for i, x in enumerate(inputs))


def of_arrays(array: np.ndarray) -> Any:
    return NDArray(array, dtype=str(array.dtype))


def joined() -> tuple[Graph, dict[str, np.ndarray]]:
    """One graph of all the samples that the ops themselves accept, and its inputs."""
    given: dict[str, np.ndarray] = {}
    inputs: list[Node] = []
    outputs: list[tuple[str, Node]] = []

    def placed(name: str, x: Any) -> Node:
        if isinstance(x, tuple):
            return apply(ops.MakeTensorTuple(), *(placed(f"{name}_{k}", y) for k, y in enumerate(x)))
        given[name] = x
        inputs.append(Node(Input(name), (), Type(x.shape, str(x.dtype))))
        return inputs[-1]

    for name, op, arrays in samples():
        before = len(inputs)
        nodes = [placed(f"{name}_{i}", x) for i, x in enumerate(arrays)]
        try:
            node = apply(op, *nodes)
        except NeedleError:  # -bool, a negative number in uint8
            del inputs[before:]
            continue
        several = not isinstance(node.type, Type)
        parts = [apply(ops.TupleGetItem(k), node) for k in range(len(node.type))] if several else [node]
        if all(part.type.dtype in HELD for part in parts):
            outputs += [(f"{name}_y{k}", part) for k, part in enumerate(parts)]
    return Graph(tuple(inputs), tuple(outputs)), given


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, y in expected.items():
        assert found[name].dtype == y.dtype, name
        if y.dtype.kind == "f":
            assert relative_error(found[name], y) < (1e-5 if y.dtype == np.float32 else 1e-12), name
        else:
            np.testing.assert_array_equal(found[name], y, err_msg=name)


def test_every_op_in_every_dtype_at_once() -> None:
    graph, given = joined()
    used = {x.op.name for x in graph.inputs}
    given = {name: x for name, x in given.items() if name in used}
    assert len(graph.outputs) > 400 and {type(node.op) for node in graph.order()} >= set(OF_ANY)
    assert not [op for op in OF_ANY if isinstance(CALLS[op], Refused)]
    check(Instant(graph).run(**given), interpreter.run(graph, given, array=of_arrays))
    with np.errstate(all="ignore"):  # 1 / 0, and what wraps around
        on_numpy = interpreter.run(graph, given)  # numpy promotes otherwise by itself
    assert {name: str(y.dtype) for name, y in on_numpy.items()} == {name: y.type.dtype for name, y in graph.outputs}


@pytest.mark.thorough
def test_the_compiled_program_has_the_same_elements(cache: Any) -> None:
    graph, given = joined()
    chosen = [output for i, output in enumerate(graph.outputs) if i % 7 == 0]  # of seven times as many types and ops
    graph = Graph(tuple(x for x in Graph((), tuple(chosen)).order() if isinstance(x.op, Input)), tuple(chosen))
    given = {x.op.name: given[x.op.name] for x in graph.inputs}
    built = build(graph, name="every_dtype")
    with Compiled(built.library, built.weights) as compiled:
        check(compiled.run(**given), Instant(graph).run(**given))


@pytest.mark.parametrize(("left", "right"), list(product(sorted(DTYPES), repeat=2)))
def test_operands_of_two_dtypes_meet_as_eager_ones_do(left: str, right: str) -> None:
    """With strides, broadcasting, a named size, and of no more than one element."""
    for shape in ((1,), (3, 1)):
        a = Node(Input("a"), (), Type((BATCH, 5), left))
        b = Node(Input("b"), (), Type(shape, right))
        turned = apply(ops.Permute((1, 0)), a)
        terms = (a, b) if shape == (1,) else (turned, _stretched(b))
        outputs = {"sum": apply(ops.EWiseAdd(), *terms)}
        outputs["less"] = apply(ops.Less(), a, apply(ops.Cast(left), a))
        outputs["cast"] = apply(ops.Cast(right), turned)
        graph = Graph((a, b), tuple(outputs.items()))
        for rows in (1, 33):
            given = {"a": drawn(left, (rows, 5), None, rows), "b": drawn(right, shape, None, 3)}
            with np.errstate(all="ignore"):
                check(Instant(graph).run(**given), interpreter.run(graph, given, array=of_arrays))


def _stretched(b: Node) -> Node:
    """(3, 1) as (5, 1): slices of a concatenation."""
    parts = apply(ops.MakeTensorTuple(), b, b)
    return apply(ops.GetItem(((1, 6, 1), (None, None, 1))), apply(ops.Concat(0), parts))


def test_what_is_outside_is_nan_or_zero() -> None:
    ids = np.array([2, -1, 7, -9], "int64")
    for dtype, missing in (("float32", np.nan), ("int32", 0), ("bool", False), ("int64", 0), ("uint8", 0)):
        x = np.array([1, 0, 1]).astype(dtype)
        nodes = Node(Input("x"), (), Type((3,), dtype)), Node(Input("ids"), (), Type((4,), "int64"))
        found = Instant(Graph(nodes, (("y", apply(ops.Take(0), *nodes)),))).run(x=x, ids=ids)["y"]
        np.testing.assert_array_equal(found, np.array([1, 1, missing, missing], dtype))


def test_a_dtype_that_no_program_holds_is_refused() -> None:
    x = Node(Input("x"), (), Type((2,), "complex64"))
    with pytest.raises(EmitError, match=r"programs hold bfloat16, .*not complex64: cast it"):
        Instant(Graph((x,), (("y", apply(ops.Reshape((1, 2)), x)),)))
    ids = Node(Input("x"), (), Type((2, 2), "int32"))
    with pytest.raises(EmitError, match="compute this op in float32, not in int32: cast it"):
        Instant(Graph((ids,), (("y", apply(ops.Softmax(), apply(ops.Permute((1, 0)), ids))),)))


def test_freezing_keeps_dtypes() -> None:
    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ops.where(x > 3, x + 1, x * 2).sum((1,))

    graph = freeze(Counting(), np.zeros((1, 4), "int32"))
    assert graph.inputs[0].type.dtype == "int32" and graph.outputs[0][1].type.dtype == "int64"
    x = np.array([[1, 2, 5, 4], [0, -1, 2**31 - 1, 9]], "int32")
    expected = np.where(x > 3, x + np.int32(1), x * np.int32(2)).sum(1)
    np.testing.assert_array_equal(Instant(graph)(x), expected)
