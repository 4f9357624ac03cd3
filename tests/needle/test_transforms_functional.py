"""Augmentation of whole batches of images."""

import numpy as np
import pytest

import needle as ndl
from needle.data.transforms import functional

pytestmark = pytest.mark.both_modes


def pixels(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype("uint8")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("mode", "pad"), [("zero", "constant"), ("reflect", "reflect")])
def test_random_crop_of_batches(dtype, mode, pad):
    x = pixels(40, 3, 8, 6).astype(dtype)
    got = functional.random_crop(x, 2, np.random.default_rng(1), mode)
    top, left = np.random.default_rng(1).integers(0, 5, size=(2, 40))
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode=pad)
    for i in range(40):
        np.testing.assert_array_equal(got[i], padded[i, :, top[i] : top[i] + 8, left[i] : left[i] + 6])
    assert got.dtype == dtype
    with pytest.raises(ValueError, match="random_crop"):
        functional.random_crop(x, 2, np.random.default_rng(1), "wrap")


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 5, 300), (2, 7, 4)])
def test_a_training_batch_is_crop_flip_and_scale_in_one(mode, shape):
    data = np.random.default_rng(0).integers(0, 256, (9, *shape), dtype="uint8")
    chosen = np.array([8, 0, 3, 3])
    scale, shift = (np.random.default_rng(k).normal(size=shape[0]).astype("float32") for k in (1, 2))
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    got = functional.training_batch(data, chosen, one, crop=3, mode=mode, flip=0.5, scale=scale, shift=shift)
    moved = functional.random_flip(functional.random_crop(data[chosen], 3, other, mode), other, 0.5).astype("float32")
    expected = moved * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_array_equal(got if isinstance(got, np.ndarray) else got.numpy(), expected)
    assert one.random() == other.random()  # the same draws


def test_a_training_batch_refuses_what_does_not_fit():
    data, rng, one = np.zeros((4, 3, 8, 8), "uint8"), np.random.default_rng(0), np.ones(3, "float32")
    good = {"scale": one, "shift": one}
    with pytest.raises(ValueError, match="mode"):
        functional.training_batch(data, np.arange(4), rng, mode="wrap", **good)
    if ndl.BACKEND == "np":
        return  # numpy's own errors for the rest
    with pytest.raises(ValueError, match=r"index must be in 0\.\.3, got 4"):
        functional.training_batch(data, np.array([0, 4]), rng, **good)
    with pytest.raises(ValueError, match="padding must be less"):
        functional.training_batch(data, np.arange(4), rng, crop=8, **good)
    with pytest.raises(ValueError, match="pixels must be contiguous and uint8"):
        functional.training_batch(data.astype("float32"), np.arange(4), rng, **good)
    with pytest.raises(ValueError, match="scale has another shape"):
        functional.training_batch(data, np.arange(4), rng, scale=np.ones(2, "float32"), shift=one)


def test_random_flip_of_batches():
    x = pixels(50, 3, 4, 6)
    got = functional.random_flip(x, np.random.default_rng(2), p=0.3)
    flipped = np.random.default_rng(2).random(50) < 0.3
    np.testing.assert_array_equal(got[flipped], x[flipped, :, :, ::-1])
    np.testing.assert_array_equal(got[~flipped], x[~flipped])


def test_cutout_of_batches():
    x = pixels(50, 3, 8, 8) | 1
    got = functional.cutout(x, 4, np.random.default_rng(3))
    gone = got == 0
    np.testing.assert_array_equal(got[~gone], x[~gone])
    assert (gone.sum((2, 3)) <= 16).all() and (gone.sum((2, 3)) >= 4).all() and len(set(gone.sum((1, 2, 3)))) > 1
