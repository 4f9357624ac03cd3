"""Image files of every kind that is read, and those that are refused."""

import io
import json
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from fakes import CARD, LABELS
from PIL import Image

from needle.data.images import prepare
from serving.engine import images
from serving.engine.errors import TooLarge, Unreadable, UnsupportedMedia
from serving.engine.limits import Limits

CLASSIFY = "/v2/models/resnet9/classify"
SPEC = CARD["input"]
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


PNG = encoded(Image.fromarray(PIXELS), "PNG")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_curl_needs_no_content_type(client, format):
    """curl --data-binary says application/x-www-form-urlencoded; the first bytes say what it is."""
    content = encoded(Image.fromarray(PIXELS), format)
    answer = client.post(CLASSIFY, data=content, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200 and answer.json["model_name"] == "resnet9"
    found = answer.json["predictions"]
    assert sorted(one["label"] for one in found) == sorted(LABELS)
    shares = [one["probability"] for one in found]
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 1) < 1e-9


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", None])
def test_infer_takes_an_image_too(client, content_type):
    answer = client.post("/v2/models/resnet9/infer", data=PNG, content_type=content_type)
    assert answer.json["predictions"] == client.post(CLASSIFY, data=PNG).json["predictions"]


def test_an_image_of_the_right_size_is_not_touched():
    expected = ((PIXELS / np.float32(255) - 0.5) / 0.25).astype(np.float32).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(images.read(PNG, SPEC, Limits()), expected, atol=1e-6)


def test_the_middle_of_a_large_image_is_what_counts():
    wide = np.zeros((64, 200, 3), np.uint8)
    wide[:, 68:132] = np.kron(PIXELS, np.ones((2, 2, 1), np.uint8))
    found = images.read(encoded(Image.fromarray(wide), "PNG"), SPEC, Limits())
    middle = images.read(encoded(Image.fromarray(wide[:, 68:132]), "PNG"), SPEC, Limits())
    inner = (slice(None), slice(None), slice(None), slice(2, -2))  # at the rim the filter sees what is beyond it
    np.testing.assert_allclose(found[inner], middle[inner], atol=0.02)


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = np.rot90(PIXELS)
    found = images.read(encoded(Image.fromarray(turned), "PNG", exif=exif), SPEC, Limits())
    np.testing.assert_array_equal(found, images.read(PNG, SPEC, Limits()))


def colour(found: np.ndarray) -> list[int]:
    """The mean colour of a prepared image, as 0 to 255."""
    return [round(float(c)) for c in (found.mean(axis=(0, 2, 3)) * 0.25 + 0.5) * 255]


MODES = {
    "grey": (Image.new("L", (32, 32), 100), "PNG", [100, 100, 100]),
    "grey 16 bit": (Image.fromarray(np.full((32, 32), 100 * 257, np.uint16)), "PNG", [100, 100, 100]),
    "one bit": (Image.new("1", (32, 32), 1), "PNG", [255, 255, 255]),
    "transparent": (Image.new("RGBA", (32, 32), (200, 0, 0, 0)), "PNG", [255, 255, 255]),
    "half transparent": (Image.new("RGBA", (32, 32), (0, 0, 0, 128)), "PNG", [127, 127, 127]),
    "grey and alpha": (Image.new("LA", (32, 32), (10, 255)), "PNG", [10, 10, 10]),
    "palette": (Image.new("RGB", (32, 32), (0, 255, 51)).convert("P"), "PNG", [0, 255, 51]),
    "CMYK": (Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", [254, 0, 0]),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_colour_mode(mode):
    image, format, expected = MODES[mode]
    found = colour(images.read(encoded(image, format), SPEC, Limits()))
    assert np.abs(np.subtract(found, expected)).max() <= 2, found
    large = encoded(image.resize((400, 300)), format)  # reduced in bands
    assert np.abs(np.subtract(colour(images.read(large, SPEC, Limits())), expected)).max() <= 2


def test_the_server_sees_what_needle_prepares(client):
    """One rule for the zoo, the command line and the server."""
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (150, 90, 3), dtype=np.uint8))
    tensor = prepare(photo, SPEC)[None]
    wanted = [{"name": "logits", "parameters": {"classification": 10}}]
    one = {"name": "image", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": tensor.ravel().tolist()}
    (output,) = client.post(
        "/v2/models/resnet9/infer", data=json.dumps({"inputs": [one], "outputs": wanted})
    ).json["outputs"]
    found = client.post(CLASSIFY, data=encoded(photo, "PNG")).json["predictions"]
    assert [text.split(":")[2] for text in output["data"]] == [p["label"] for p in found]


def test_what_needs_too_much_memory_is_413_and_says_so(make_client):
    image = encoded(Image.new("RGB", (700, 700)), "PNG")  # 4 bytes for each pixel
    client = make_client(limits=Limits(memory=2_000_000))
    answer = client.post(CLASSIFY, data=image)
    assert answer.status_code == 413 and "--max-decode-mib" in answer.json["error"]
    assert client.post(CLASSIFY, data=PNG).status_code == 200
    assert make_client(limits=Limits(memory=3_000_000)).post(CLASSIFY, data=image).status_code == 200


def test_what_is_no_image_is_415(client):
    for content in (b"", b"GIF9", b"%PDF-1.7", b"<svg/>", b"RIFF....WAVE", b"II*\0", b"{}"):
        answer = client.post(CLASSIFY, data=content)
        assert answer.status_code == 415 and ("PNG" in answer.json["error"] or "curl" in answer.json["error"])
    assert client.post("/v2/models/resnet9/infer", data=b"{}", content_type="image/png").status_code == 415
    form = client.post(CLASSIFY, data={"file": (io.BytesIO(PNG), "x.png")})
    assert form.status_code == 415 and "--data-binary" in form.json["error"]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_truncation_is_refused_or_read(format):
    content = encoded(Image.fromarray(PIXELS), format)
    refused = 0
    for end in range(0, len(content), max(1, len(content) // 60)):
        try:
            assert images.read(content[:end], SPEC, Limits()).shape == (1, 3, 32, 32)
        except (Unreadable, UnsupportedMedia):
            refused += 1
    assert refused > 10


def test_damaged_bytes_never_crash():
    generator = np.random.default_rng(2)
    for format in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        content = np.frombuffer(encoded(Image.fromarray(PIXELS), format), np.uint8)
        for _ in range(60):
            damaged = content.copy()
            damaged[generator.integers(0, len(content), 4)] = generator.integers(0, 256, 4)
            with suppress(Unreadable, UnsupportedMedia, TooLarge):
                images.read(damaged.tobytes(), SPEC, Limits())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_pixels_are_limited_before_they_are_decoded():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    with pytest.raises(TooLarge, match=r"10000\.0 megapixels; the limit is 50 megapixels, raised by .*--max-mega"):
        images.read(bomb, SPEC, Limits())
    with pytest.raises(TooLarge):
        images.read(PNG, SPEC, Limits(pixels=1023))
    images.read(PNG, SPEC, Limits(pixels=1024))
