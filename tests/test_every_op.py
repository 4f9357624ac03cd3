"""Every op, against its meaning: value, type, gradient, second gradient, layouts, refusals, documentation."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from needle import BACKEND, Tensor, TensorTuple, array_api, autograd, ops
from needle.errors import NeedleError
from needle.sizes import dim
from needle.types import Type
from tests.case import Case
from tests.cases import CASES, MEANING, REFUSALS, meaning
from tests.op_table import PAGE, markdown

pytestmark = pytest.mark.both_modes

CLASSES = [op for op in vars(ops).values() if isinstance(op, type) and issubclass(op, autograd.Op)]
ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda x: np.array(x, dtype="float64"),
    "float32": lambda x: np.array(x, dtype="float32"),
}
if BACKEND == "nd":
    ARRAYS |= {
        "cpu": lambda x: array_api.NDArray(x, device=array_api.cpu()),
        "cpu_numpy": lambda x: array_api.NDArray(x, device=array_api.cpu_numpy()),
    }
NATIVE = ["cpu"] if BACKEND == "nd" else ["float64", "float32"]
TOLERANCE = {"float64": 1e-7, "float32": 2e-5, "cpu": 2e-5, "cpu_numpy": 2e-5}
by_array = pytest.mark.parametrize("kind", ARRAYS)


def by_case(test: Callable[..., None]) -> Any:
    """The test of a `case` as a test of each op that runs all of its cases; what fails names the case.

    There are a thousand cases, and with most tests pytest itself would take longer than the case.
    """

    @pytest.mark.parametrize("op", CLASSES, ids=lambda op: op.__name__)
    @functools.wraps(test)
    def of_op(op: type, **arguments: Any) -> None:
        for case in CASES:
            if type(case.op) is op:
                try:
                    test(case=case, **arguments)
                except Exception as error:
                    error.add_note(f"for {case.name}")
                    raise

    names = ["op", *list(inspect.signature(test).parameters)[1:]]
    of_op.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # which pytest reads
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    )
    return of_op


def tensors(inputs: tuple[Any, ...], array: Callable[[np.ndarray], Any], requires_grad: bool = False) -> list[Any]:
    """The arrays as leaves; a tuple of arrays as a tuple of leaves."""
    made = Tensor.make_const
    return [
        tuple(made(array(part), requires_grad=requires_grad) for part in x)
        if isinstance(x, tuple)
        else made(array(x), requires_grad=requires_grad)
        for x in inputs
    ]


def applied(case: Case, leaves: list[Any]) -> list[Tensor]:
    """The outputs of the case's op; what it saves for its gradient is computed anew from the leaves."""
    if case.saved:
        values = case.saved(*[x.numpy().astype(float) for x in leaves])
        like = leaves[0].realize_cached_data()
        leaves = leaves + [Tensor.make_const(ops.array_compat.constant(like, value)) for value in values]
    result = case.op(*[ops.make_tuple(*x) if isinstance(x, tuple) else x for x in leaves])
    return list(result) if isinstance(result, TensorTuple) else [result]


