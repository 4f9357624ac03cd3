"""Convolutions in groups of channels, dilated, and padded by rows and columns apart, as programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy import Compiled, Graph, Instant, build, freeze, interpreter
from deploy.compare import relative_error
from needle import nn


def separable() -> Any:
    """Depthwise, pointwise, in groups, dilated: what small networks for images are made of."""
    np.random.seed(11)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(),
        nn.Conv2d(8, 24, 1), nn.Conv2d(24, 12, 3, padding=2, dilation=2, groups=3), nn.ReLU(),
        nn.Conv2d(12, 12, 5, padding=4, dilation=2, groups=12),
    )  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> Graph:
    return freeze(separable(), np.zeros((1, 3, 16, 12)))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, 3, 16, 12)).astype("float32")


def test_the_program_computes_what_the_graph_means(graph: Graph) -> None:
    x = images(3)
    assert relative_error(Instant(graph)(x), interpreter.run(graph, {"input": x})["output"]) < 1e-5


def test_a_row_has_the_bits_it_has_alone(graph: Graph) -> None:
    x, instant = images(33), Instant(graph)
    whole = instant(x)
    assert all(np.array_equal(instant(x[i : i + 1])[0], whole[i]) for i in (0, 7, 32))
    assert np.array_equal(Instant(graph, threads=2)(x), whole)


@pytest.mark.thorough
def test_the_compiled_program_has_the_same_bits(graph: Graph, cache: Any) -> None:
    built = build(graph, name="separable")
    with Compiled(built.library, built.weights) as compiled:
        for count in (1, 9):
            assert np.array_equal(compiled(images(count)), Instant(graph)(images(count)))
