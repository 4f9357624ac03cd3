"""Photographs over HTTP: requests a second and the slowest of a hundred, beside LitServe with ONNX Runtime.

Both servers have two workers, the same model and the same client, wrk, which keeps a number of connections busy.
"""

from __future__ import annotations

import atexit
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from bench.case import Run, Sides
from bench.cases.serving import started

SECONDS = 3  # of one turn
WORKERS = 2
WIDTH, HEIGHT = 640, 480


@cache
def photograph() -> bytes:
    """A JPEG of 640 x 480, 90 kB: slow waves of colour, and noise."""
    from PIL import Image

    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [127 + 100 * np.sin(x / across + y / down) for across, down in ((40, 70), (90, 33), (25, 120))]
    pixels = np.stack(waves, -1) + np.random.default_rng(0).normal(0, 12, (HEIGHT, WIDTH, 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(stream, "JPEG", quality=85)
    return stream.getvalue()


@cache
def folder() -> Path:
    """Where scripts and models lie until this process ends."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


def ended_with_us(process: subprocess.Popen[str]) -> None:
    atexit.register(process.wait)
    atexit.register(process.terminate)


@cache
def ours() -> tuple[str, str]:
    """The address that is asked of needle's server, and the script of the client."""
    flags = ["--models", "resnet9", "--workers", str(WORKERS), "--state", str(folder() / "state")]
    process, port = started(flags, ready=WORKERS)
    ended_with_us(process)
    return f"http://127.0.0.1:{port}/v2/models/resnet9/classify", script("ours", photograph(), "image/jpeg")


@cache
def litserve() -> tuple[str, str]:
    """The same of LitServe."""
    import litserve  # noqa: F401  (where it is not installed, this says so)

    import zoo
    from deploy import onnx
    from deploy.sources import frozen

    model, port = folder() / "resnet9.onnx", free_port()
    onnx.save(frozen(zoo.load("resnet9", pretrained=True), "zoo:resnet9"), model)
    command = [sys.executable, "-m", "bench.litserve_app", str(model), str(port), str(WORKERS)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **quiet)
    atexit.register(os.killpg, process.pid, signal.SIGKILL)  # its first process leaves others behind
    until_listening(port)
    head = b'--cut\r\nContent-Disposition: form-data; name="request"; filename="photo.jpg"\r\n\r\n'
    body = head + photograph() + b"\r\n--cut--\r\n"
    return f"http://127.0.0.1:{port}/predict", script("litserve", body, "multipart/form-data; boundary=cut")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until_listening(port: int, seconds: float = 60) -> None:
    """Raises OSError where nobody listens by then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def script(name: str, body: bytes, kind: str) -> str:
    """A script for wrk that posts `body`, which lies in a file beside it."""
    content = folder() / f"{name}.body"
    content.write_bytes(body)
    path = folder() / f"{name}.lua"
    path.write_text(
        f'local file = io.open("{content}", "rb")\n'
        f'wrk.method, wrk.body = "POST", file:read("*a")\nwrk.headers["Content-Type"] = "{kind}"\n'
    )
    return str(path)


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def asked(address: str, script: str, clients: int) -> dict[str, float]:
    """What wrk tells after SECONDS: "request", the seconds for each one of all, and "p99", how long they took.

    Raises RuntimeError where an answer was no success.
    """
    command = ["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}s", "--latency", "--timeout", "20s", "-s", script, address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, slow = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if not rate or not slow or float(rate[1]) == 0 or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk was not answered as it should be: {said}")
    return {"request": 1 / float(rate[1]), "p99": float(slow[1]) * UNITS[slow[2]]}


def classified(clients: int, what: str) -> Sides:
    """`what` wrk tells, "request" or "p99", of so many connections."""

    def of(server: tuple[str, str]) -> Run:
        return lambda: asked(*server, clients)[what]

    return Sides(of(ours()), {"LitServe": lambda: of(litserve())}, told=True)
