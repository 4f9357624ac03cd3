"""States of the repository as folders that can be imported, each with a compiled extension, kept under build/against.

A commit's folder is named by its hash and never changes. The working tree's is brought up to date file by file, so that
what did not change keeps its time stamp and is not compiled again. An extension is kept by the hash of all that it was
compiled from: two states that differ in Python alone are compiled once.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "build" / "against"
COMPILED = ("csrc", "CMakeLists.txt")  # what the extension is made of
PARTS = (*COMPILED, "needle", "deploy", "zoo")  # never bench/: both sides run the cases of the working tree


class RefusedError(Exception):
    """What was asked cannot be done: one sentence for the person who asked."""


@contextmanager
def store() -> Iterator[Path]:
    """The folder of all builds, for one process at a time: a second one would disturb what the first measures."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"[against] another comparison is using {STORE}: wait until it has ended") from None
        yield STORE


def commit(revision: str) -> tuple[str, Path]:
    """A commit's short hash and its compiled folder. Raises RefusedError if there is none or it does not compile."""
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
    if not found:
        raise RefusedError(f"[against] needs a commit, and git knows none by the name {revision!r}: see `git log`")
    name = found.decode().strip()[:12]
    tree = STORE / name
    if not tree.exists():
        parts = set(PARTS) & set(git("ls-tree", "--name-only", name).decode().splitlines())
        if not parts >= {*COMPILED, "needle"}:
            raise RefusedError(f"[against] needs csrc, CMakeLists.txt and needle in the commit, and {name} has not all")
        with tempfile.TemporaryDirectory(dir=STORE) as half:  # renamed when it is whole
            with tarfile.open(fileobj=io.BytesIO(git("archive", name, "--", *sorted(parts)))) as archive:
                archive.extractall(Path(half) / name, filter="data")
            (Path(half) / name).rename(tree)
    compile_extension(tree, name)
    return name, tree


def working_tree() -> Path:
    """The folder of the working tree as it is, uncommitted and new files included, with its extension."""
    tree = STORE / "working"
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS).decode().split("\0")
    update(ROOT, tree, {name for name in listed if name and (ROOT / name).is_file()})
    compile_extension(tree, "the working tree")
    return tree


def update(source: Path, target: Path, names: set[str]) -> None:
    """Make the parts of `target` hold exactly the files `names` of `source`; files that are the same stay untouched."""
    for part in PARTS:
        for path in (target / part).rglob("*"):
            if path.is_file() and str(path.relative_to(target)) not in names:
                path.unlink()
    for name in names:
        ours, theirs = source / name, target / name
        if not theirs.is_file() or theirs.read_bytes() != ours.read_bytes():
            theirs.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ours, theirs)


def compile_extension(tree: Path, name: str) -> None:
    """Put the extension of `tree` into its place, compiled for this processor. Raises RefusedError if that fails."""
    kept = STORE / "extensions" / fingerprint(tree)
    if not kept.exists():
        print(f"compiling the extension of {name}: a minute or two, once", file=sys.stderr, flush=True)
        made = tree / "build" / "extension"
        shutil.rmtree(made, ignore_errors=True)
        run_cmake(tree, made, name)
        kept.parent.mkdir(exist_ok=True)
        shutil.copytree(made, kept.with_suffix(".half"), dirs_exist_ok=True)
        kept.with_suffix(".half").rename(kept)
    for library in kept.iterdir():
        shutil.copyfile(library, tree / "needle" / "backend_ndarray" / library.name)


def run_cmake(tree: Path, made: Path, name: str) -> None:
    """Configure and compile in tree/build, incrementally; the extension goes to `made`, what is printed to a log."""
    import pybind11

    build, log = tree / "build", tree / "build.log"
    configure = {
        "CMAKE_BUILD_TYPE": "Release",
        "NEEDLE_VARIANTS": "native",
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
        "CMAKE_LIBRARY_OUTPUT_DIRECTORY": str(made),
    }
    settings = [f"-D{key}={value}" for key, value in configure.items()]
    with log.open("w") as text:
        for step in (["-S", str(tree), "-B", str(build), "-G", "Ninja", *settings], ["--build", str(build)]):
            try:
                done = subprocess.run(["cmake", *step], env=tools(), stdout=text, stderr=text, check=False)
            except FileNotFoundError:
                raise RefusedError("[against] needs cmake and ninja to compile: pip install cmake ninja") from None
            if done.returncode:
                raise RefusedError(f"[against] {name} does not compile; {log} says why")


def tools() -> dict[str, str]:
    """The environment in which the cmake and the ninja beside this Python are found first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def fingerprint(tree: Path) -> str:
    """A hash of the sources of the extension, the compiler, its flags and the version of Python."""
    compiler = os.environ.get("CXX", "c++")
    version = subprocess.run([*compiler.split(), "--version"], capture_output=True, check=False).stdout
    state = hashlib.sha256(version)
    for setting in (compiler, os.environ.get("CXXFLAGS", ""), sys.version):
        state.update(setting.encode() + b"\0")
    for path in sorted(p for part in COMPILED for p in [tree / part, *(tree / part).rglob("*")] if p.is_file()):
        content = path.read_bytes()
        state.update(f"{path.relative_to(tree)}\0{len(content)}\0".encode() + content)
    return state.hexdigest()[:16]


def git(*arguments: str) -> bytes:
    """What git prints; nothing if it fails. Raises RefusedError where there is no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        raise RefusedError("[against] needs git: install it") from None
    if b"not a git repository" in done.stderr:
        raise RefusedError(f"[against] compares commits, and {ROOT} is not a git repository: clone it instead")
    return done.stdout if done.returncode == 0 else b""
