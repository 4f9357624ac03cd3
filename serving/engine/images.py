"""From the bytes of an uploaded image to class probabilities; how an image becomes an array is needle's one rule."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from needle.data.images import decoded
from serving.engine.errors import Failed, ServingError, TooLarge, Unreadable, UnsupportedMedia
from serving.engine.limits import Limits, raise_with
from zoo.pictures import grid

# format -> (how its files begin, Pillow's reader). Naming the reader keeps every other decoder out of reach.
FORMATS: dict[str, tuple[bytes, Any]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    "JPEG": (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    "WebP": (b"RIFF", WebPImagePlugin.WebPImageFile),
    "GIF": (b"GIF8", GifImagePlugin.GifImageFile),
    "BMP": (b"BM", BmpImagePlugin.BmpImageFile),
}

PngImagePlugin.MAX_TEXT_MEMORY = PngImagePlugin.MAX_TEXT_CHUNK  # bytes of compressed text that are unpacked; not 64 MiB


def sniff(body: bytes) -> str | None:
    """The format of an image file by its first bytes, a key of `FORMATS`; None when it is none of them."""
    for name, (magic, _) in FORMATS.items():
        if body.startswith(magic) and (name != "WebP" or body[8:12] == b"WEBP"):
            return name
    return None


def read(
    body: bytes, spec: Mapping[str, Any], limits: Limits, need: Callable[[int], None] = lambda size: None
) -> np.ndarray:
    """The image in `body` as the float32 (1, channels, height, width) that a model with the input `spec` takes.

    `need(bytes)` is called with the memory that it takes at most, before any pixel is decoded. Raises UnsupportedMedia,
    TooLarge (before that), Unreadable, or what `need` raises.
    """
    name = sniff(body)
    if name is None:
        raise UnsupportedMedia(f"[image] this is not an image file of a known format ({', '.join(FORMATS)})")

    try:
        image = FORMATS[name][1](BytesIO(body))
        width, height = image.size
        if width * height <= limits.pixels:
            # A JPEG that is decoded at a reduced size needs little memory, but time for all its pixels.
            return decoded(image, spec, lambda size: need(max(size, width * height // 2)))[None]
    except ServingError:
        raise
    except Exception as problem:  # decoders fail in many ways; each means that the file is damaged
        raise Unreadable(f"[image] the {name} file cannot be decoded: {problem}") from None
    megapixels = f"{width} x {height} is {width * height / 1e6:.1f} megapixels"
    raise TooLarge(f"[image] {megapixels}; {raise_with('pixels', limits)}")


def predictions(logits: np.ndarray, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """softmax(logits) of one row by label, the most probable first."""
    if not np.isfinite(logits).all():
        raise Failed("[model] the logits of this image are not finite")
    weights = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = weights / weights.sum()
    order = np.argsort(-probabilities, kind="stable")
    return [{"label": labels[i], "probability": float(probabilities[i])} for i in order]


def sheet(images: np.ndarray, spec: Mapping[str, Any]) -> bytes:
    """A PNG file of images (n, channels, height, width), whose pixels are normalised as `spec` says, in rows of 8."""
    mean, std = (np.array(spec[key], np.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
    pixels = np.rint((images * std + mean) * 255).clip(0, 255).astype(np.uint8)
    page = grid(pixels.transpose(0, 2, 3, 1), columns=min(8, len(images)))
    stream = BytesIO()
    Image.fromarray(page[..., 0] if page.shape[2] == 1 else page).save(stream, "PNG")
    return stream.getvalue()
