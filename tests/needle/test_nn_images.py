"""Layers for images: values and gradients beside PyTorch's, draws, refusals, and where the numbers lie in memory."""

import math

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, nn
from needle.errors import ShapeError

pytestmark = pytest.mark.both_modes


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def close(got, meant, tolerance=1e-4):
    np.testing.assert_allclose(got.numpy(), meant.detach().numpy(), rtol=tolerance, atol=tolerance)


def beside(ours, theirs, x):
    """Forward and backward of both layers on the same image."""
    torch = pytest.importorskip("torch")
    tx = torch.tensor(x, requires_grad=True)
    x = ndl.Tensor(x, dtype="float32")
    y, ty = ours(x), theirs(tx)
    close(y, ty)
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(x.grad, tx.grad, 1e-3)


def given(theirs, ours, permute):
    """PyTorch's layer with the weight and bias of ours."""
    torch = pytest.importorskip("torch")
    theirs.weight.data = torch.tensor(np.ascontiguousarray(ours.weight.numpy().transpose(permute)))
    if ours.bias is not None:
        theirs.bias.data = torch.tensor(ours.bias.numpy())
    return theirs


@pytest.mark.parametrize("options", [
    {}, {"padding": 1}, {"stride": 2, "padding": 2}, {"stride": 3, "bias": False}, {"padding": (2, 1)}, {"dilation": 2},
    {"groups": 2}, {"groups": 2, "stride": 2, "padding": (0, 1), "dilation": 3}, {"groups": 4, "padding": 1},
    {"groups": 4, "out_channels": 4, "padding": 1}, {"groups": 4, "out_channels": 4, "stride": 2, "dilation": 2},
])  # fmt: skip
def test_conv2d_is_torchs(options):
    torch = pytest.importorskip("torch")
    options = {"out_channels": 8, **options}
    ours = nn.Conv2d(4, kernel_size=3, **options)
    theirs = given(torch.nn.Conv2d(4, kernel_size=3, **options), ours, (3, 2, 0, 1))
    beside(ours, theirs, values(2, 4, 8, 9))
    close(ours.weight.grad, theirs.weight.grad.permute(2, 3, 1, 0), 1e-3)
    if ours.bias is not None:
        close(ours.bias.grad, theirs.bias.grad, 1e-3)


def test_wide_groups_are_torchs():
    """So wide that each group is a convolution by itself."""
    torch = pytest.importorskip("torch")
    ours = nn.Conv2d(64, 96, 3, padding=(1, 0), groups=2)
    theirs = given(torch.nn.Conv2d(64, 96, 3, padding=(1, 0), groups=2), ours, (3, 2, 0, 1))
    beside(ours, theirs, values(2, 64, 6, 5))
    close(ours.weight.grad, theirs.weight.grad.permute(2, 3, 1, 0), 1e-3)


