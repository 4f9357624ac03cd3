"""The C++ compiler: which one, with which flags, and its processes, which end with this one."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import platform
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .errors import BuildError

FLAGS = (
    "-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "-fPIC", "-fvisibility=hidden", "-pthread",
)  # fmt: skip
LEAN = ("-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables")  # a program throws nothing
C_FLAGS = ("-x", "c", "-std=c11", "-O2", "-fPIC", "-fvisibility=hidden")
LINUX = platform.system() == "Linux"
# Without names and ids for debuggers, and without gaps between pages of data and of code.
SMALL = ("-Wl,-s", "-Wl,--build-id=none", "-Wl,-z,noseparate-code") if LINUX else ()
SHARED = ("-shared", *SMALL, *(("-Wl,--no-undefined", "-Wl,--as-needed") if LINUX else ()))
STATIC = ("-static", *SMALL) if LINUX else ()  # elsewhere the C library has no such form
VARIANTS = {
    "v2": ("-march=x86-64-v2",),
    "v3": ("-march=x86-64-v3",),
    "v4": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
}


Process = subprocess.Popen[str]
_processes: set[Process] = set()  # that must not outlive this process


def compiler() -> list[str]:
    """The C++ compiler's command. Raises BuildError saying how to get or name one."""
    command = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(command[0]) is None:
        raise BuildError(f"[build] no C++ compiler: '{command[0]}' was not found; install g++ or clang++, or set CXX")
    return command


def cuda_compiler() -> list[str]:
    """nvcc's command. Raises BuildError saying how to get or name it."""
    command = shlex.split(os.environ.get("NVCC", "")) or ["nvcc"]
    for found in (command[0], "/usr/local/cuda/bin/nvcc"):
        if shutil.which(found):
            return [found, *command[1:]]
    raise BuildError(f"[build] no CUDA compiler: '{command[0]}' was not found; install CUDA's toolkit, or set NVCC")


def version() -> bytes:
    """What the compiler says it is."""
    return subprocess.run([*compiler(), "--version"], capture_output=True, check=False).stdout


def variants() -> dict[str, Sequence[str]]:
    """The instruction sets to compile for, each with its flags; empty where one compilation does."""
    return dict(VARIANTS) if platform.machine().lower() in ("x86_64", "amd64") else {}


def levels_of(asked: Sequence[str] | None) -> tuple[str, ...]:
    """The instruction sets that were asked for, all of this kind of machine for None. BuildError for unknown ones."""
    known = tuple(variants())
    unknown = [x for x in asked or () if x not in known]
    if unknown:
        here = f"of {', '.join(known)}" if known else "none: programs for this machine have one variant"
        raise BuildError(f"[build] instruction sets must be {here}, got {', '.join(unknown)}")
    return known if asked is None else tuple(x for x in known if x in asked)


def compile_objects(folder: Path, objects: Mapping[str, Sequence[str]], nice: int = 0) -> None:
    """`name.o` from arguments of the compiler, flags among them, in the order given, a process for each processor.

    Raises BuildError with what the compiler said, OSError where the disk is full.
    """
    waiting = [_start(folder, [*how, "-c", "-o", name], nice) for name, how in objects.items()]
    running: list[Process] = []
    with _ending(running):
        for start in waiting:
            if len(running) == (os.cpu_count() or 1):
                _finish(folder, running.pop(0))
            running.append(next(start))
        while running:
            _finish(folder, running.pop(0))


def link(folder: Path, *arguments: str, nice: int = 0) -> None:
    """One call of the compiler as linker."""
    _finish(folder, next(_start(folder, [*arguments, "-pthread"], nice)))


def compile_cuda(folder: Path, *arguments: str, nice: int = 0) -> None:
    """One call of nvcc. Raises BuildError with what it said."""
    _finish(folder, next(_start(folder, arguments, nice, cuda_compiler())))


def archive(folder: Path, name: str, *parts: str) -> None:
    """A static library of objects, by `ar` (or `AR`). Raises BuildError if it fails."""
    command = [*(shlex.split(os.environ.get("AR", "")) or ["ar"]), "rcsD" if LINUX else "rcs", name, *parts]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"[build] no archiver: '{command[0]}' was not found; install binutils, or set AR") from None
    if done.returncode:
        raise BuildError(f"[build] the archiver '{command[0]}' failed: {done.stderr.strip()}")


def _start(folder: Path, arguments: Sequence[str], nice: int, by: Sequence[str] | None = None) -> Iterator[Process]:
    """A compiler in a process group of its own, whose temporary files go to `folder` too, once it is asked for."""
    command = [*(by or compiler()), *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | {"TMPDIR": str(folder)}, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _processes.add(process)
    with contextlib.suppress(OSError):  # it has ended, or may not be made nicer
        os.setpriority(os.PRIO_PGRP, process.pid, nice)
    yield process


def _finish(folder: Path, process: Process) -> None:
    """Wait for a compiler; BuildError or OSError unless it did what it was asked."""
    try:
        _, errors = process.communicate()
    finally:
        _end(process)
    if process.returncode == 0:
        return
    if os.strerror(errno.ENOSPC) in errors:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    lines = errors.splitlines()[:20]
    first = next((line for line in lines if "error" in line), "it did not say why")
    words = list(map(str, process.args)) if isinstance(process.args, list) else []
    command, name = " ".join(words), words[0] if words else compiler()[0]
    detail = "".join(f"\n{line}" for line in (command, *lines)) if lines else ""
    raise BuildError(f"[build] the C++ compiler '{name}' failed: {first}{detail}")


@contextlib.contextmanager
def _ending(running: list[Process]) -> Iterator[None]:
    """No process in `running` is left behind the block: not by an error, not by Ctrl-C."""
    try:
        yield
    finally:
        for process in running:
            _end(process)


def _end(process: Process) -> None:
    _processes.discard(process)
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


@atexit.register
def _end_all() -> None:
    for process in list(_processes):
        _end(process)
