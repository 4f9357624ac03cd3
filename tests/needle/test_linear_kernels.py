"""Matrix products and convolution: the compiled kernels against their numpy twins, and both against the definition."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from needle.backend_ndarray import NDArray, cpu
from needle.backend_ndarray.kernels import kernels
from needle.errors import ShapeError

compiled, plain = kernels(NDArray([0.0], device=cpu())), kernels(np.zeros(1))
MATMULS = [
    ((3, 4), (4, 5)), ((1, 7), (7, 1)), ((5, 0), (0, 3)), ((0, 4), (4, 2)), ((33, 20), (20, 17)), ((130, 70), (70, 3)),
    ((2, 3, 4), (4, 5)), ((4, 5), (2, 3, 5, 6)), ((2, 1, 3, 4), (5, 4, 2)), ((6, 2, 3), (6, 3, 2)), ((0, 2, 3), (3, 2)),
]  # fmt: skip
# height, width, input channels, output channels, kernel, stride, padding
CONVS = [
    (5, 5, 3, 2, 3, 1, 1), (6, 4, 2, 17, 3, 2, 1), (7, 6, 3, 4, 4, 3, 0), (1, 1, 5, 6, 3, 1, 1), (2, 2, 4, 33, 3, 2, 1),
    (9, 8, 3, 16, 7, 4, 3), (4, 5, 2, 3, 1, 2, 0), (3, 3, 2, 2, 2, 3, 2), (20, 17, 3, 4, 5, 2, 2),
    (8, 9, 3, 20, 4, 2, 1),
]  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def viewed(a: np.ndarray, layout: str) -> NDArray:
    """The array `a` as a view of memory in another order."""
    if layout == "reversed axes":
        axes = tuple(reversed(range(a.ndim)))
        return NDArray(np.ascontiguousarray(a.transpose(axes)), device=cpu()).permute(axes)
    if layout == "every second":
        wide = np.repeat(a, 2, axis=a.ndim - 1)
        return NDArray(wide, device=cpu())[(*(slice(None),) * (a.ndim - 1), slice(None, None, 2))]
    return NDArray(a, device=cpu())


LAYOUTS = ("compact", "reversed axes", "every second")


def close(got: NDArray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("a_shape", "b_shape"), MATMULS)
def test_matmul_follows_numpy(rng, a_shape, b_shape, layout):
    a, b = floats(rng, *a_shape), floats(rng, *b_shape)
    close(compiled.matmul(viewed(a, layout), viewed(b, layout)), a @ b)
    assert plain.matmul(a.astype(np.float64), b.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("x_shape", "w_shape"), [pair for pair in MATMULS if len(pair[1]) == 2])
def test_affine_adds_a_row_to_each_row_of_the_product(rng, x_shape, w_shape, layout):
    x, w, bias = viewed(floats(rng, *x_shape), layout), viewed(floats(rng, *w_shape), layout), floats(rng, w_shape[1])
    got = compiled.affine(x, w, NDArray(bias.reshape(1, -1), device=cpu()))
    assert got.shape == (*x_shape[:-1], w_shape[1])
    assert (got.numpy() == compiled.matmul(x, w).numpy() + bias).all()  # the bits of a product and a sum
    close(got, plain.affine(x.numpy(), w.numpy(), bias))


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4), (3,)), ((2, 3), (3, 4), (4, 1)), ((2, 3), (1, 3, 4), (4,))])
def test_affine_refuses_another_bias(rng, shapes):
    given = [floats(rng, *shape) for shape in shapes]
    for kernel, arrays in ((plain, given), (compiled, [NDArray(x, device=cpu()) for x in given])):
        with pytest.raises(ShapeError, match=r"\[affine\] needs x \(..., n\), w \(n, m\) and a bias of m numbers, got"):
            kernel.affine(*arrays)


def test_matmul_reads_broadcast_and_sliced_operands(rng):
    a, b = floats(rng, 1, 4), floats(rng, 9, 6)
    wide = NDArray(a, device=cpu()).broadcast_to((5, 4))
    close(compiled.matmul(wide, NDArray(b, device=cpu())[2:9:2, 1:6]), np.broadcast_to(a, (5, 4)) @ b[2:9:2, 1:6])


def definition(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """The convolution summed as it is written, in double precision."""
    x = np.pad(x.astype(np.float64), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    k = w.shape[0]
    rows, columns = ((size - k) // stride + 1 for size in x.shape[1:3])
    y = np.empty((x.shape[0], rows, columns, w.shape[3]))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, i, j] = np.einsum("nklc,klco->no", patch, w.astype(np.float64))
    return y


@pytest.mark.parametrize("images", [1, 9])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", CONVS)
def test_conv_and_its_gradients(rng, sizes, layout, images):
    height, width, channels, outputs, kernel, stride, padding = sizes
    x, w = floats(rng, images, height, width, channels), floats(rng, kernel, kernel, channels, outputs)
    y = definition(x, w, stride, padding)
    np.testing.assert_allclose(plain.conv(x, w, stride, padding), y, rtol=1e-4, atol=1e-4)
    close(compiled.conv(viewed(x, layout), viewed(w, layout), stride, padding), plain.conv(x, w, stride, padding))

    g = floats(rng, *y.shape)
    dx = plain.conv_input_gradient(g, w, stride, padding, height, width)
    dw = plain.conv_weight_gradient(x, g, stride, padding, kernel)
    close(compiled.conv_input_gradient(viewed(g, layout), viewed(w, layout), stride, padding, height, width), dx)
    close(compiled.conv_weight_gradient(viewed(x, layout), viewed(g, layout), stride, padding, kernel), dw)
    # <g, conv(x, w)> is linear in x and in w: its gradients are dx and dw exactly when these agree.
    inner = np.vdot(g.astype(np.float64), y)
    assert np.vdot(dx.astype(np.float64), x) == pytest.approx(inner, rel=1e-4, abs=1e-3)
    assert np.vdot(dw.astype(np.float64), w) == pytest.approx(inner, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_minimal_filtering_is_as_accurate_as_it_says(rng, layout, padding):
    """Large 3x3 convolutions go through Winograd's transforms: errors stay a few times those of the direct chain."""
    x, w = floats(rng, 4, 15, 12, 64), floats(rng, 3, 3, 64, 48)
    g = floats(rng, 4, 13 + 2 * padding, 10 + 2 * padding, 48)
    wide, weight, grad = (a.astype(np.float64) for a in (x, w, g))
    pairs = (
        (compiled.conv(viewed(x, layout), viewed(w, layout), 1, padding), plain.conv(wide, weight, 1, padding)),
        (
            compiled.conv_input_gradient(viewed(g, layout), viewed(w, layout), 1, padding, 15, 12),
            plain.conv_input_gradient(grad, weight, 1, padding, 15, 12),
        ),
        (
            compiled.conv_weight_gradient(viewed(x, layout), viewed(g, layout), 1, padding, 3),
            plain.conv_weight_gradient(wide, grad, 1, padding, 3),
        ),
    )
    for got, expected in pairs:
        error = got.numpy() - expected
        assert error.std() < 2e-6 * expected.std() and np.abs(error).max() < 2e-5 * expected.std()


