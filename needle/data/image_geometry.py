"""Orientation, crop and size of an image: from a file to the pixels a model takes, without a second copy of the many.

A JPEG is decoded at a reduced size (its DCT gives 1/2, 1/4 and 1/8); any other image is decoded whole and then reduced
strip by strip: colour conversion and filtering see a few rows at a time. Orientation comes last, on the few pixels:
cameras save what the sensor saw, and beside it in EXIF how it was held.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

ORIENTATION = 0x0112  # the EXIF tag, and by its values how Pillow turns an image upright
TRANSPOSES = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
EXIF = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow finds an orientation
SIDEWAYS = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")  # those that exchange height and width
GAP = 3.0  # reduced by a box filter to no less than this many times the size wanted; the rest is bicubic
STRIP = 1 << 18  # pixels

PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # bytes that Pillow keeps for one; 4 in other modes
POINTER = 8  # bytes
WEBP_PIXEL = 16  # two canvases, the frame as bytes, and the image
RUN_LENGTH_PIXEL = 3  # BMP with a palette may be run-length encoded: decoded to bytes, which are copied


def upright_transpose(image: Image) -> Transpose | None:
    """What turns the image upright, by its EXIF orientation; None if nothing needs to. No other tag is read."""
    from PIL import Image as Images

    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow fails in many ways on EXIF that is none; the pixels are fine
        return None
    name = TRANSPOSES.get(orientation) if isinstance(orientation, int) else None
    return None if name is None else Images.Transpose[name]


def upright(image: Image) -> Image:
    """The image as its EXIF orientation says that it is to be shown."""
    transpose = upright_transpose(image)
    if transpose is None:
        return image
    made = image.transpose(transpose)
    made.info = {name: value for name, value in made.info.items() if name not in EXIF}  # or it would be turned again
    return made


def shrink(image: Image, height: int, width: int) -> Image:
    """An opened image, not decoded yet, as `height` x `width` upright RGB pixels: its centre, cropped and scaled.

    Raises what Pillow raises for damaged files.
    """
    transpose = upright_transpose(image)
    if transpose is not None and transpose.name in SIDEWAYS:
        height, width = width, height
    extent = draft(image, height, width)
    image.load()
    small = fitted(image, height, width, extent)
    return small if transpose is None else small.transpose(transpose)


def draft(image: Image, height: int, width: int) -> tuple[float, float]:
    """Let the decoder reduce the image, where it can, to no less than GAP times the size wanted.

    Returns the width and height in pixels of the reduced image; fractions, as a pixel at the rim may be cut.
    """
    scale = min(image.width / width, image.height / height) / GAP
    if scale < 2:
        return image.size
    done = image.draft(None, (int(image.width / scale), int(image.height / scale)))
    return (done[1][2], done[1][3]) if done else image.size


def fitted(image: Image, height: int, width: int, extent: tuple[float, float] | None = None) -> Image:
    """The image as height x width RGB pixels: cropped around its centre to their aspect ratio, scaled, antialiased.

    `rgb(image).resize(..., BICUBIC, box, reducing_gap=GAP)` in strips, the same up to rounding between Pillow's passes.
    """
    from PIL import Image as Images

    from .images import rgb

    if image.size == (width, height):
        return rgb(image)
    full_width, full_height = extent or image.size
    scale = min(full_width / width, full_height / height)
    x, y = (full_width - width * scale) / 2, (full_height - height * scale) / 2
    factor = int(scale / GAP) or 1
    margin = 1.5 * scale if factor > 1 else 2 * max(scale, 1) + 1  # what the bicubic filter sees beyond the box
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right = min(image.width, ceil(x + width * scale + margin))
    bottom = min(image.height, ceil(y + height * scale + margin))
    small = _reduced(image, (left, top, right, bottom), factor)
    corners = (x - left, y - top, x - left + width * scale, y - top + height * scale)
    x0, y0, x1, y1 = (corner / factor for corner in corners)
    box = (x0, y0, min(x1, small.width), min(y1, small.height))
    return small.resize((width, height), Images.Resampling.BICUBIC, box=box)


def _reduced(image: Image, box: tuple[int, int, int, int], factor: int) -> Image:
    """The pixels in `box` as RGB, of each factor x factor their mean; strip by strip."""
    from PIL import Image as Images

    from .images import rgb

    left, top, right, bottom = box
    rows = factor * max(1, STRIP // (factor * (right - left)))
    strips = (rgb(image.crop((left, y, right, min(y + rows, bottom)))) for y in range(top, bottom, rows))
    if factor == 1 and rows >= bottom - top:
        return next(strips)  # nothing to reduce or to join
    small = Images.new("RGB", (ceil((right - left) / factor), ceil((bottom - top) / factor)))
    for i, strip in enumerate(strips):
        small.paste(strip.reduce(factor), (0, i * rows // factor))
    return small


def decoding_bytes(image: Image, height: int, width: int) -> int:
    """The memory that `shrink(image, height, width)` takes at most, as its header tells; in bytes."""
    pixels = image.width * image.height
    rows = POINTER * image.height  # Pillow finds each row by a pointer
    match image.format:
        case "WEBP":
            return WEBP_PIXEL * pixels + rows
        case "JPEG":
            scale = min(image.width / width, image.height / height) / GAP
            reduction = next((s for s in (8, 4, 2) if s <= scale), 1)
            return 4 * pixels // reduction**2 + rows + _coefficient_bytes(image)
        case "BMP" if image.mode == "P":
            return RUN_LENGTH_PIXEL * pixels + rows
    row = PIXEL.get(image.mode, 4) * image.width
    return ceil(row / 4) * 4 * image.height + rows + 2 * row  # the decoder has this row and the one before


def _coefficient_bytes(image: Image) -> int:
    """What the decoder keeps of a JPEG in several scans: its DCT coefficients, 16 bits each. Of a single scan, 0."""
    layers = image.layer  # type: ignore[attr-defined]  # (id, horizontal and vertical sampling, table) of each component
    header = b"\xff\xda" + (6 + 2 * len(layers)).to_bytes(2, "big") + bytes([len(layers)])
    file = image.fp  # type: ignore[attr-defined]  # stands behind the header of the first scan
    at = file.tell()
    file.seek(max(0, at - (8 + 2 * len(layers))))
    interleaved = file.read(len(header)) == header
    file.seek(at)
    if interleaved and not image.info.get("progressive"):
        return 0
    share = sum(across * down for _, across, down, _ in layers) / max(across for _, across, _, _ in layers)
    coefficients: float = image.width * image.height * share / max(down for _, _, down, _ in layers)
    return ceil(2 * coefficients)
