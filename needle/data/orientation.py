"""Which way up a photograph is: cameras save what the sensor saw, and beside it in EXIF how it was held."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

ORIENTATION = 0x0112  # the EXIF tag, and by its values how Pillow turns an image upright
TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
EXIF = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow finds an orientation


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
