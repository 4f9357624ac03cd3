"""From an image file to the array that a model takes: one rule for the zoo, the command line and the server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ..errors import DataError
from .shrink import decoding_bytes, fitted, shrink

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # what Pillow may decode: raster formats without external programs
MAX_PIXELS = 50_000_000


def opened(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """The image in a file, or in the bytes of one, of which nothing but the header is read. Raises DataError."""
    from PIL import Image

    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"[{_name(source)}] cannot be read: {error.strerror}") from None
    with _decoding(source):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > max_pixels:
        raise DataError(f"[{_name(source)}] has {image.width} x {image.height} pixels, the limit is {max_pixels}")
    return image


def open_image(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """The image in a file, or in the bytes of one, upright (EXIF orientation applied).

    The size is checked before any pixel is decoded. Raises DataError if the bytes are not an image of FORMATS, are cut
    short, or hold more than `max_pixels` pixels.
    """
    from PIL import ImageOps

    image = opened(source, max_pixels)
    with _decoding(source):
        image.load()
        return ImageOps.exif_transpose(image)


def read_image(
    source: str | Path | bytes,
    spec: Mapping[str, Any],
    max_pixels: int = MAX_PIXELS,
    need: Callable[[int], None] = lambda size: None,
) -> numpy.ndarray:
    """`prepare(open_image(source), spec)` in as little memory as the format allows; a JPEG is decoded reduced.

    `need(size)` is called before any pixel is decoded, with the memory that takes at most, in bytes; it may raise.
    Raises DataError.
    """
    image = opened(source, max_pixels)
    height, width = spec["height"], spec["width"]
    need(decoding_bytes(image, height, width))
    with _decoding(source):
        return prepare(shrink(image, height, width), spec)


def _name(source: str | Path | bytes) -> str:
    return "image" if isinstance(source, bytes) else str(source)


@contextmanager
def _decoding(source: str | Path | bytes) -> Iterator[None]:
    """Whatever the decoders say inside is a DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise DataError(f"[{_name(source)}] is not an image of a known format ({', '.join(FORMATS)})") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"[{_name(source)}] cannot be decoded: {error}") from None


def rgb(image: Image) -> Image:
    """The image as 8-bit RGB: 16-bit grey scaled to 8 bits, transparent pixels over white."""
    from PIL import Image as Images

    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        grey = numpy.asarray(image, dtype="float64")
        scale = 255 / 65535 if grey.max(initial=0) > 255 else 1.0
        return Images.fromarray((grey.clip(0, None) * scale).clip(0, 255).astype("uint8")).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Images.new("RGBA", image.size, "white")
        return Images.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def prepare(image: Image | numpy.ndarray, spec: Mapping[str, Any]) -> numpy.ndarray:
    """(pixels / 255 - mean) / std as float32 (channels, height, width), after a centre crop and an antialiased resize.

    `image` is a Pillow image or a uint8 array (height, width, 3). `spec` is the `input` entry of a model's card:
    height, width, and mean and std per channel. The longer side is cropped around the centre to their aspect ratio.
    Raises DataError for an array that is not (height, width, 3) uint8.
    """
    from PIL import Image as Images

    if isinstance(image, numpy.ndarray):
        if image.dtype != numpy.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise DataError(f"[prepare] needs uint8 (height, width, 3), got {image.dtype} {image.shape}")
        image = Images.fromarray(image)
    image = fitted(image, spec["height"], spec["width"])
    pixels = numpy.asarray(image, dtype="float32") / numpy.float32(255)
    mean, std = numpy.asarray(spec["mean"], dtype="float32"), numpy.asarray(spec["std"], dtype="float32")
    return numpy.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))
