"""From an image file to the array that a model takes: one rule for the zoo, the command line and the server."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ..errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # what Pillow may decode: raster formats without external programs
MAX_PIXELS = 50_000_000


def open_image(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """The image in a file, or in the bytes of one, upright (EXIF orientation applied).

    The size is checked before any pixel is decoded. Raises DataError if the bytes are not an image of FORMATS, are cut
    short, or hold more than `max_pixels` pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    where = "image" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"[{where}] cannot be read: {error.strerror}") from None
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise DataError(f"[{where}] has {image.width} x {image.height} pixels, the limit is {max_pixels}")
        image.load()
        return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise DataError(f"[{where}] is not an image of a known format ({', '.join(FORMATS)})") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"[{where}] cannot be decoded: {error}") from None


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


def fitted(image: Image, height: int, width: int) -> Image:
    """The image as height x width pixels: cropped around its centre to their aspect ratio, then scaled, antialiased."""
    from PIL import Image as Images

    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    crop_width, crop_height = width * scale, height * scale
    left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    return image.resize((width, height), Images.Resampling.BICUBIC, box=box, reducing_gap=3.0)


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
    image = fitted(rgb(image), spec["height"], spec["width"])
    pixels = numpy.asarray(image, dtype="float32") / numpy.float32(255)
    mean, std = numpy.asarray(spec["mean"], dtype="float32"), numpy.asarray(spec["std"], dtype="float32")
    return numpy.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))