def test_plain_kernels_keep_double_precision(rng):
    x, w = rng.standard_normal((2, 5, 5, 3)), rng.standard_normal((3, 3, 3, 4))
    y = plain.conv(x, w, 2, 1)
    dx, dw = plain.conv_input_gradient(y, w, 2, 1, 5, 5), plain.conv_weight_gradient(x, y, 2, 1, 3)
    assert y.dtype == dx.dtype == dw.dtype == np.float64
    np.testing.assert_allclose(y, definition(x, w, 2, 1), rtol=1e-12)


def test_bits_do_not_depend_on_the_number_of_threads(rng):
    mod = cpu().mod
    x, w, a, b = (NDArray(floats(rng, *s), device=cpu()) for s in ((20, 9, 8, 5), (3, 3, 5, 18), (70, 600), (600, 130)))
    maps, weight = (NDArray(floats(rng, *s), device=cpu()) for s in ((40, 8, 8, 16), (3, 3, 16, 48)))
    before, digests = mod.num_threads(), set()
    try:
        for threads in (1, 2, 4):
            mod.set_num_threads(threads)
            y = compiled.conv(x, w, 2, 1)
            results = (
                y,
                compiled.conv_input_gradient(y, w, 2, 1, 9, 8),
                compiled.conv_weight_gradient(x, y, 2, 1, 3),
                compiled.matmul(a, b),
                large := compiled.conv(maps, weight),
                compiled.conv_input_gradient(large, weight, 1, 1, 8, 8),
                compiled.conv_weight_gradient(maps, large, 1, 1, 3),
            )
            digests.add(hashlib.sha256(b"".join(r.numpy().tobytes() for r in results)).hexdigest())
    finally:
        mod.set_num_threads(before)
    assert len(digests) == 1


