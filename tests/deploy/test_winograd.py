"""Convolutions by Winograd's minimal filtering: numbers, their error, when programs choose it, the same bits always."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy import Compiled, Graph, Instant, build, freeze, interpreter
from deploy.compare import relative_error
from deploy.fused_ops import FusedConv
from deploy.lower import lower
from deploy.lower.algorithms import round_of, tile_outputs
from deploy.packed_weights import POINTS, WinogradPack, WinogradTransposedPack, taps_at_points
from deploy.passes import optimize
from needle import nn, ops
from needle.backend_ndarray import ndarray_backend_cpu
from needle.backend_ndarray.plain.linear import conv as reference
from needle.errors import ShapeError
from needle.types import Type

draw = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype("float32")


def graph_of(height: int, width: int, depth: int, out: int, padding: int = 1) -> tuple[Graph, np.ndarray]:
    """A convolution in NHWC, and its weights."""
    layer = nn.Parameter(normal(3, 3, depth, out))
    graph = freeze(lambda x: ops.conv(x, layer, stride=1, padding=padding), Type(("batch", height, width, depth)))
    return graph, layer.numpy()


def doubling(height: int, width: int, depth: int, out: int, padding: int = 1) -> Graph:
    """A transposed convolution in NHWC, of 4 x 4 taps with stride 2."""
    layer = nn.Parameter(normal(4, 4, out, depth))
    gradient = ops.ConvInputGradient(2, padding, *(2 * n + 2 - 2 * padding for n in (height, width)))
    return freeze(lambda x: gradient(x, layer), Type(("batch", height, width, depth)))


def calls(graph: Graph, favoured: int = 1) -> list[str]:
    return [call.kernel for call in lower(optimize(graph), favoured).calls]


@pytest.mark.parametrize(("outputs", "taps"), [(2, 2), (2, 3), (4, 2), (4, 3)])
def test_the_points_of_weights_give_convolutions(outputs: int, taps: int) -> None:
    """A^T [(G w) (B^T d)] is d * w: B^T and A^T follow from G, for they interpolate at the same points."""
    matrix = np.array(taps_at_points(outputs, taps))
    assert matrix.shape == (outputs + taps - 1, taps)
    for t, point in zip(matrix[:-1], POINTS[outputs, taps], strict=True):  # evaluates a polynomial up to a factor
        assert [point * x for x in t[:-1]] == pytest.approx(t[1:])
    w = normal(taps, taps, 5, 20)
    packed = WinogradPack(outputs).compute(w)
    assert packed.shape == WinogradPack(outputs).infer(Type(w.shape)).shape == (2, len(matrix) ** 2, 5, 16)
    expected = np.einsum("pa,qb,abio->pqio", matrix, matrix, w.astype(float)).reshape(-1, 5, 20)
    found = packed.transpose(1, 2, 0, 3).reshape(-1, 5, 32)
    np.testing.assert_allclose(found[..., :20], expected, rtol=2e-7, atol=1e-9)
    assert not found[..., 20:].any()


@pytest.mark.parametrize(
    ("height", "width", "depth", "out", "padding"), [(32, 32, 16, 16, 1), (9, 14, 24, 40, 0), (8, 8, 256, 512, 1)]
)
def test_errors_are_at_most_four_times_those_of_direct_sums(
    height: int, width: int, depth: int, out: int, padding: int
) -> None:
    graph, w = graph_of(height, width, depth, out, padding)
    assert calls(graph) == ["winograd_conv"]
    x = normal(2, height, width, depth)
    exact = reference(x.astype(float), w.astype(float), 1, padding)
    scale = np.sqrt((exact**2).mean())
    with Instant(graph) as instant:
        error = np.sqrt(((instant(x) - exact) ** 2).mean()) / scale
    direct = np.sqrt(((reference(x, w, 1, padding) - exact) ** 2).mean()) / scale
    assert error < 4 * max(direct, 2e-7 * np.sqrt(depth / 16)) and error < 2e-6


NET = nn.Sequential(
    nn.Conv(16, 24, 3), nn.BatchNorm2d(24), nn.ReLU(), nn.Residual(nn.Sequential(nn.Conv(24, 24, 3), nn.ReLU())),
    nn.Conv(24, 40, 3),
)  # fmt: skip


def net(favoured: int = 1) -> Graph:
    NET.eval()
    return freeze(NET, Type(("batch", 16, 12, 11)))


def test_a_row_has_its_bits_at_every_batch_on_any_number_of_threads() -> None:
    graph, x = net(), normal(33, 16, 12, 11)
    assert calls(graph).count("winograd_conv") == 3
    with Instant(graph) as one, Instant(graph, threads=2) as two:
        alone = np.concatenate([one(x[i : i + 1]) for i in range(33)])
        for batch in range(1, 34):
            assert np.array_equal(one(x[:batch]), alone[:batch])
        assert np.array_equal(two(x), alone)


@pytest.mark.thorough
def test_compiled_programs_have_the_bits_of_the_instant_engine() -> None:
    graph, x = net(), normal(5, 16, 12, 11)
    built = build(graph, name="winograd")
    with Instant(graph) as instant, Compiled(built.library, built.weights) as compiled:
        if compiled.isa in ndarray_backend_cpu.__isa__:
            assert np.array_equal(compiled(x), instant(x))


@pytest.mark.parametrize(
    ("op", "shape", "out", "batch", "tile"),
    [
        (FusedConv(1, 1), (1, 32, 32, 16), 16, 1, 4),
        (FusedConv(2, 1), (1, 32, 32, 16), 16, 1, 0),  # a stride
        (FusedConv(1, 3), (1, 32, 32, 16), 16, 1, 0),  # a padding wider than the kernel
        (FusedConv(1, 1), (1, 32, 32, 3), 64, 1, 0),  # too few channels
        (FusedConv(1, 1), (1, 8, 8, 256), 512, 1, 2),  # reading the weights of the larger tile would take longer
        (FusedConv(1, 1), (1, 4, 4, 512), 512, 1, 0),
        (FusedConv(1, 1), (1, 4, 4, 512), 512, 64, 4),  # of which a batch reads them once
        (FusedConv(1, 1), (1, 1, 1, 128), 128, 64, 0),
    ],
)
def test_the_choice_is_one_of_the_shape_and_the_favoured_batch(
    op: Any, shape: tuple[int, ...], out: int, batch: int, tile: int
) -> None:
    assert tile_outputs(op, 3, shape, out, batch) == tile
    assert tile_outputs(op, 5, shape, out, batch) == 0  # a kernel of 5 x 5


def test_a_round_of_tiles_fits_the_caches() -> None:
    assert round_of((32, 32), 16, 4, 3, 1) == 64
    assert round_of((8, 8), 64, 4, 3, 1) == 4  # all there are
    assert round_of((32, 32), 512, 4, 3, 8) == 16


@pytest.mark.parametrize(
    ("height", "width", "depth", "out", "padding", "batch", "tile"),
    [
        (8, 8, 128, 64, 1, 1, 2), (4, 4, 256, 128, 1, 1, 0), (4, 4, 256, 128, 1, 16, 4), (7, 11, 37, 21, 0, 4, 4),
        (8, 13, 40, 70, 2, 8, 4),
    ],
)  # fmt: skip
def test_transposed_convolutions_of_twice_the_stride_are_filtered_too(
    height: int, width: int, depth: int, out: int, padding: int, batch: int, tile: int
) -> None:
    graph, x = doubling(height, width, depth, out, padding), normal(9, height, width, depth)
    (call,) = lower(optimize(graph), batch).calls
    assert call.kernel == ("winograd_transposed" if tile else "transposed_conv")
    assert not tile or call.sizes[-2] == tile
    (expected,) = interpreter.run(graph, {graph.inputs[0].op.name: x}).values()
    with Instant(graph, favoured=batch) as one, Instant(graph, favoured=batch, threads=2) as two:
        found = one(x)
        assert relative_error(found, expected) < 3e-6
        assert np.array_equal(np.concatenate([one(x[i : i + 1]) for i in range(9)]), found)
        assert np.array_equal(two(x), found)


@pytest.mark.thorough
def test_compiled_transposed_convolutions_have_the_bits_of_the_instant_engine() -> None:
    graph, x = doubling(8, 8, 128, 64), normal(5, 8, 8, 128)
    for favoured in (1, 64):
        built = build(graph, name="winograd", favoured=favoured)
        with Instant(graph, favoured=favoured) as instant, Compiled(built.library, built.weights) as compiled:
            if compiled.isa in ndarray_backend_cpu.__isa__:
                assert np.array_equal(compiled(x), instant(x))


def test_a_program_for_another_batch_is_another_structure_with_the_same_numbers() -> None:
    graph, _ = graph_of(4, 4, 64, 64)
    assert (calls(graph), calls(graph, 64)) == (["conv"], ["winograd_conv"])
    programs = [lower(optimize(graph), favoured) for favoured in (1, 64)]
    assert programs[0].structure != programs[1].structure
    x = normal(3, 4, 4, 64)
    with Instant(graph) as direct, Instant(graph, favoured=64) as filtered:
        np.testing.assert_allclose(direct(x), filtered(x), rtol=1e-4, atol=1e-4)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[winograd pack\] needs w \(T, T, I, O\) of 2 or 3 taps"):
        WinogradPack(4).infer(Type((5, 5, 3, 4)))
    with pytest.raises(ShapeError, match=r"\[winograd pack\] needs a kernel of twice the stride 2, got \(3, 3, 3, 4\)"):
        WinogradTransposedPack(2, 1).infer(Type((3, 3, 3, 4)))
