"""How the server bears hostile clients: `python tests/serving/flood.py [images | connections]` prints the figures.

Starts a server on this machine, with a model without weights, floods it, and measures meanwhile: the memory of all its
processes, and how long small requests take. Bounded in number and time; not part of the test suite, as it measures.
"""

import io
import os
import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from conftest import Live, serving

CLASSIFY = "/v2/models/resnet9/classify"
LIVE = "/v2/health/live"
FLOOD_SECONDS = 60.0


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def claims(width: int, height: int) -> bytes:
    """A PNG whose header promises this size, and whose data ends at once."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


def images() -> dict[str, bytes]:
    """Small files with many pixels, of every kind."""
    flat = Image.new("RGB", (7000, 7000), (200, 30, 30))
    grey = Image.new("L", (7000, 7000), 90)
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = [Image.new("P", (3000, 3000), colour) for colour in range(20)]
    return {
        "PNG, 7000 x 7000": encoded(flat, "PNG"),
        "PNG, turned by EXIF": encoded(flat, "PNG", exif=turned),
        "PNG, transparent": encoded(flat.convert("RGBA"), "PNG"),
        "PNG, palette": encoded(grey.convert("P"), "PNG"),
        "PNG, 16 bits": encoded(Image.fromarray(np.full((7000, 7000), 9000, np.uint16)), "PNG"),
        "PNG, 1 x 50,000,000": encoded(Image.new("L", (1, 50_000_000), 90), "PNG"),
        "PNG, 50,000,000 x 1": encoded(Image.new("L", (50_000_000, 1), 90), "PNG"),
        "PNG, cut short": claims(7000, 7000),
        "PNG, 100,000 x 100,000": claims(100_000, 100_000),
        "JPEG": encoded(flat, "JPEG"),
        "JPEG, progressive": encoded(flat, "JPEG", progressive=True),
        "WebP": encoded(flat, "WEBP", method=0),
        "WebP, 3500 x 3500": encoded(flat.resize((3500, 3500)), "WEBP", method=0),
        "WebP, 20 frames": encoded(frames[0].convert("RGB"), "WEBP", method=0, save_all=True,
                                   append_images=[frame.convert("RGB") for frame in frames[1:]]),
        "GIF, 20 frames": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "gzip of 7 MB of JSON": zlib.compress(b'{"inputs": [' + b"{}," * 2_500_000 + b"1]}", 9),
        "gzip of 64 MB of JSON": zlib.compress(b'{"inputs": [' + b"{}," * 20_000_000 + b"1]}", 9),
    }  # fmt: skip


def ask(server: Live, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[str, float]:
    """The status of the answer (or what went wrong), and the seconds it took."""
    begun = time.monotonic()
    try:
        request = urllib.request.Request(f"http://{server.address}{path}", body, headers or {})
        with urllib.request.urlopen(request, timeout=FLOOD_SECONDS) as response:
            status = str(response.status)
    except urllib.error.HTTPError as refusal:
        is_lost = refusal.code == 429 and not refusal.headers["Retry-After"]
        status = str(refusal.code) + (" (no Retry-After)" if is_lost else "")
        refusal.close()
    except OSError as problem:
        status = type(problem).__name__
    return status, time.monotonic() - begun


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    with open(f"/proc/{root}/task/{root}/children") as file:
        return [root, *(pid for child in map(int, file.read().split()) for pid in family(child))]


def resident(root: int) -> float:
    """Memory of a process and its descendants in MiB, what they share counted once (PSS)."""
    total = 0
    for pid in family(root):
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total / 1024


class Watch:
    """Asks small things of the server, and for its memory, until the block ends."""

    def __init__(self, server: Live, requests: dict[str, Callable[[], tuple[str, float]]]):
        self.server, self.requests = server, requests
        self.seconds: dict[str, list[float]] = {name: [] for name in requests}
        self.statuses: Counter[str] = Counter()
        self.peak = 0.0
        self.over = threading.Event()

    def __enter__(self) -> "Watch":
        self.threads = [threading.Thread(target=self._memory)]
        self.threads += [threading.Thread(target=self._repeat, args=(name,)) for name in self.requests]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _memory(self) -> None:
        while not self.over.wait(0.02):
            self.peak = max(self.peak, resident(self.server.process.pid))

    def _repeat(self, name: str) -> None:
        while not self.over.wait(0.02):
            status, seconds = self.requests[name]()
            self.seconds[name].append(seconds)
            self.statuses[f"{name} {status}"] += 1

    def __str__(self) -> str:
        parts = [f"peak {self.peak:.0f} MiB, now {resident(self.server.process.pid):.0f} MiB"]
        for name, times in self.seconds.items():
            p50, p99 = np.percentile(times or [float("nan")], [50, 99]) * 1000
            parts.append(f"{name} p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {max(times, default=0) * 1000:.0f} ms")
        return "; ".join(parts) + f"; {dict(self.statuses)}"


def watched(server: Live) -> Watch:
    photo = encoded(Image.effect_noise((300, 200), 50), "JPEG")
    return Watch(server, {"photo": lambda: ask(server, CLASSIFY, photo), "health": lambda: ask(server, LIVE)})


def flood_with_images(clients: int = 32) -> None:
    """`clients` uploads of one image at the same time, of one kind after the other."""
    with serving() as server:
        print(f"at rest: {resident(server.process.pid):.0f} MiB")
        for kind, body in images().items():
            is_zip = kind.startswith("gzip")
            path = "/v2/models/resnet9/infer" if is_zip else CLASSIFY
            headers = {"Content-Encoding": "deflate"} if is_zip else {}
            begun = time.monotonic()
            with watched(server) as watch, ThreadPoolExecutor(clients) as pool:
                answers = list(pool.map(lambda _: ask(server, path, body, headers), range(clients)))  # noqa: B023
            statuses = dict(Counter(status for status, _ in answers))
            took = time.monotonic() - begun
            print(f"{kind} ({len(body) / 1024:.0f} KiB) x {clients}: {statuses}, {took:.1f} s;\n   {watch}", flush=True)


def flood_with_connections() -> None:
    """Clients that connect and say nothing, or not all of it; while they are there, others are to be answered."""
    head = f"POST {CLASSIFY} HTTP/1.1\r\nHost: x\r\n"
    attacks = {
        "headers, no body": (70, head + "Content-Length: 1000\r\n\r\n"),
        "headers, no chunk": (70, head + "Transfer-Encoding: chunked\r\n\r\n"),
        "headers, half a body": (300, head + "Content-Length: 1000\r\n\r\n" + "x" * 500),
        "half of the headers": (300, head),
        "silent": (1500, ""),
        "silent after an answer": (300, f"GET {LIVE} HTTP/1.1\r\nHost: x\r\n\r\n"),
        "16 MB without end": (40, head + "Content-Length: 16000000\r\n\r\n" + "x" * 15_000_000),
    }
    for name, (count, text) in attacks.items():
        with serving("--header-timeout", "5", "--body-timeout", "5") as server:
            host, port = server.address.split(":")
            with watched(server) as watch:
                begun = time.monotonic()
                with ThreadPoolExecutor(16) as pool:
                    clients = list(pool.map(lambda _: connect(host, int(port), text.encode()), range(count)))  # noqa: B023
                open_at = time.monotonic() - begun
                closed = sum(is_closed(client, begun + 12) for client in clients)
            after = time.monotonic() - begun
            ended = f"{closed} ended by the server in {after:.1f} s"
            print(f"{count} connections, {name}: all open after {open_at:.1f} s, {ended};")
            print(f"   {watch}", flush=True)


def connect(host: str, port: int, data: bytes) -> socket.socket:
    """A connection that has sent what the server takes of this in a second."""
    connection = socket.create_connection((host, port), timeout=10)
    connection.settimeout(1)
    with suppress(OSError):
        connection.sendall(data)
    return connection


def is_closed(client: socket.socket, deadline: float) -> bool:
    """Whether the server ends this connection until then; what it says before does not matter."""
    try:
        while (left := deadline - time.monotonic()) > 0:
            client.settimeout(left)
            if not client.recv(65536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    finally:
        client.close()
    return False


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    if "connections" not in sys.argv[1:]:
        flood_with_images()
    if "images" not in sys.argv[1:]:
        flood_with_connections()