def outputs(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def assert_equal(case: Case, found: list[Tensor], meant: Any, tolerance: float) -> None:
    meant = outputs(meant)
    assert len(found) == len(meant)
    for y, expected in zip(found, meant, strict=True):
        got = y.numpy()
        if np.shape(expected) == () and got.shape == (1,):
            got = got.reshape(())  # an NDArray's number
        assert got.shape == np.shape(expected)
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op", CLASSES, ids=lambda op: op.__name__)
def test_each_op_is_a_frozen_dataclass_with_cases_and_mathematics(op: type) -> None:
    assert dataclasses.is_dataclass(op) and op.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert op in MEANING and any(type(case.op) is op for case in CASES)
    assert op.__doc__ and not op.__doc__.startswith(op.__name__)  # dataclasses write "Name(field: type)" by themselves
    for answered in ("infer", "compute", "gradient"):
        assert getattr(op, answered) is not getattr(autograd.Op, answered)


@by_array
@by_case
def test_value_is_the_meaning(case: Case, kind: str) -> None:
    found = applied(case, tensors(case.inputs, ARRAYS[kind]))
    tolerance = max(TOLERANCE[kind], 1e-6 if case.saved else 0)  # whose meaning is measured by differences
    meant = meaning(case, *case.all_inputs(case.inputs))
    assert_equal(case, found, meant, tolerance)
    for y, expected in zip(found, outputs(meant), strict=True):
        own = kind if kind in ("float64", "float32") else "float32"
        own = getattr(case.op, "dtype", own)
        assert str(y.dtype) == {"b": "bool", "i": "int64"}.get(np.asarray(expected).dtype.kind, own)


@pytest.mark.parametrize("kind", NATIVE)
@by_case
def test_inferred_type_is_the_computed_one(case: Case, kind: str) -> None:
    values = [x.realize_cached_data() if isinstance(x, Tensor) else [y.realize_cached_data() for y in x]
              for x in tensors(case.all_inputs(case.inputs), ARRAYS[kind])]  # fmt: skip
    types = [tuple(map(type_of, x)) if isinstance(x, list) else type_of(x) for x in values]
    computed = applied(case, tensors(case.inputs, ARRAYS[kind]))
    inferred = case.op.infer(*types)
    assert ([inferred] if isinstance(inferred, Type) else list(inferred)) == [
        type_of(y.realize_cached_data()) for y in computed
    ]


@by_case
def test_type_rule_takes_sizes_with_names(case: Case) -> None:
    def types(size: Callable[[int], int]) -> list[Any]:
        def of(x: np.ndarray) -> Type:
            return Type(tuple(map(size, x.shape)), "float32")

        return [tuple(map(of, x)) if isinstance(x, tuple) else of(x) for x in case.all_inputs(case.inputs)]

    assert case.op.infer(*types(lambda n: dim(f"n{n}", n, low=0))) == case.op.infer(*types(int))


def type_of(array: Any) -> Type:
    return Type(tuple(array.shape), str(array.dtype))


def relaid(x: np.ndarray, layout: str) -> tuple[np.ndarray, Callable[[Any], Any]]:
    """Values that suit a layout, and how to lay an array of these values out that way without changing them."""
    if layout == "strided":  # every second element of an array with a border
        wide = np.zeros([2 * n + 1 for n in x.shape])
        wide[tuple(slice(1, None, 2) for _ in x.shape)] = x
        return wide, lambda a: a[tuple(slice(1, None, 2) for _ in x.shape)]
    if layout == "permuted":
        backwards = tuple(reversed(range(x.ndim)))
        return x.transpose(backwards), lambda a: ops.array_compat.permute(a, backwards)
    row = x[:1]
    return row, lambda a: np.broadcast_to(a, x.shape) if isinstance(a, np.ndarray) else a.broadcast_to(x.shape)


@pytest.mark.parametrize("kind", ["cpu", "float64"] if BACKEND == "nd" else ["float64"])
@pytest.mark.parametrize("layout", ["strided", "permuted", "broadcast"])
@by_case
def test_layout_in_memory_does_not_matter(case: Case, layout: str, kind: str) -> None:
    array, leaves = ARRAYS[kind], []
    for x in case.inputs:
        parts = []
        for part in x if isinstance(x, tuple) else (x,):
            if part.ndim and part.size:
                values, lay_out = relaid(part, layout)
                parts.append(Tensor.make_const(lay_out(array(np.ascontiguousarray(values)))))
            else:
                parts.append(Tensor.make_const(array(part)))
        leaves.append(tuple(parts) if isinstance(x, tuple) else parts[0])
    values = tuple(tuple(p.numpy() for p in x) if isinstance(x, tuple) else x.numpy().astype(float) for x in leaves)
    tolerance = max(TOLERANCE[kind], 1e-5 if case.saved else 0)
    assert_equal(case, applied(case, leaves), meaning(case, *case.all_inputs(values)), tolerance)


def pulled_back(results: list[Tensor], weights: list[Tensor], variables: list[Tensor]) -> list[Any]:
    """The adjoints of `variables` when those of `results` are `weights`."""
    adjoints: dict[Any, Any] = {}
    for y, weight in zip(results, weights, strict=True):
        adjoints[y] = adjoints[y] + weight if y in adjoints else weight
    return autograd.vjp(adjoints, variables)


def differentiated(case: Case, leaves: list[Any]) -> list[Tensor]:
    chosen = [x for i, x in enumerate(leaves) if i not in case.fixed]
    return [part for x in chosen for part in (x if isinstance(x, tuple) else (x,))]


def cotangents(results: list[Tensor], seed: int) -> list[Tensor]:
    draw = np.random.default_rng(seed)
    return [Tensor.make_const(np.asarray(draw.standard_normal(y.shape)), requires_grad=True) for y in results]


def assert_slopes(loss: Callable[[], float], leaves: list[Tensor], adjoints: list[Any], tolerance: float) -> None:
    """Each adjoint is the slope of the loss, by central differences in every element of every leaf."""
    for leaf, adjoint in zip(leaves, adjoints, strict=True):
        values = leaf.realize_cached_data()
        expected = np.zeros(values.shape)
        for index in np.ndindex(*values.shape):
            kept, eps = values[index], 1e-5
            values[index] = kept + eps
            above = loss()
            values[index] = kept - eps
            expected[index] = (above - loss()) / (2 * eps)
            values[index] = kept
        got = np.zeros(values.shape) if adjoint is None else adjoint.numpy()
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def total(values: list[Tensor], weights: list[Tensor]) -> float:
    return sum(float((y.numpy() * w.numpy()).sum()) for y, w in zip(values, weights, strict=True))


@by_case
def test_gradient_is_the_slope(case: Case) -> None:
    if case.saved:
        return  # it depends on values saved by the op whose gradient it is; see that op's second gradient
    leaves = tensors(case.inputs, ARRAYS["float64"], requires_grad=True)
    weights = cotangents(applied(case, leaves)[: case.outputs], seed=1)
    variables = differentiated(case, leaves)
    adjoints = pulled_back(applied(case, leaves)[: case.outputs], weights, variables)
    assert_slopes(lambda: total(applied(case, leaves)[: case.outputs], weights), variables, adjoints, 1e-6)


@pytest.mark.thorough
@by_case
def test_second_gradient_is_the_slope_of_the_gradient(case: Case) -> None:
    if case.saved:
        return  # it depends on values saved by the op whose gradient it is; see that op's second gradient
    leaves = tensors(case.inputs, ARRAYS["float64"], requires_grad=True)
    weights = cotangents(applied(case, leaves)[: case.outputs], seed=1)

    def gradients() -> list[Tensor]:
        adjoints = pulled_back(applied(case, leaves)[: case.outputs], weights, differentiated(case, leaves))
        return [x for x in adjoints if x is not None]

    first, variables = gradients(), differentiated(case, leaves) + weights
    directions = cotangents(first, seed=2)
    second = pulled_back(first, directions, variables)
    assert_slopes(lambda: total(gradients(), directions), variables, second, 2e-5)


@by_case
def test_gradients_are_recorded_without_data(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, as a graph that is compiled needs them: of placeholders, whose data cannot be asked for."""
    if case.saved:
        return  # what is saved is measured; see the op whose gradient it is
    monkeypatch.setattr(autograd, "LAZY_MODE", True)

    def placeholders(shapes: list[tuple[int, ...]], requires_grad: bool = True) -> list[Tensor]:
        made = [Tensor.make_placeholder(Type(shape, "float32")) for shape in shapes]
        for x in made:
            x.requires_grad = requires_grad
        return made

    def leaf(i: int, x: Any) -> Any:
        parts = placeholders([part.shape for part in (x if isinstance(x, tuple) else (x,))], i not in case.fixed)
        return tuple(parts) if isinstance(x, tuple) else parts[0]

    leaves = [leaf(i, x) for i, x in enumerate(case.inputs)]
    results = applied(case, leaves)[: case.outputs]
    weights, variables = placeholders([y.shape for y in results]), differentiated(case, leaves)
    adjoints = pulled_back(results, weights, variables)
    for x, adjoint in zip(variables, adjoints, strict=True):
        assert adjoint is None or (adjoint.shape == x.shape and adjoint.cached_data is None)
    first = [x for x in adjoints if x is not None]
    second = pulled_back(first, placeholders([x.shape for x in first]), variables + weights)
    assert all(x is None or x.cached_data is None for x in second)


@by_array
@by_case
def test_gradients_agree_between_kinds_of_arrays(case: Case, kind: str) -> None:
    def run(array: Callable[[np.ndarray], Any]) -> list[Any]:
        leaves = tensors(case.inputs, array, requires_grad=True)
        results = applied(case, leaves)[: case.outputs]
        weights = [Tensor.make_const(array(w.numpy())) for w in cotangents(results, seed=1)]
        return [None if x is None else x.numpy() for x in pulled_back(results, weights, differentiated(case, leaves))]

    for got, expected in zip(run(ARRAYS[kind]), run(ARRAYS["float64"]), strict=True):
        if expected is None:
            assert got is None
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("op", "shapes", "message"), REFUSALS, ids=lambda x: str(x)[:40])
def test_wrong_shapes_are_refused_in_plain_words(op: Any, shapes: tuple[Any, ...], message: str) -> None:
    nested = [isinstance(shape, tuple) and bool(shape) and isinstance(shape[0], tuple) for shape in shapes]
    types = [tuple(map(Type, x)) if deep else Type(x) for x, deep in zip(shapes, nested, strict=True)]
    with pytest.raises(NeedleError, match=message):
        op.infer(*types)
    inputs = tuple(tuple(map(np.zeros, x)) if deep else np.zeros(x) for x, deep in zip(shapes, nested, strict=True))
    leaves = tensors(inputs, ARRAYS[NATIVE[0]])
    with pytest.raises(NeedleError, match=message):
        op(*[ops.make_tuple(*x) if isinstance(x, tuple) else x for x in leaves])


def takes_what_infer_takes(op: Any) -> bool:
    """Whether the op is called with a fixed number of inputs and nothing else."""
    own_call = "__call__" in vars(op)
    return not own_call and all(p.kind is not p.VAR_POSITIONAL for p in inspect.signature(op.infer).parameters.values())


FIXED = [op for op in CLASSES if takes_what_infer_takes(op)]


@pytest.mark.parametrize("op", FIXED, ids=lambda op: op.__name__)
def test_a_wrong_number_of_inputs_is_the_caller_s_fault(op: type) -> None:
    case = next(case for case in CASES if type(case.op) is op)
    given = tensors(case.all_inputs(case.inputs), ARRAYS[NATIVE[0]])
    leaves = [ops.make_tuple(*x) if isinstance(x, tuple) else x for x in given]
    for wrong in (leaves[:-1], [*leaves, leaves[0]]):
        with pytest.raises(NeedleError, match=rf"\[{op.__name__}\] needs \d+ inputs?, got {len(wrong)}"):
            case.op(*wrong)


def test_the_table_of_ops_in_the_documentation_is_current() -> None:
    path = Path(__file__).parent.parent / PAGE
    assert path.read_text() == markdown(), f"{PAGE} is stale: python -m tests.op_table writes it"
