"""Transforms of batches: each against a plain loop over the images, and the one pass against its parts."""

import numpy as np
import pytest
from PIL import Image

from needle.data import DataLoader, NDArrayDataset
from needle.data.transforms import (
    AlternatingFlip,
    CenterCrop,
    ColorJitter,
    Compose,
    Cutout,
    Normalize,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    Resize,
    ToFloat,
)
from needle.errors import DataError, SettingError

pytestmark = pytest.mark.both_modes

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def batch(n=30, channels=3, height=9, width=7, dtype="uint8"):
    x = np.random.default_rng(0).integers(0, 256, (n, channels, height, width), dtype="uint8")
    return x if dtype == "uint8" else (x / 255).astype(dtype)


def numbers(n, count):
    u = np.random.default_rng(1).random((n, count))
    u[0], u[1] = 0, 1 - 2.0**-53
    return u


def values(x):
    return x if isinstance(x, np.ndarray) else x.numpy()


# one image and its numbers at a time, by the books


def crop(x, u, padding, mode):
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)), mode=mode)
    top, left = (int(number * (2 * padding + 1)) for number in u)
    return padded[:, top : top + x.shape[1], left : left + x.shape[2]]


def cover(x, u, size):
    row, column = int(u[0] * x.shape[1]) - size // 2, int(u[1] * x.shape[2]) - size // 2
    out = x.copy()
    for r in range(x.shape[1]):
        for c in range(x.shape[2]):
            if row <= r < row + size and column <= c < column + size:
                out[:, r, c] = 0
    return out


def scaled(x, change):
    planes = [np.asarray(change(Image.fromarray(plane))) for plane in x]
    return np.stack(planes)


def part(x, u, size, scale, ratio):
    height, width = x.shape[1:]
    area = height * width * (scale[0] + u[0] * (scale[1] - scale[0]))
    wide = ratio[0] * (ratio[1] / ratio[0]) ** u[1]
    w, h = min(np.sqrt(area * wide), width), min(np.sqrt(area / wide), height)
    left, top = u[2] * (width - w), u[3] * (height - h)
    box = (left, top, min(left + w, width), min(top + h, height))
    return scaled(x, lambda plane: plane.resize((size, size), Image.Resampling.BILINEAR, box=box))


def jitter(x, u, amounts):
    top = 255 if x.dtype == "uint8" else 1
    brightness, contrast, saturation = (
        1 + (2 * number - 1) * amount for number, amount in zip(u, amounts, strict=True)
    )
    y = np.clip(x.astype("float64") * brightness, 0, top)
    y = np.clip(contrast * y + (1 - contrast) * grey(y).mean(), 0, top)
    return np.clip(saturation * y + (1 - saturation) * grey(y), 0, top) if len(x) == 3 else y


def grey(x):
    return 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2] if len(x) == 3 else x.mean(axis=0)


REFERENCES = [
    (RandomCrop(3), lambda x, u: crop(x, u, 3, "constant")),
    (RandomCrop(2, "reflect"), lambda x, u: crop(x, u, 2, "reflect")),
    (RandomFlip(0.3), lambda x, u: x[:, :, ::-1] if u[0] < 0.3 else x),
    (Cutout(4), lambda x, u: cover(x, u, 4)),
    (CenterCrop((4, 5)), lambda x, u: x[:, 2:6, 1:6]),
    (Resize((5, 12)), lambda x, u: scaled(x, lambda plane: plane.resize((12, 5), Image.Resampling.BILINEAR))),
    (RandomResizedCrop(6, (0.2, 1)), lambda x, u: part(x, u, 6, (0.2, 1), (3 / 4, 4 / 3))),
    (RandomRotation(30), lambda x, u: scaled(x, lambda p: p.rotate(60 * u[0] - 30, Image.Resampling.BILINEAR))),
]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("transform", "reference"), REFERENCES, ids=[type(t).__name__ for t, _ in REFERENCES])
def test_each_image_by_itself(transform, reference, channels, dtype):
    x, u = batch(channels=channels, dtype=dtype), numbers(30, transform.draws)
    kept = x.copy()
    got = transform(x, u)
    expected = np.stack([reference(image, row) for image, row in zip(x, u, strict=True)])
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == x.dtype and (x == kept).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_jitter(channels):
    amounts = (0.5, 0.8, 1.0)
    for dtype, within in (("uint8", 0.51), ("float32", 1e-5)):
        x, u = batch(channels=channels, dtype=dtype), numbers(30, 3)
        got = ColorJitter(*amounts)(x, u)
        expected = np.stack([jitter(image, row, amounts) for image, row in zip(x, u, strict=True)])
        np.testing.assert_allclose(got.astype("float64"), expected, atol=within)
        assert got.dtype == x.dtype
        np.testing.assert_allclose(ColorJitter()(x, u), x, atol=1e-6)


def test_scaling_of_values():
    x, none = batch(), np.zeros((30, 0))
    mean, std = (np.array(v)[:, None, None] for v in (MEAN, STD))
    for images in (x, batch(dtype="float64")):
        got = Normalize(MEAN, STD)(images, none)
        np.testing.assert_allclose(got, (x / 255 - mean) / std, atol=2e-6)
        assert got.dtype == "float32"
    np.testing.assert_allclose(Normalize(0.5, 0.25)(x, none), (x / 255 - 0.5) / 0.25, atol=1e-6)
    np.testing.assert_allclose(ToFloat()(x, none), x / 255, atol=1e-7)
    np.testing.assert_array_equal(ToFloat()(batch(dtype="float32"), none), batch(dtype="float32"))
    assert ToFloat()(np.full((1, 1, 1, 1), 255, "uint8"), none) == 1


