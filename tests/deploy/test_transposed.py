"""Transposed convolutions of programs: weights packed once, phase by phase or as windows, with an epilogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy import Graph, Instant, freeze, interpreter
from deploy.compare import relative_error
from deploy.ir import Input, Node, apply
from deploy.lower import lower
from deploy.packed_weights import TransposedPack, taps_of_phase
from deploy.passes import optimize
from needle import nn, ops
from needle.sizes import dim
from needle.types import Type

draw = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype("float32")


def graph_of(before: int, after: int, size: int, finish: Any = (), **options: int) -> Graph:
    layers = [nn.ConvTranspose2d(before, after, options.pop("kernel"), **options), *finish]
    model = nn.Sequential(*layers)
    model.eval()
    return freeze(model, Type(("batch", before, size, size)))


NORMED = (nn.BatchNorm2d(20), nn.ReLU())
CASES: dict[str, tuple[Graph, int, int, list[str]]] = {
    "doubled": (graph_of(18, 20, 5, NORMED, kernel=4, stride=2, padding=1), 18, 5, ["transposed_conv"]),
    "one pixel": (graph_of(10, 20, 1, NORMED, kernel=4), 10, 1, ["transposed_conv"]),
    "a stride wider than the kernel": (graph_of(4, 17, 3, kernel=2, stride=3), 4, 3, ["transposed_conv"]),
    "no channels to fill a vector": (
        graph_of(16, 3, 6, (nn.Tanh(),), kernel=4, stride=2, padding=1, bias=False), 16, 6,
        ["linear", "add_windows", "map"],
    ),
    "much padding": (graph_of(16, 1, 4, kernel=5, padding=3, bias=False), 16, 4, ["linear", "add_windows"]),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "channels", "size", "kernels"), CASES.values(), ids=CASES)
def test_it_computes_the_graph_and_a_row_has_its_bits(
    graph: Graph, channels: int, size: int, kernels: list[str]
) -> None:
    calls = [call.kernel for call in lower(optimize(graph)).calls if call.kernel != "copy_strided"]
    assert calls == kernels
    x = normal(9, channels, size, size)
    (expected,) = interpreter.run(graph, {graph.inputs[0].op.name: x}).values()
    with Instant(graph) as one, Instant(graph, threads=2) as two:
        found = one(x)
        assert relative_error(found, expected) < 2e-6
        assert np.array_equal(np.concatenate([one(x[i : i + 1]) for i in range(9)]), found)
        assert np.array_equal(two(x), found)


def test_weights_that_are_computed_are_packed_in_the_call() -> None:
    g, w = Node(Input("g"), (), Type((dim("batch", 7), 3, 3, 4))), Node(Input("w"), (), Type((3, 3, 5, 4)))
    graph = Graph((g, w), (("y", apply(ops.ConvInputGradient(2, 1, 5, 5), g, w)),))
    inputs = {"g": normal(2, 3, 3, 4), "w": normal(3, 3, 5, 4)}
    (expected,) = interpreter.run(graph, inputs).values()
    with Instant(graph) as instant:
        (found,) = instant.run(**inputs).values()
    assert relative_error(found, expected) < 2e-6


def test_each_tap_belongs_to_one_phase() -> None:
    for kernel, stride, padding, inputs in ((4, 2, 1, 4), (5, 3, 2, 6), (3, 1, 0, 7), (2, 3, 0, 4)):
        size = (inputs - 1) * stride - 2 * padding + kernel
        phases = [taps_of_phase(size, inputs, kernel, stride, padding, k) for k in range(min(stride, size))]
        assert sorted(tap for taps in phases for tap in taps) == list(range(kernel))
        packed = TransposedPack(stride, padding, size, size, inputs, inputs).infer(Type((kernel, kernel, 3, 17)))
        assert packed.shape == (kernel * kernel * 3 * 32,)