@pytest.mark.parametrize("chosen", [compiled, plain])
def test_mistakes_are_value_errors_that_name_the_shapes(chosen):
    def zeros(*shape: int):
        return np.zeros(shape, np.float32) if chosen is plain else NDArray(np.zeros(shape), device=cpu())

    with pytest.raises(ValueError, match=r"\[matmul\].*\(2, 3\) @ \(2, 3\)"):
        chosen.matmul(zeros(2, 3), zeros(2, 3))
    with pytest.raises(ValueError, match=r"\[matmul\].*\(2, 2, 3\) @ \(3, 3, 2\)"):
        chosen.matmul(zeros(2, 2, 3), zeros(3, 3, 2))
    with pytest.raises(ValueError, match=r"\[matmul\].*two or more"):
        chosen.matmul(zeros(3), zeros(3, 2))
    with pytest.raises(ValueError, match=r"\[conv\].*\(3, 3, 4, 5\)"):
        chosen.conv(zeros(1, 5, 5, 3), zeros(3, 3, 4, 5), 1, 1)
    with pytest.raises(ValueError, match=r"\[conv\].*kernel of 5"):
        chosen.conv(zeros(1, 2, 2, 3), zeros(5, 5, 3, 4), 1, 0)
    with pytest.raises(ValueError, match=r"\[conv\].*stride"):
        chosen.conv(zeros(1, 5, 5, 3), zeros(3, 3, 3, 4), 0, 1)
    with pytest.raises(ValueError, match=r"\[conv_input_gradient\] the gradient must be \(1, 3, 3, 4\)"):
        chosen.conv_input_gradient(zeros(1, 2, 3, 4), zeros(3, 3, 2, 4), 2, 1, 5, 5)
    with pytest.raises(ValueError, match=r"\[conv_weight_gradient\] the gradient must be \(1, 3, 3, 4\)"):
        chosen.conv_weight_gradient(zeros(1, 5, 5, 2), zeros(1, 2, 3, 4), 2, 1, 3)


def test_bindings_refuse_what_does_not_fit():
    mod, a = cpu().mod, cpu().mod.Array(16)

    def view(shape, strides, size=16, offset=0):
        return NDArray.make(shape, strides, cpu(), mod.Array(size), offset)

    for m, n, p in ((4, 4, 5), (-4, 4, 4), (2**40, 2**40, 1), (4, 2**62, 4), (5, 4, 4)):
        with pytest.raises(ValueError, match=r"\[matmul\]"):
            mod.matmul(a, a, mod.Array(16), m, n, p)
    with pytest.raises(ValueError, match="must not be an operand"):
        mod.matmul(a, mod.Array(16), a, 4, 4, 4)
    with pytest.raises(ShapeError, match=r"\[view\] the view reaches elements 0\.\.18 of an array of 16"):
        mod.matmul(view((4, 4), (4, 2)), view((4, 4), (4, 1)))
    with pytest.raises(ShapeError, match=r"\[matmul\].*too large"):
        mod.matmul(view((1, 2**41), (0, 0)), view((2**41, 1), (0, 0)))
    with pytest.raises(ValueError, match="multiples of 8"):
        mod.matmul_tiled(a, a, mod.Array(16), 4, 4, 4)
    image, w = view((1, 4, 4, 2), (32, 8, 2, 1), 32), view((3, 3, 2, 2), (12, 4, 2, 1), 36)
    assert mod.conv(image, w, 1, 1).shape == (1, 4, 4, 2)
    for stride, padding in ((0, 1), (-1, 1), (1, -1), (1, 2**40), (2**40, 1)):
        with pytest.raises(ValueError, match=r"\[conv\]"):
            mod.conv(image, w, stride, padding)
    beyond = ((1, 4, 4, 2), (32, 8, 3, 1), 0), ((1, 4, 4, 2), (32, 8, 2, 1), 1), ((4,), (-1,), 0)
    for shape, strides, offset in beyond:
        with pytest.raises(ShapeError, match=r"\[view\] the view reaches"):
            mod.conv(view(shape, strides, 32, offset), w, 1, 1)
    with pytest.raises(ShapeError, match=r"\[conv_input_gradient\]"):
        mod.conv_input_gradient(image, w, 1, 1, 5, 4)
    with pytest.raises(ShapeError, match=r"\[conv_weight_gradient\]"):
        mod.conv_weight_gradient(image, image, 1, 1, 5)
    with pytest.raises(ShapeError, match="at most 16 axes, got 17"):
        mod.softmax(view((1,) * 17, (1,) * 17))
