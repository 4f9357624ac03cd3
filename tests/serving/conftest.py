"""Fixtures: the app on a model without weights, as a Flask test client and as a live server in a process of its own."""

import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("flask")

import postgres
from fakes import fake

from serving.app import create_app
from serving.engine.catalog import Catalog
from serving.engine.database import DATABASE
from serving.engine.limits import Limits
from serving.engine.metrics import Metrics
from serving.engine.registry import Registry
from serving.engine.service import Service
from serving.engine.sources import Source
from serving.engine.tuning.service import Tuning

HERE = Path(__file__).resolve().parent


@pytest.fixture
def place(tmp_path, monkeypatch):
    """place(name) is where rows are kept: a file of that name, or a schema of its own where a database is given."""
    url = os.environ.get(postgres.TEST_DATABASE)
    if url is None:
        return lambda name: tmp_path / name
    made = {}

    def schema(name):
        if name not in made:
            made[name] = postgres.fresh(url)
        return made[name]

    monkeypatch.setenv(DATABASE, schema("command"))  # for commands of these tests
    return schema


@pytest.fixture
def make_service(tmp_path, place):
    """make_service(load, names, limits=..., ...) -> a service whose models are loaded; load(name) or load(source)."""
    made = []

    def make(load, given=("resnet9", "other"), limits=None, keys=None, **options):
        registry = Registry(tmp_path / f"models-{len(made)}.db")
        for source in given:
            registry.add(source if isinstance(source, Source) else Source(source))
        tuning = Tuning(tmp_path / f"state-{len(made)}", limits, place(f"state-{len(made)}/state.db"))
        tuning.begin()
        service = Service(Catalog(load, Metrics(registry), limits or Limits(), **options), keys, tuning)
        service.start().join()
        made.append(service)
        return service

    yield make
    for service in made:
        service.catalog.close()
        service.tuning.store.database.close()
        service.keys.close()


@pytest.fixture
def make_client(make_service):
    """make_client(load=..., limits=...) -> a test client whose models are loaded; `load` makes a Model of a name."""

    def make(load=fake, limits=None):
        return create_app(make_service(lambda source: load(source.name), limits=limits)).test_client()

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
def running(command: list[str], models: int) -> Iterator[Live]:
    """A live server by this command, once so many models are ready in its log."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    home = tempfile.TemporaryDirectory(prefix="needle-state-")
    command += [] if "--state" in command else ["--state", home.name]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    lines = []
    try:
        ready = 0
        address = ""
        while ready < models or not address:
            line = process.stderr.readline()
            if not line:
                raise RuntimeError("the server did not start:\n" + "".join(lines))
            lines.append(line)
            found = re.search(r"listening on http://(\S+)", line)
            address = found[1] if found else address
            ready += "] ready" in line
        yield Live(process, address)
    finally:
        process.terminate()
        process.communicate(timeout=60)
        home.cleanup()


def serving(*flags: str, seconds: float = 0.0) -> AbstractContextManager[Live]:
    """A live server with these flags, of two models that take `seconds` for a run."""
    return running([sys.executable, str(HERE / "fakes.py"), str(seconds), "--port", "0", *flags], models=2)


def real(*flags: str, models: int = 1) -> AbstractContextManager[Live]:
    """`needle-serve` with these flags, which name so many models."""
    return running([sys.executable, "-m", "serving.cli", "--port", "0", *flags], models)


@pytest.fixture
def start():
    return serving


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def texting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A live server of small language models, `gpt` and `lstm`."""
    folder = tmp_path_factory.mktemp("texts")
    import texts

    for name in ("gpt-char", "lstm-char"):
        texts.save(name, folder / f"{name.partition('-')[0]}.safetensors")
    with real("--body-timeout", "2", "--models", *map(str, folder.iterdir()), models=2) as server:
        yield server
