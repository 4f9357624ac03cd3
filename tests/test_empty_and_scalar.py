"""Every op on inputs without elements and on single numbers: a value of the inferred type, or a refusal in words.

The samples of `tests/families` are taken with each of their sizes in turn replaced by 0, and with every input replaced
by a single number. What an op says from types alone and what it does with arrays must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from needle import BACKEND, Tensor, TensorTuple, array_api, ops
from needle.errors import IndexRangeError, NeedleError
from needle.types import Type
from tests.case import Case
from tests.cases import CASES

pytestmark = pytest.mark.both_modes

FIRST = {type(case.op): case for case in reversed(CASES) if not case.saved}
Shapes = list[Any]  # of the inputs; a list of shapes for a tuple


def variants(case: Case) -> Iterator[Shapes]:
    """The shapes of the inputs with every occurrence of one size replaced by 0; then all as ()."""
    shapes = [[y.shape for y in x] if isinstance(x, tuple) else x.shape for x in case.inputs]

    def replaced(size: int | None) -> Shapes:
        def of(shape: tuple[int, ...]) -> tuple[int, ...]:
            return () if size is None else tuple(0 if n == size else n for n in shape)

        return [[of(shape) for shape in x] if isinstance(x, list) else of(x) for x in shapes]

    sizes = {n for x in shapes for shape in (x if isinstance(x, list) else [x]) for n in shape}
    for size in sorted(sizes):
        yield replaced(size)
    yield replaced(None)


SAMPLES = [(case.op, shapes) for case in FIRST.values() for shapes in variants(case)]


def tensor(shape: tuple[int, ...]) -> Tensor:
    zeros = np.zeros(shape, dtype="float32")
    return Tensor.make_const(array_api.NDArray(zeros, device=array_api.cpu()) if BACKEND == "nd" else zeros)


@pytest.mark.parametrize(("op", "shapes"), SAMPLES, ids=[f"{op} {shapes}".replace(", ", ",") for op, shapes in SAMPLES])
def test_what_types_say_is_what_arrays_do(op: Any, shapes: Shapes) -> None:
    def inferred() -> Any:
        return op.infer(*[tuple(map(Type, x)) if isinstance(x, list) else Type(x) for x in shapes])

    def computed() -> Any:
        y = op(*[ops.make_tuple(*map(tensor, x)) if isinstance(x, list) else tensor(x) for x in shapes])
        return [z.numpy() for z in y] if isinstance(y, TensorTuple) else y.numpy()

    try:
        types = inferred()
    except NeedleError as refusal:
        with pytest.raises(type(refusal)) as refused:
            computed()
        assert str(refused.value) == str(refusal)
        return
    with np.errstate(all="ignore"):
        try:
            y = computed()
        except IndexRangeError:  # index 0 of a table without rows: known only from the numbers
            assert any(0 in shape for shape in shapes)
            return
    got = [Type(z.shape, str(z.dtype)) for z in (y if isinstance(y, list) else [y])]
    assert got == ([types] if isinstance(types, Type) else list(types))
