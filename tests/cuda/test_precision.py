"""cuda() with set_float32_matmul_precision: products of rounded operands. On a device, or in the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import nn
from tests.cuda.test_device import train

pytestmark = pytest.mark.skipif(not ndl.cuda().enabled(), reason="no CUDA device; make cuda-check emulates one")
FRACTION = {"high": 10, "medium": 7}  # bits that are kept
DRAW = np.random.default_rng(0)
TOLERANCE = 1e-4  # of sums of a few hundred; roundings that were left out, or others, differ by 1e-3 and more
NAME = ndl.cuda().device_name() if ndl.cuda().enabled() else ""
device_has_tensor_cores = not NAME.endswith("sm_75")
EMULATED = NAME == "emulated"
SHAPES = [((5, 3), (3, 7)), ((70, 45), (45, 65)), ((8, 600), (600, 9)), ((3, 20, 33), (3, 33, 10))]
WIDE = pytest.param(
    (1500, 300), (300, 1400), marks=pytest.mark.skipif(EMULATED, reason="test_kernels.cpp has these tiles")
)


@pytest.fixture(autouse=True)
def exact_afterwards() -> Iterator[None]:
    yield
    ndl.set_float32_matmul_precision("highest")


@pytest.fixture(params=FRACTION)
def word(request: pytest.FixtureRequest) -> str:
    if not device_has_tensor_cores:
        pytest.skip("Turing's tensor cores have neither type")
    ndl.set_float32_matmul_precision(request.param)
    return str(request.param)


def rounded(word: str, x: np.ndarray) -> np.ndarray:
    """What TF32 (ties away from zero) or bfloat16 (ties to even) make of float32, in float64."""
    fraction, exponent = np.frexp(x.astype("float64"))
    scaled = np.ldexp(fraction, FRACTION[word] + 1)
    whole = np.trunc(scaled + np.copysign(0.5, scaled)) if word == "high" else np.rint(scaled)
    return np.ldexp(whole, exponent - FRACTION[word] - 1)


def normal(*shape: int) -> np.ndarray:
    return DRAW.standard_normal(shape).astype("float32")


def there(x: np.ndarray, **options: Any) -> ndl.Tensor:
    return ndl.Tensor(x, device=ndl.cuda(), **options)


@pytest.mark.parametrize(
    ("left", "right"), [*SHAPES, WIDE], ids=["one tile", "ragged tiles", "parts", "a batch", "wide tiles"]
)
def test_matmul_and_its_gradients_round_their_operands(word: str, left: Any, right: Any) -> None:
    a, b = normal(*left), normal(*right)
    x, y = there(a), there(b)
    out = x @ y
    np.testing.assert_allclose(out.numpy(), rounded(word, a) @ rounded(word, b), rtol=TOLERANCE, atol=TOLERANCE)
    g = normal(*out.shape)
    out.backward(there(g, requires_grad=False))
    for got, (p, q) in ((x.grad, (g, b.swapaxes(-1, -2))), (y.grad, (a.swapaxes(-1, -2), g))):
        np.testing.assert_allclose(
            got.numpy(), rounded(word, p) @ rounded(word, q), rtol=10 * TOLERANCE, atol=10 * TOLERANCE
        )


@pytest.mark.parametrize("layout", ["transposed", "sliced", "broadcast"])
def test_operands_of_any_layout(word: str, layout: str) -> None:
    a, b = normal(40, 48), normal(3, 24, 36)
    x, y = there(a), there(b)
    if layout == "transposed":
        found, expected = x.permute((1, 0))[:24] @ x[:, :7], rounded(word, a).T[:24] @ rounded(word, a)[:, :7]
    elif layout == "sliced":
        found, expected = x[1:39:2, ::2] @ y, rounded(word, a)[1:39:2, ::2] @ rounded(word, b)
    else:
        found, expected = x[:, :24].broadcast_to((3, 40, 24)) @ y, rounded(word, a)[:, :24] @ rounded(word, b)
    np.testing.assert_allclose(found.numpy(), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [((2, 9, 8, 5), (3, 3, 5, 7), 1, 1), ((1, 7, 7, 35), (3, 3, 35, 20), 2, 0), ((2, 6, 6, 3), (5, 5, 3, 4), 1, 2)],
)
def test_convolutions_and_both_gradients_round_their_operands(
    word: str, shape: Any, kernel: Any, stride: int, padding: int
) -> None:
    def run(device: Any, x: np.ndarray, w: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
        maps, weight = ndl.Tensor(x, device=device), ndl.Tensor(w, device=device)
        out = ndl.conv(maps, weight, stride, padding)
        out.backward(ndl.Tensor(g, device=device, requires_grad=False))
        return [t.numpy() for t in (out, maps.grad, weight.grad)]

    x, w = normal(*shape), normal(*kernel)
    g = normal(*ndl.conv(ndl.Tensor(x), ndl.Tensor(w), stride, padding).shape)
    for got, expected in zip(
        run(ndl.cuda(), x, w, g), run(ndl.cpu(), *(rounded(word, t) for t in (x, w, g))), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_what_is_not_finite_or_no_number_stays_so(word: str) -> None:
    a = np.array([[np.inf, 1], [np.nan, 1], [3.4e38, 0], [1e-30, 0]], "float32")
    expected = np.array([[np.inf], [np.nan], [np.inf if word == "medium" else 3.4e38], [1e-30]])
    np.testing.assert_allclose((there(a) @ there(np.array([[1], [0]], "float32"))).numpy(), expected, rtol=0.01)


def test_the_default_has_the_processor_s_bits_before_and_after() -> None:
    a, b = normal(70, 45), normal(45, 65)
    exact = (ndl.Tensor(a) @ ndl.Tensor(b)).numpy()
    np.testing.assert_array_equal((there(a) @ there(b)).numpy(), exact)
    for word in ("high", "medium"):
        ndl.set_float32_matmul_precision(word)
        assert (abs((there(a) @ there(b)).numpy() - exact).max() > 1e-3) == device_has_tensor_cores
        np.testing.assert_array_equal((ndl.Tensor(a) @ ndl.Tensor(b)).numpy(), exact)  # cpu() stays exact
    ndl.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal((there(a) @ there(b)).numpy(), exact)


@pytest.mark.skipif(not EMULATED, reason="the emulator alone can be an old GPU")
def test_gpus_before_ampere_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(20, 30), normal(30, 10)
    monkeypatch.setenv("SIMT_CAPABILITY", "7")
    ndl.set_float32_matmul_precision("medium")
    np.testing.assert_array_equal((there(a) @ there(b)).numpy(), (ndl.Tensor(a) @ ndl.Tensor(b)).numpy())
    assert ndl.get_float32_matmul_precision() == "medium"


def small_net(device: Any) -> nn.Module:
    return nn.Sequential(nn.Conv(3, 4, 3, stride=2, device=device), nn.Flatten(), nn.Linear(64, 5, device=device))


def test_training_has_the_same_bits_in_every_run_and_nearly_those_of_float32(word: str) -> None:
    images, classes = DRAW.standard_normal((6, 3, 8, 8)), DRAW.integers(0, 5, 6)
    runs = [train(ndl.cuda(), small_net, images, classes, ndl.optim.Adam) for _ in range(2)]
    assert runs[0] == runs[1]
    exact = train(ndl.cpu(), small_net, images, classes, ndl.optim.Adam)
    assert runs[0] != exact
    np.testing.assert_allclose(runs[0], exact, rtol=0.03)


def test_recurrent_layers_round_too(word: str) -> None:
    x = normal(5, 3, 8)
    layer = nn.LSTM(8, 8, device=ndl.cuda())
    found = layer(there(x))[0].numpy()
    ndl.set_float32_matmul_precision("highest")
    difference = abs(found - layer(there(x))[0].numpy()).max()
    assert 1e-6 < difference < 0.03
