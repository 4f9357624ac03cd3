"""Values and gradients of the ops beside PyTorch's, where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from needle import BACKEND, Tensor, TensorTuple, autograd, ops
from tests.case import Case
from tests.cases import CASES, TORCH

torch = pytest.importorskip("torch")


PAIRED = [case for case in CASES if type(case.op) in TORCH]


def leaves_of(case: Case, make: Callable[[Any, bool], Any]) -> list[Any]:
    """The inputs of a case, each made by make(array, whether it is differentiated)."""
    return [
        tuple(make(part, True) for part in x) if isinstance(x, tuple) else make(x, i not in case.fixed)
        for i, x in enumerate(case.inputs)
    ]


def flat(leaves: list[Any], case: Case) -> list[Any]:
    chosen = [x for i, x in enumerate(leaves) if i not in case.fixed]
    return [part for x in chosen for part in (x if isinstance(x, tuple) else (x,))]


@pytest.mark.parametrize("case", PAIRED, ids=lambda case: case.name)
def test_value_and_gradient_are_those_of_torch(case: Case) -> None:
    dtype = "float32" if BACKEND == "nd" else "float64"
    ours = leaves_of(case, lambda x, wanted: Tensor(x, dtype=dtype, requires_grad=wanted))
    result = case.op(*[ops.make_tuple(*x) if isinstance(x, tuple) else x for x in ours])
    found = (list(result) if isinstance(result, TensorTuple) else [result])[: case.outputs]

    theirs = leaves_of(case, lambda x, wanted: torch.tensor(x, dtype=torch.float32, requires_grad=wanted))
    value = TORCH[type(case.op)](case.op, *theirs)
    expected = (list(value) if isinstance(value, tuple) else [value])[: case.outputs]

    draw = np.random.default_rng(1)
    weights = [draw.standard_normal(tuple(y.shape)).astype("float32") for y in expected]
    for y, meant in zip(found, expected, strict=True):
        np.testing.assert_allclose(y.numpy().reshape(meant.shape), meant.detach().numpy(), rtol=1e-4, atol=1e-5)
    if not flat(ours, case) or not found:
        return
    adjoints = {y: Tensor(w.reshape(y.shape), dtype=dtype) for y, w in zip(found, weights, strict=True)}
    total = sum((y * torch.tensor(w)).sum() for y, w in zip(expected, weights, strict=True))
    total.backward()
    for got, leaf in zip(autograd.vjp(adjoints, flat(ours, case)), flat(theirs, case), strict=True):
        np.testing.assert_allclose(got.numpy(), leaf.grad.numpy(), rtol=1e-3, atol=1e-4)
