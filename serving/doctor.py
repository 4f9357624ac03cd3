"""`needle-serve doctor`: what is here, what is missing, and how to mend it, before a server is started."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import needle
from deploy.compiler import compiler
from deploy.errors import BuildError
from needle.backend_ndarray import ndarray_backend_cpu as extension
from needle.commands import Answer, whole
from needle.environment import home
from needle.errors import NeedleError
from serving.engine import sources
from serving.key_commands import State, add_state, state_of

ROOM = 100 * 2**20  # bytes that the cache should have left
OPTIONAL = {"onnx": "reads .onnx files", "opentelemetry-sdk": "traces requests", "psycopg": "keeps rows in PostgreSQL"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is "ok", a "warning" (it works without) or an "error", and what was found."""

    what: str
    state: str
    found: str


def add_doctor(commands: Any) -> None:
    """Add `doctor` to the subcommands."""
    added = commands.add_parser("doctor", help="look at what a server needs", description=__doc__)
    add_state(added)
    added.add_argument("--port", type=whole(0, 65535), default=8000, help="port that a server would listen on")
    added.add_argument("--host", default="127.0.0.1", help="address that it would listen on")
    added.answers()
    added.set_defaults(run=doctor)


def doctor(options: argparse.Namespace) -> Answer:
    """All findings; 1 where one is an error."""
    found = findings(options.host, options.port, state_of(options))
    signs = {"ok": "  ", "warning": "! ", "error": "x "}
    lines = [f"{signs[x.state]}{x.what:<18} {x.found}" for x in found]
    failed = any(x.state == "error" for x in found)
    return Answer([asdict(x) for x in found], "\n".join(lines), 1 if failed else 0)


def findings(host: str, port: int, state: State) -> list[Finding]:
    """In the order in which they matter."""
    return [
        Finding("needle", "ok", f"{needle.__version__} on Python {platform.python_version()}, {platform.machine()}"),
        Finding("kernels", "ok", f"{extension.__isa__}, {extension.num_threads()} threads, {os.cpu_count()} cores"),
        _looked("C++ compiler", _compiler, "warning", "models run in the instant engine, somewhat slower"),
        _looked("cache", lambda: _writable(home()), "warning", "compiled models are not kept; set NEEDLE_HOME"),
        _looked("state", lambda: _writable(state.folder), "error", "set --state to a folder of your own"),
        _looked("keys", lambda: _keys(state), "error", "set --state to another folder, or --database to a database"),
        _looked("address", lambda: _free(host, port), "error", "choose another --port, or end what listens there"),
        _models(),
        *(_package(name, use) for name, use in OPTIONAL.items()),
    ]


def _looked(what: str, look: Callable[[], str], otherwise: str, advice: str) -> Finding:
    """What `look` finds; where it raises, that with advice."""
    try:
        return Finding(what, "ok", look())
    except (NeedleError, OSError) as error:
        return Finding(what, otherwise, f"{error}; {advice}")


def _compiler() -> str:
    command = compiler()
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (subprocess.SubprocessError, OSError) as error:
        raise BuildError(f"'{command[0]}' does not say its version: {error}") from None
    return said.splitlines()[0] if said else command[0]


def _writable(folder: Path) -> str:
    """The folder, after a file was written to it and the room that is left was looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")
        file.flush()
    room = shutil.disk_usage(folder).free
    if room < ROOM:
        raise OSError(f"{folder} has {room / 2**20:.0f} MB left")
    return f"{folder}, {room / 2**30:.0f} GB left"


def _keys(state: State) -> str:
    keys = state.keys()
    try:
        held = [key for key in keys.every() if key.revoked is None]
    finally:
        keys.close()
    return f"{len(held)} keys" if held else "none: whoever reaches the address may use it"


def _free(host: str, port: int) -> str:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    return f"{host} port {port} is free"


def _models() -> Finding:
    trained = sources.names()
    return Finding("models", "ok" if trained else "warning", f"with weights: {', '.join(trained) or 'none'}")


def _package(name: str, use: str) -> Finding:
    try:
        return Finding(name, "ok", f"{version(name)}, {use}")
    except PackageNotFoundError:
        return Finding(name, "warning", f"is not installed: nothing {use}; pip install {name}")
