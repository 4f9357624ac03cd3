"""From an image file to the array that a model takes: one rule for the zoo, the command line and the server."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ..errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # what Pillow may decode: raster formats without external programs
MAX_PIXELS = 50_000_000
ORIENTATION = 0x0112  # the EXIF tag, and by its values how Pillow turns an image upright
TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
EXIF = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow finds an orientation


def open_image(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """The image in a file, or in the bytes of one, upright (EXIF orientation applied).

    The size is checked before any pixel is decoded. Raises DataError if the bytes are not an image of FORMATS, are cut
    short, or hold more than `max_pixels` pixels.
    """
    from PIL import Image, UnidentifiedImageError

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
        return upright(image)
    except UnidentifiedImageError:
        raise DataError(f"[{where}] is not an image of a known format ({', '.join(FORMATS)})") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"[{where}] cannot be decoded: {error}") from None


def turn_of(image: Image) -> Transpose | None:
    """What turns the image upright, by its EXIF orientation; None if nothing needs to. No other tag is read."""
    from PIL import Image as Images

    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow fails in many ways on EXIF that is none; the pixels are fine
        return None
    return Images.Transpose[TURNS[orientation]] if isinstance(orientation, int) and orientation in TURNS else None


def upright(image: Image) -> Image:
    """The image as its EXIF orientation says that it is to be shown."""
    turn = turn_of(image)
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {name: value for name, value in turned.info.items() if name not in EXIF}  # it would be turned again
    return turned


def rgb(image: Image) -> Image:
    """The image as 8-bit RGB, transparent pixels over white.

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
        return image.convert("RGB")
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
