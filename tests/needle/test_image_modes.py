"""Image files and Pillow images of every mode as upright 8-bit RGB."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from needle.data.images import open_image, prepare, rgb, upright
from needle.errors import DataError

DEEP = ["I;16", "I;16B", "I;16L", "I"]


def encoded(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def deep(mode, values):
    """A grey image of a deep mode, made of its bytes."""
    dtype = {"I;16B": ">u2", "I": "i4", "F": "f4"}.get(mode, "<u2")
    array = np.array(values, dtype)
    return Image.frombytes(mode, array.shape[::-1], array.tobytes())


# modes


@pytest.mark.parametrize("mode", DEEP)
def test_the_mode_says_how_deep_an_image_is(mode):
    found = np.asarray(rgb(deep(mode, [[0, 100, 255], [256, 128, 129], [32768, 65406, 65407], [65535, 25700, 383]])))
    assert found[..., 0].tolist() == [[0, 0, 1], [1, 0, 1], [128, 254, 255], [255, 100, 1]]
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize("mode", DEEP)
def test_every_value_of_16_bits_is_rounded(mode):
    values = np.arange(65536).reshape(256, 256)
    np.testing.assert_array_equal(np.asarray(rgb(deep(mode, values)))[..., 0], np.rint(values / 257))


def test_one_bright_pixel_changes_no_other():
    values = np.random.default_rng(0).integers(0, 256, (32, 32)).astype("uint16")
    before = np.asarray(rgb(open_image(encoded(Image.fromarray(values)))))
    values[3, 4] = 256
    after = np.asarray(rgb(open_image(encoded(Image.fromarray(values)))))
    assert before.max() == 1 == after.max() and np.count_nonzero((before != after).any(axis=2)) <= 1


def test_what_lies_outside_is_cut_off():
    assert np.asarray(rgb(deep("I", [[-5, 70_000, -(2**31)]])))[..., 0].tolist() == [[0, 255, 0]]
    given = [[-3.0, 0.4, 0.6, 254.6], [300.0, np.inf, -np.inf, np.nan]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.asarray(rgb(deep("F", given)))[..., 0].tolist() == [[0, 0, 1, 255], [255, 255, 0, 0]]


def palette_with_alpha():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    return image.quantize(4, Image.Quantize.FASTOCTREE)


TWO = {  # images of two pixels, and what the two are
    "1": (Image.frombytes("1", (2, 1), b"\x40"), [[0] * 3, [255] * 3]),
    "L": (Image.frombytes("L", (2, 1), bytes([7, 200])), [[7] * 3, [200] * 3]),
    "LA": (Image.frombytes("LA", (2, 1), bytes([10, 255, 10, 0])), [[10] * 3, [255] * 3]),
    "La": (Image.frombytes("La", (2, 1), bytes([10, 255, 0, 0])), [[10] * 3, [255] * 3]),
    "RGB": (Image.frombytes("RGB", (2, 1), bytes([1, 2, 3, 4, 5, 6])), [[1, 2, 3], [4, 5, 6]]),
    "RGBA": (Image.frombytes("RGBA", (2, 1), bytes([9, 8, 7, 255, 9, 8, 7, 0])), [[9, 8, 7], [255] * 3]),
    "RGBa": (Image.frombytes("RGBa", (2, 1), bytes([9, 8, 7, 255, 0, 0, 0, 0])), [[9, 8, 7], [255] * 3]),
    "RGBX": (Image.frombytes("RGBX", (2, 1), bytes([1, 2, 3, 0, 4, 5, 6, 0])), [[1, 2, 3], [4, 5, 6]]),
    "CMYK": (Image.frombytes("CMYK", (2, 1), bytes([0, 255, 255, 0, 0, 0, 0, 255])), [[255, 0, 0], [0, 0, 0]]),
    "YCbCr": (Image.frombytes("YCbCr", (2, 1), bytes([0, 128, 128, 255, 128, 128])), [[0] * 3, [255] * 3]),
    "HSV": (Image.frombytes("HSV", (2, 1), bytes([0, 255, 255, 0, 0, 255])), [[255, 0, 0], [255] * 3]),
    "palette with alpha": (palette_with_alpha(), [[200, 0, 0], [255] * 3]),
}


@pytest.mark.parametrize("name", TWO)
def test_every_mode(name):
    image, expected = TWO[name]
    assert np.asarray(rgb(image))[0].tolist() == expected


@pytest.mark.parametrize(
    ("image", "transparency"),
    [
        (TWO["1"][0], 0),
        (TWO["L"][0], 7),
        (TWO["RGB"][0], (1, 2, 3)),
        (Image.fromarray(np.array([[300, 51400]], "uint16")), 300),
        (TWO["L"][0].convert("P"), 7),
        (TWO["L"][0].convert("P"), bytes([255] * 7 + [0] + [255] * 248)),
    ],
)
def test_the_colour_that_png_declares_transparent_is_white(image, transparency):
    opaque = np.asarray(rgb(open_image(encoded(image))))
    found = np.asarray(rgb(open_image(encoded(image, transparency=transparency))))
    assert found[0, 0].tolist() == [255] * 3 and (found[0, 1] == opaque[0, 1]).all() and opaque[0, 0].max() < 255


def test_a_mode_that_cannot_be_converted_is_an_error_in_words(monkeypatch):
    def refuse(self, mode):
        raise ValueError(f"conversion from {self.mode} to {mode} not supported")

    monkeypatch.setattr(Image.Image, "convert", refuse)
    with pytest.raises(DataError, match=r"\[image\] of mode LAB cannot be made RGB: conversion from LAB"):
        prepare(Image.new("LAB", (2, 2)), {"height": 2, "width": 2})


# orientation


def exif(*entries, order="<"):
    """EXIF of the (tag, type, count, four bytes of value or offset) given, sorted as the format wants them."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    fields = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    tail = b"none\0" + bytes(20)
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, len(entries)) + fields + bytes(4) + tail