@pytest.mark.parametrize("options", [
    {}, {"stride": 2}, {"stride": 2, "padding": 1}, {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": 3, "padding": 2, "output_padding": 2, "bias": False},
])  # fmt: skip
@pytest.mark.parametrize(("size", "kernel"), [((4, 3), 4), ((1, 1), 5), ((5, 2), 3)])
def test_conv_transpose2d_is_torchs(size, kernel, options):
    torch = pytest.importorskip("torch")
    ours = nn.ConvTranspose2d(3, 2, kernel, **options)
    theirs = given(torch.nn.ConvTranspose2d(3, 2, kernel, **options), ours, (3, 2, 0, 1))
    beside(ours, theirs, values(2, 3, *size))
    close(ours.weight.grad, theirs.weight.grad.permute(2, 3, 1, 0), 1e-3)
    if ours.bias is not None:
        close(ours.bias.grad, theirs.bias.grad, 1e-3)


@pytest.mark.parametrize(("name", "options", "size"), [
    ("MaxPool2d", (2,), (6, 8)), ("MaxPool2d", (3, 2, 1), (7, 9)), ("MaxPool2d", ((2, 3), (1, 2)), (5, 7)),
    ("AvgPool2d", (2,), (6, 9)), ("AvgPool2d", (3, 2, 1), (7, 9)),
    ("AdaptiveAvgPool2d", (1,), (5, 6)), ("AdaptiveAvgPool2d", ((3, 4),), (5, 6)), ("AdaptiveMaxPool2d", (3,), (7, 5)),
])  # fmt: skip
def test_pooling_is_torchs(name, options, size):
    torch = pytest.importorskip("torch")
    beside(getattr(nn, name)(*options), getattr(torch.nn, name)(*options), values(2, 3, *size))


@pytest.mark.parametrize(("ours", "theirs", "shape"), [
    (lambda: nn.GroupNorm(2, 6), lambda torch: torch.nn.GroupNorm(2, 6), (3, 6, 4, 5)),
    (lambda: nn.GroupNorm(3, 6), lambda torch: torch.nn.GroupNorm(3, 6), (3, 6)),
    (lambda: nn.InstanceNorm2d(4), lambda torch: torch.nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 3)),
    (lambda: nn.RMSNorm(6), lambda torch: torch.nn.RMSNorm(6, eps=1e-5), (3, 4, 6)),
    (lambda: nn.LayerNorm(6), lambda torch: torch.nn.LayerNorm(6), (3, 4, 6)),
])  # fmt: skip
def test_normalisations_are_torchs(ours, theirs, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = ours(), theirs(torch)
    for i, (mine, their) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
        mine.data = image(*mine.shape, seed=i + 1)
        their.data = torch.tensor(mine.numpy())
    beside(ours, theirs, values(*shape))
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(mine.grad, their.grad, 1e-3)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("option", [
    {"scale": 2}, {"scale": 1.7}, {"scale": (3, 0.6)}, {"size": 11}, {"size": (3, 9)}, {"size": (1, 1)},
])  # fmt: skip
def test_upsampling_is_torchs(mode, option):
    torch = pytest.importorskip("torch")
    theirs = {{"scale": "scale_factor"}.get(name, name): value for name, value in option.items()}
    beside(nn.Upsample(mode=mode, **option), torch.nn.Upsample(mode=mode, **theirs), values(2, 3, 5, 7))


def test_the_gradient_of_a_maximum_goes_to_the_first_of_equals():
    x = ndl.Tensor(np.zeros((1, 1, 4, 4)), dtype="float32")
    nn.MaxPool2d(2)(x).sum().backward()
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected)


def test_not_a_number_is_the_largest_and_padding_never_is():
    x = -np.ones((1, 1, 4, 4), "float32")
    x[0, 0, 1, 1] = np.nan
    y = nn.MaxPool2d(2)(ndl.Tensor(x, dtype="float32")).numpy()[0, 0]
    assert np.isnan(y[0, 0]) and (y[1] == -1).all()
    y = nn.MaxPool2d(3, 2, 1)(ndl.Tensor(-np.ones((1, 2, 4, 4)), dtype="float32")).numpy()
    assert (y == -1).all()


