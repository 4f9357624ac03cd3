"""From an image file to the array that a model takes: one rule for the zoo, the command line and the server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ..errors import DataError
from .image_geometry import decoding_bytes, fitted, shrink, upright

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
    image = opened(source, max_pixels)
    with _decoding(source):
        image.load()
        return upright(image)


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
    return decoded(opened(source, max_pixels), spec, need, source)


def decoded(
    image: Image,
    spec: Mapping[str, Any],
    need: Callable[[int], None] = lambda size: None,
    source: str | Path | bytes = b"",
) -> numpy.ndarray:
    """`read_image` of an image that is opened already; `source` is named in errors."""
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
    """The image as 8-bit RGB, transparent pixels over white; itself where it is that already.

    The mode says how deep the image is, whatever its pixels are: "I;16" and "I" hold 16 bits, 0 to 65535, and "F" holds
    0.0 to 255.0. They are rounded to 8 bits, and cut off outside. Raises DataError for a mode that cannot be converted.
    """
    from PIL import Image as Images

    if image.mode[0] in "IF":
        image = _grey(image)
    try:
        if _transparent(image):
            image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
            image = Images.alpha_composite(Images.new("RGBA", image.size, "white"), image)
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise DataError(f"[image] of mode {image.mode} cannot be made RGB: {error}") from None


def _grey(image: Image) -> Image:
    """A deep image of one channel in 8 bits; the grey that PNG may declare transparent becomes white."""
    from PIL import Image as Images

    values = numpy.asarray(image)
    if image.mode == "F":
        grey = numpy.nan_to_num(values, posinf=255).clip(0, 255).round().astype("uint8")
    else:
        rounded = ((numpy.arange(65536) + 128) // 257).astype("uint8")  # 65535 = 255 257
        grey = rounded[values.clip(0, 65535)]
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Images.fromarray(grey)


def _transparent(image: Image) -> bool:
    """Whether pixels may be transparent: by a channel, one colour, or a palette."""
    palette = getattr(image.palette, "mode", "")
    return image.getbands()[-1] in ("A", "a") or "transparency" in image.info or palette == "RGBA"


def prepare(image: Image | numpy.ndarray, spec: Mapping[str, Any]) -> numpy.ndarray:
    """(pixels / 255 - mean) / std as float32 (channels, height, width), after a centre crop and an antialiased resize.

    `image` is a Pillow image or a uint8 array (height, width, 3). `spec` is the `input` entry of a model's card:
    channels (3, or 1 for the luma of ITU-R BT.601), height, width, and mean and std per channel. The longer side is
    cropped around the centre to their aspect ratio. Raises DataError for an array that is not (height, width, 3) uint8.
    """
    from PIL import Image as Images

    if isinstance(image, numpy.ndarray):
        if image.dtype != numpy.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise DataError(f"[prepare] needs uint8 (height, width, 3), got {image.dtype} {image.shape}")
        image = Images.fromarray(image)
    image = fitted(image, spec["height"], spec["width"])
    if spec.get("channels") == 1:
        image = image.convert("L")
    pixels = numpy.asarray(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)
    mean, std = (numpy.asarray(spec[name], dtype="float32").reshape(-1, 1, 1) for name in ("mean", "std"))
    found: numpy.ndarray = (numpy.ascontiguousarray(pixels, dtype="float32") / numpy.float32(255) - mean) / std
    return found