USUAL = [
    (RandomCrop(4, "reflect"), RandomFlip(), Normalize(MEAN, STD)),
    (RandomCrop(6), RandomFlip(), ToFloat()),
    (RandomFlip(), RandomCrop(3), Normalize(MEAN, STD)),
    (RandomFlip(), RandomCrop(3, "reflect"), Cutout(5), Normalize(MEAN, STD)),
    (RandomCrop(2), RandomFlip(), Normalize(MEAN, STD), Cutout(4)),
    (Cutout(50), ToFloat()),
    (Normalize(MEAN, STD), Cutout(3)),
    (RandomFlip(1.0), ToFloat()),
    (ToFloat(),),
]


@pytest.mark.parametrize("size", [(9, 7), (32, 32), (7, 300), (8, 16), (20, 33)])
@pytest.mark.parametrize("transforms", USUAL, ids=repr)
def test_the_one_pass_is_its_parts(transforms, size):
    pipeline = Compose(*transforms)
    x, u = batch(20, 3, *size), numbers(20, pipeline.draws)
    expected, used = x, 0
    for each in transforms:
        expected = each(expected, u[:, used : used + each.draws])
        used += each.draws
    got = pipeline(x, u)
    np.testing.assert_array_equal(values(got), expected)
    np.testing.assert_array_equal(values(pipeline(x[::-1], u[::-1])), expected[::-1])
    assert isinstance(got, np.ndarray) == (pipeline._fused is None) and got.dtype == "float32"


def test_what_the_one_pass_cannot_do_is_done_by_parts():
    colours = (RandomFlip(), ColorJitter(0.5), Normalize(MEAN, STD))
    others = [(RandomCrop(2), RandomCrop(2), ToFloat()), (Cutout(3), RandomCrop(2), ToFloat()), (RandomCrop(2),)]
    for transforms in (colours, *others):
        pipeline = Compose(*transforms)
        x, u = batch(), numbers(30, pipeline.draws)
        assert pipeline._fused is None and len(pipeline(x, u)) == 30
        np.testing.assert_array_equal(pipeline(x[5:9], u[5:9]), pipeline(x, u)[5:9])
    floats = Compose(RandomCrop(2), Normalize(MEAN, STD))
    got = floats(batch(dtype="float32"), numbers(30, 2))
    assert isinstance(got, np.ndarray)  # not bytes: by parts too


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(-1), r"\[RandomCrop\] padding must not be negative, got -1"),
        (lambda: RandomCrop(2, "wrap"), "mode must be one of zero, reflect, got 'wrap'"),
        (lambda: RandomFlip(1.5), r"\[RandomFlip\] p must be a probability, got 1.5"),
        (lambda: Cutout(-2), "size must not be negative"),
        (lambda: ColorJitter(2.0), r"amounts must lie in \[0, 1\], got \(2.0, 0.0, 0.0\)"),
        (lambda: Normalize(0.5, 0.0), "std must be positive"),
        (lambda: RandomResizedCrop(8, scale=(0.0, 1.0)), r"scale must be two shares in \(0, 1\]"),
        (lambda: RandomResizedCrop(8, ratio=(2.0, 1.0)), "ratio must be two positive numbers"),
        (lambda: Compose(RandomFlip), "needs transforms of needle.data.transforms, got <class"),
        (lambda: Compose(RandomCrop(7), ToFloat())(batch(), numbers(30, 2)), r"height and width \(9, 7\), got 7"),
        (lambda: Compose(CenterCrop(8))(batch(), numbers(30, 0)), r"at least 8 x 8, got \(9, 7\)"),
        (lambda: Compose(Normalize((1, 2), 1))(batch(), numbers(30, 0)), "for each of 3 channels"),
        (lambda: Compose(RandomFlip())(batch()[0], numbers(3, 1)), r"got shape \(3, 9, 7\)"),
        (lambda: Compose(RandomFlip())(batch(), numbers(30, 2)), r"numbers of shape \(30, 1\), got \(30, 2\)"),
    ],
)
def test_refusals(make, message):
    with pytest.raises((DataError, SettingError), match=message):
        make()


def test_an_alternating_flip_shows_every_image_from_both_sides_in_two_epochs():
    """Seen through a loader: the side of each image in an epoch, told by a pixel that the flip moves."""
    images = np.zeros((64, 1, 2, 2), dtype="uint8")
    images[:, :, :, 0] = 255
    places = np.arange(64)
    loader = DataLoader(
        NDArrayDataset(images, places), 16, shuffle=True, seed=5, augment=[AlternatingFlip(), ToFloat()]
    )

    def sides():
        found = np.empty(64)
        for x, place in loader:
            found[place.numpy().astype(int)] = x.numpy()[:, 0, 0, 0]
        return found

    first, second, third, fourth = (sides() for _ in range(4))
    assert np.array_equal(first, third) and np.array_equal(second, fourth)
    assert np.array_equal(first + second, np.ones(64)) and 20 < first.sum() < 44


def test_an_alternating_flip_is_a_flip_in_the_one_pass_too():
    x, u = batch(), numbers(30, 3)
    parts = [RandomCrop(2), AlternatingFlip(), Normalize(MEAN, STD)]
    found = values(Compose(*parts)(x, u))
    usual = values(Compose(parts[0], RandomFlip(0.5), parts[2])(x, u))
    np.testing.assert_array_equal(found, usual)
    np.testing.assert_array_equal(AlternatingFlip()(x, u[:, 2:]), RandomFlip(0.5)(x, u[:, 2:]))
