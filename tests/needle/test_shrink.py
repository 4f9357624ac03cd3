"""Images made small in strips are those that are made small at once; and what that takes is known beforehand."""

import io

import numpy as np
import pytest

pytest.importorskip("PIL")
from PIL import Image

from needle.data.image_geometry import decoding_bytes, fitted, shrink
from needle.data.images import open_image, opened, prepare, read_image

SPEC = {"height": 24, "width": 32, "mean": [0.5] * 3, "std": [0.25] * 3}


def picture(width: int, height: int) -> Image.Image:
    """Smooth, and different in every corner."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    channels = (255 * x, 255 * y, 255 * (1 - x) * y)
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


SIZES = [(500, 300), (301, 777), (700, 2400), (33, 32), (20, 5), (1, 400), (400, 1), (3000, 20)]


@pytest.mark.parametrize("size", SIZES)
def test_in_strips_is_as_at_once(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("needle.data.image_geometry.STRIP", 5000)
    image = picture(*size)
    scale = min(image.width / 32, image.height / 24)
    left, top = (image.width - 32 * scale) / 2, (image.height - 24 * scale) / 2
    box = (left, top, left + 32 * scale, top + 24 * scale)
    at_once = image.resize((32, 24), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    difference = np.asarray(fitted(image, 24, 32)).astype(int) - np.asarray(at_once)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_reading_is_opening_and_preparing(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(450, 300), format, exif=exif)
    small = shrink(opened(data), 24, 32)
    assert small.size == (32, 24)
    expected = prepare(open_image(data), SPEC)
    assert np.abs(read_image(data, SPEC) - expected).max() < 0.1  # of 4, from black to white


@pytest.mark.parametrize("options, per_pixel", [
    ({"format": "PNG"}, 4),
    ({"format": "BMP"}, 4),
    ({"format": "WEBP"}, 16),
    ({"format": "JPEG"}, 4 / 64),
    ({"format": "JPEG", "progressive": True}, 4 / 64 + 2 * 1.5),  # three coefficients for two pixels: 4:2:0
    ({"format": "JPEG", "progressive": True, "subsampling": 0}, 4 / 64 + 2 * 3),
])  # fmt: skip
def test_the_memory_that_decoding_takes_is_told_before(options: dict, per_pixel: float) -> None:
    data = encoded(picture(1200, 1000), **options)
    told = []
    read_image(data, SPEC, need=told.append)
    assert told == [decoding_bytes(opened(data), 24, 32)]
    assert per_pixel * 1_200_000 <= told[0] <= per_pixel * 1_200_000 + 20_000


def test_many_short_rows_take_more_than_their_pixels() -> None:
    image = opened(encoded(Image.new("L", (1, 10_000)), "PNG"))
    assert decoding_bytes(image, 32, 32) >= 10_000 * (8 + 4)
