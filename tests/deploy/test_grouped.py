"""Convolutions in groups of channels, dilated, and padded by rows and columns apart, as programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy import Compiled, Graph, Instant, build, freeze, interpreter
from deploy.compare import relative_error
from deploy.ir import Input, Node, apply, constant
from needle import Tensor, nn, ops
from needle.types import Type


class Activated(nn.Module):
    """A layer, and an activation that its epilogue knows."""

    def __init__(self, layer: nn.Module, kind: str) -> None:
        super().__init__()
        self.layer, self.kind = layer, kind

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if self.kind == "silu":
            return ops.silu(y)
        gate = ops.clip(y * (1 / 6) + 0.5, 0.0, 1.0)
        return {"relu6": lambda: ops.clip(y, 0.0, 6.0), "hard_sigmoid": lambda: gate, "hard_swish": lambda: y * gate}[
            self.kind
        ]()


def separable() -> Any:
    """Depthwise, pointwise, in groups, dilated: what small networks for images are made of."""
    np.random.seed(11)
    return nn.Sequential(
        Activated(nn.Conv2d(3, 8, 3, stride=2, padding=1), "hard_swish"),
        Activated(nn.Conv2d(8, 8, 3, padding=1, groups=8), "relu6"),
        Activated(nn.Conv2d(8, 24, 1), "silu"),
        nn.Conv2d(24, 12, 3, padding=2, dilation=2, groups=3), nn.ReLU(),
        Activated(nn.Conv2d(12, 12, 5, padding=4, dilation=2, groups=12), "hard_sigmoid"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> Graph:
    return freeze(separable(), np.zeros((1, 3, 16, 12)))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, 3, 16, 12)).astype("float32")


def test_the_program_computes_what_the_graph_means(graph: Graph) -> None:
    x = images(3)
    assert relative_error(Instant(graph)(x), interpreter.run(graph, {"input": x})["output"]) < 1e-5


def test_biases_and_activations_are_epilogues(graph: Graph) -> None:
    calls = {(call.kernel, call.epilogue) for call in Instant(graph).program.calls}
    assert calls >= {
        ("conv", ("bias", "hard_swish")), ("depthwise", ("bias", "relu6")), ("grouped_conv", ("bias", "relu")),
        ("depthwise", ("bias", "hard_sigmoid")), ("linear", ("bias", "silu")),
    }  # fmt: skip
    assert not any(kernel.startswith("map") for kernel, _ in calls)


def test_a_row_has_the_bits_it_has_alone(graph: Graph) -> None:
    x, instant = images(33), Instant(graph)
    whole = instant(x)
    assert all(np.array_equal(instant(x[i : i + 1])[0], whole[i]) for i in (0, 7, 32))
    assert np.array_equal(Instant(graph, threads=2)(x), whole)


@pytest.mark.parametrize(("size", "dilation", "padding"), [(9, 2, 2), (9, 3, 1), (6, 12, 12), (5, 4, 6), (7, 36, 36)])
def test_dilated_kernels_are_products_of_the_taps_that_reach(size: int, dilation: int, padding: int) -> None:
    """Not of a wide kernel that is zeros for the most part: dilated by 36, one of 3 x 3 would be 73 x 73."""
    np.random.seed(5)
    net = nn.Sequential(nn.Conv2d(4, 6, 3, padding=padding, dilation=dilation), nn.ReLU(), nn.Conv2d(6, 5, 1))
    x = np.random.default_rng(3).standard_normal((3, 4, size, size)).astype("float32")
    instant = Instant(freeze(net, x[:1]))
    expected = net.eval()(Tensor(x)).numpy()
    np.testing.assert_allclose(instant(x), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(instant(x[1:2])[0], instant(x)[1])
    assert instant.program.block_floats < 4 * sum(p.size for p in net.parameters()) + 1000


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "pads"), [(5, 2, 1, 6, (0, 4)), (3, 3, 1, 4, (4, 3)), (9, 4, 2, 3, (2, 5))]
)
def test_one_tap_that_reaches_is_still_a_window(size: int, kernel: int, stride: int, dilation: int, pads: Any) -> None:
    rng = np.random.default_rng(7)
    x, w = (rng.standard_normal(s).astype("float32") for s in ((2, size, 3), (kernel, 3, 4)))
    given = Node(Input("x"), (), Type(x.shape))
    conv = apply(ops.ConvND((stride,), (pads,), (dilation,)), given, constant(w))
    alone = Graph((given,), (("y", conv),))
    expected = interpreter.run(alone, {"x": x})["y"]
    np.testing.assert_allclose(Instant(alone).run(x=x)["y"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_the_compiled_program_has_the_same_bits(graph: Graph, cache: Any) -> None:
    built = build(graph, name="separable")
    with Compiled(built.library, built.weights) as compiled:
        for count in (1, 9):
            assert np.array_equal(compiled(images(count)), Instant(graph)(images(count)))