def test_draws_are_those_of_conv():
    np.random.seed(0)
    course = nn.Conv(3, 5, 3)
    np.random.seed(0)
    layer = nn.Conv2d(3, 5, 3, padding=1)
    np.testing.assert_array_equal(layer.weight.numpy(), course.weight.numpy())
    np.testing.assert_array_equal(layer.bias.numpy(), course.bias.numpy())
    np.random.seed(0)
    layer = nn.ConvTranspose2d(3, 5, 4)
    assert layer.weight.shape == (4, 4, 5, 3) and layer.bias.shape == (5,)
    assert abs(layer.weight.numpy()).max() <= math.sqrt(6 / (3 * 16))
    assert abs(layer.bias.numpy()).max() <= 1 / math.sqrt(3 * 16)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: nn.Conv2d(3, 4, (3, 5)), r"\[Conv2d\] kernel_size must be one positive size for both axes, got \(3, 5\)"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), r"\[Conv2d\] groups must divide .*, got 2 for 3 and 4"),
    (lambda: nn.Conv2d(3, 4, 3)(image(2, 4, 8, 8)), r"\[Conv2d\] needs 3 features on axis 1"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=2), r"\[ConvTranspose2d\] output_padding must be"),
    (lambda: nn.ConvTranspose2d(3, 4, 2, padding=1)(image(2, 3, 1, 1)), r"\[conv_transpose\] padding 1 leaves nothing"),
    (lambda: nn.GroupNorm(3, 4), r"\[GroupNorm\] groups must divide the channels, got 3 for 4"),
    (lambda: nn.InstanceNorm2d(3)(image(2, 4, 8, 8)), r"\[InstanceNorm2d\] needs 3 features on axis 1"),
    (lambda: nn.Upsample(2, size=3), r"\[Upsample\] needs either a scale or a size, .* got 2, 3 and 'nearest'"),
    (lambda: nn.Upsample(2, "cubic"), r"\[Upsample\] needs .* a mode of nearest or bilinear, got 2, None and 'cubic'"),
    (lambda: nn.Upsample(0.1)(image(2, 3, 8, 8)), r"\[upsample\] needs a size of 1 or more each way"),
    (lambda: nn.MaxPool2d(2)(image(2, 8, 8)), r"\[MaxPool2d\] needs images \(B, C, H, W\), got shape \(2, 8, 8\)"),
    (lambda: nn.MaxPool2d(2.0)(image(1, 1, 8, 8)), r"\[images\] a size is one whole number, or two .*, got 2.0"),
    (lambda: nn.MaxPool2d(3)(image(1, 1, 2, 8)), r"\[max_pool\] kernel \(3, 3\) does not fit"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


def test_dtypes():
    """Everything works in float64; means of whole numbers are floats, their maxima whole numbers."""
    x = ndl.Tensor(values(2, 4, 6, 5), dtype="float64")
    for layer in (
        nn.Conv2d(4, 4, 3, groups=4, dtype="float64"), nn.Conv2d(4, 2, 2, dilation=2, dtype="float64"),
        nn.ConvTranspose2d(4, 2, 3, dtype="float64"), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(3), nn.Upsample(2),
        nn.GroupNorm(2, 4, dtype="float64"), nn.InstanceNorm2d(4, dtype="float64"),
    ):  # fmt: skip
        y = layer(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == "float64", layer
    whole = ndl.Tensor(np.arange(16).reshape(1, 1, 4, 4), dtype="int64", requires_grad=False)
    assert nn.MaxPool2d(2)(whole).dtype == "int64" and nn.MaxPool2d(4)(whole).numpy().item() == 15
    assert str(nn.AvgPool2d(4)(whole).dtype).startswith("float") and nn.AvgPool2d(4)(whole).numpy().item() == 7.5


def image(*shape, seed=0):
    return ndl.Tensor(values(*shape, seed=seed), dtype="float32")


@pytest.mark.skipif(BACKEND == "np", reason="numpy's layers may copy as they like")
def test_memory_stays_channels_last_from_layer_to_layer():
    """From the first convolution on every layer leaves channels side by side, forward and backward."""
    x = image(2, 3, 9, 8)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.Conv2d(8, 8, 1, groups=2),
        nn.BatchNorm2d(8), nn.GroupNorm(4, 8), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(3, 1, 1),
        nn.ConvTranspose2d(8, 5, 2, stride=2), nn.AdaptiveMaxPool2d(3), nn.AdaptiveAvgPool2d(2),
        nn.Upsample(2), nn.Upsample(1.5, "bilinear"),
    ]  # fmt: skip
    maps = []
    for layer in layers:
        x = layer(x)
        assert x.cached_data.strides == dense(x.shape), layer
        maps.append(x)
    x.sum().backward()
    graded = [x for x in maps[:-1] if x.grad is not None]  # permuting back and forth leaves no node behind
    assert len(graded) >= 2
    for x in graded:
        assert x.grad.cached_data.strides == dense(x.shape), x.shape


def dense(shape):
    """The strides of images (B, C, H, W) whose channels lie side by side."""
    _, channels, height, width = shape
    return channels * height * width, 1, channels * width, channels
