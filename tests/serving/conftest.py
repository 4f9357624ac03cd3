"""Fixtures: the app on a model without weights, as a Flask test client and as a live server in a process of its own."""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("flask")

from fakes import fake

from serving.app import create_app
from serving.engine.limits import Limits
from serving.engine.metrics import Metrics
from serving.engine.service import Service

HERE = Path(__file__).resolve().parent


@pytest.fixture
def make_client():
    """make_client(load=..., limits=...) -> a test client whose models are loaded."""

    def make(load=fake, limits=None):
        service = Service(load, ["resnet9", "other"], Metrics(["resnet9", "other"]), limits or Limits())
        service.start().join()
        return create_app(service).test_client()

    return make


@pytest.fixture
def client(make_client):
    return make_client()


class Live:
    """A running server: its process, `host:port`, and a short way to GET."""

    def __init__(self, process: subprocess.Popen, address: str):
        self.process, self.address = process, address

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as response:
            return response.read().decode()


@contextmanager
def serving(*flags: str, seconds: float = 0.0) -> Iterator[Live]:
    """A live server with these flags, whose models take `seconds` for a run."""
    command = [sys.executable, str(HERE / "fakes.py"), str(seconds), "--port", "0", *flags]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    lines = []
    try:
        ready = 0
        address = ""
        while ready < 2:  # both models
            line = process.stderr.readline()
            if not line:
                raise RuntimeError("the server did not start:\n" + "".join(lines))
            lines.append(line)
            found = re.search(r"listening on http://(\S+)", line)
            address = found[1] if found else address
            ready += "ready" in line
        yield Live(process, address)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def start():
    return serving


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    with serving() as server:
        yield server
