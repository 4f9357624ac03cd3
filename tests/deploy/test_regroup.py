"""Reshapes that are views: the axes of one shape in terms of those of another, against numpy and in programs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import needle as ndl
from deploy import Instant, freeze, interpreter
from deploy.compare import relative_error
from deploy.passes import optimize
from deploy.regroup import common_factors, exact, reshaped_strides
from needle import nn, ops
from needle.sizes import dim

B = dim("batch", 7)


@pytest.mark.parametrize(
    ("a", "b", "factors", "ours", "theirs"),
    [
        ((6, 4), (2, 12), [2, 3, 4], [[0, 1], [2]], [[0], [1, 2]]),
        ((197, B, 768), (197, 12 * B, 64), [197, B, 12, 64], [[0], [1], [2, 3]], [[0], [1, 2], [3]]),
        ((1, 5, 1), (5,), [5], [[], [0], []], [[0]]),
        ((), (1,), [], [], [[]]),
    ],
)
def test_axes_are_products_of_common_factors(a: tuple, b: tuple, factors: list, ours: list, theirs: list) -> None:
    assert common_factors(a, b) == (factors, ours, theirs)


@pytest.mark.parametrize(
    ("a", "b"),
    [((6, 4), (4, 6)), ((6,), (5,)), ((B + 1, 2), (2, B + 1)), ((B, 3), (3, B)), ((6,), (2,)), ((0,), (0, 2))],
)
def test_there_may_be_none(a: tuple, b: tuple) -> None:
    assert common_factors(a, b) is None


def test_quotients_hold_for_every_size() -> None:
    assert exact(12 * B, B) == 12 and exact(4 * B * B, 2 * B) == 2 * B
    assert exact(12, 5) is None and exact(B, 2) is None and exact(B, B + 1) is None


def test_views_are_those_of_numpy() -> None:
    draw = np.random.default_rng(0)
    found = {True: 0, False: 0}
    for _ in range(3000):
        factors = draw.choice([1, 2, 3, 5], draw.integers(1, 6))

        def joined(sizes: np.ndarray) -> tuple[int, ...]:
            cuts = np.flatnonzero(draw.random(len(sizes) - 1) < 0.6) + 1
            return tuple(math.prod(map(int, part)) for part in np.split(sizes, cuts))

        shape = joined(factors)
        x = np.arange(2 * math.prod(shape), dtype="float32").reshape(2, *shape)[:1].transpose(
            draw.permutation(len(shape) + 1)
        )
        wanted = joined(draw.permutation(factors))
        steps = [s // 4 for s in x.strides]
        strides = reshaped_strides(x.shape, steps, wanted)
        expected = x.reshape(wanted)
        if strides is not None:
            taken = np.lib.stride_tricks.as_strided(x, wanted, [4 * s for s in strides])
            assert np.array_equal(taken, expected)
        elif common_factors(x.shape, wanted) is not None:
            assert not np.shares_memory(expected, x)
        found[strides is not None] += 1
    assert min(found.values()) > 300


class TimeFirst(nn.Module):
    """Attention as some exporters write it: time first, batch and heads joined to one axis and split again."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(16, 48)

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        steps, batch = x.shape[1], x.shape[0]
        y = self.project(ops.permute(x, (1, 0, 2)))
        parts = ops.permute(ops.reshape(y, (1, steps, batch, 3, 16)), (3, 1, 2, 0, 4))
        parts = ops.reshape(parts, (3, steps, batch, 16))

        def heads(k: int) -> ndl.Tensor:
            joined = ops.permute(ops.reshape(parts[k], (steps, 4 * batch, 4)), (1, 0, 2))
            return ops.reshape(joined, (batch, 4, steps, 4))

        return ops.permute(ops.attention(*map(heads, range(3)), scale=0.5)[0], (0, 2, 1, 3))


def test_heads_are_read_where_the_product_put_them() -> None:
    np.random.seed(0)
    x = np.random.default_rng(1).standard_normal((3, 5, 16)).astype("float32")
    graph = freeze(TimeFirst(), x[:1])
    instant = Instant(graph)
    kernels = [call.kernel for call in instant.program.calls]
    assert kernels[kernels.index("linear") :][:2] == ["linear", "attention"]
    expected = interpreter.run(graph, {"input": x})["output"]
    assert relative_error(instant(x), expected) < 1e-5
    assert relative_error(interpreter.run(optimize(graph), {"input": x})["output"], expected) < 1e-6