def turned_by(value, order="<"):
    return (0x0112, 3, 1, struct.pack(order + "HH", value, 0))


PICTURE = Image.fromarray(np.kron(np.arange(6).reshape(2, 3, 1) * 40, np.ones((16, 16, 3))).astype("uint8"))
BROKEN = {
    "a resolution that is text": (0x011A, 2, 4, b"72x\0"),
    "a resolution of one part": (0x011A, 4, 1, struct.pack("<I", 72)),
    "a resolution beyond the end": (0x011A, 5, 1, struct.pack("<I", 10**6)),
    "a number where text belongs": (0x0132, 4, 1, struct.pack("<I", 7)),
    "a unit that is text": (0x0128, 2, 4, b"cm\0\0"),
    "an unknown type": (0x0131, 99, 1, bytes(4)),
    "a thumbnail that is none": (0x8769, 4, 1, struct.pack("<I", 10**6)),
    "a count too large": (0x0131, 2, 2**31, struct.pack("<I", 30)),
}


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what is broken
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_broken_tag_beside_the_orientation_does_not_matter(format, name):
    plain = np.asarray(open_image(encoded(PICTURE, format)).convert("RGB"))
    image = open_image(encoded(PICTURE, format, exif=exif(turned_by(6), BROKEN[name])))
    np.testing.assert_array_equal(np.asarray(rgb(image)), np.rot90(plain, -1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "content",
    [
        b"Exif\0\0",
        b"Exif\0\0nothing of the kind",
        exif()[:12],
        exif(turned_by(9)),
        exif(turned_by(0)),
        exif((0x0112, 2, 2, b"6\0\0\0")),
        exif((0x0112, 7, 4, b"abcd")),
    ],
)
def test_an_orientation_that_is_none_leaves_the_image_as_it_is(content):
    image = open_image(encoded(PICTURE, "JPEG", exif=content))
    assert image.size == PICTURE.size


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_orientation(value, order):
    turns = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
             6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}  # fmt: skip
    image = open_image(encoded(PICTURE, exif=exif(turned_by(value, order), order=order)[6:]))
    np.testing.assert_array_equal(np.asarray(image), turns[value](np.asarray(PICTURE)))
    np.testing.assert_array_equal(np.asarray(upright(image)), np.asarray(image))  # once is enough


# channels


@pytest.mark.parametrize("size", [(4, 4), (16, 16)])
def test_a_model_of_grey_images_gets_their_luma(size):
    spec = {"height": 4, "width": 4, "mean": [0.5], "std": [0.25], "channels": 1}
    for colour, luma in (("red", 76), ("lime", 150), ("blue", 29), ("#404040", 64)):
        found = prepare(Image.new("RGB", size, colour), spec)
        assert found.shape == (1, 4, 4) and found.dtype == np.float32
        np.testing.assert_allclose(found, (luma / 255 - 0.5) / 0.25, atol=1e-6)
