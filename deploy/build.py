"""From a graph to files: a shared library, a static command, a header, and the source they were built from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from needle.environment import cache_folder, home, unwritable
from needle.errors import SettingError

from .errors import BuildError
from .generate import Generated, generate
from .ir import Graph
from .lower import lower
from .passes import optimize
from .print_main import main_program

Compiling = Callable[[str], AbstractContextManager[object]]
FLAGS = (
    "-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "-fPIC", "-fvisibility=hidden", "-pthread",
)  # fmt: skip
VARIANTS = {
    "v2": ("-march=x86-64-v2",),
    "v3": ("-march=x86-64-v3",),
    "v4": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
}


@dataclass(frozen=True)
class Built:
    """The files of a compiled model; `seconds` is what compiling took, 0 when it was found in the cache."""

    name: str
    library: Path
    executable: Path
    header: Path
    source: Path
    weights: Path
    seconds: float
    arena_item: int  # bytes of scratch memory for each item of a batch
    arena_fixed: int
    arena_thread: int  # and for each thread

    def arena_bytes(self, batch: int, threads: int) -> int:
        """The scratch memory of one instance."""
        return self.arena_item * batch + self.arena_fixed + self.arena_thread * threads


def build(
    graph: Graph | str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, name: str = "model",
    compiling: Compiling = lambda name: nullcontext(),
) -> Built:  # fmt: skip
    """Compile a graph, or the `.nd` file at a path, for every instruction set of this kind of machine.

    The files go to the folder `out`, or stay in the cache, a folder named by the hash of what was compiled under
    `NEEDLE_HOME` (default `~/.cache/needle`); with `out` no cache is needed. `compiling(name)` is a context that is
    entered while the compiler works, to show it. Raises EmitError if the graph cannot be written as a program,
    BuildError if there is no C++ compiler (`CXX`, default `c++`), it fails or `out` cannot be written, and SettingError
    if the cache is needed and cannot be written.
    """
    graph = graph if isinstance(graph, Graph) else Graph.load(graph)
    program, files = _program(graph, name)
    try:
        folder, seconds = _cached(files, program, compiling)
    except SettingError:
        if out is None:
            raise
        started = time.monotonic()
        with compiling(name):
            _deliver(Path(out), lambda work: _compile(work, files, program))
        return _built(Path(out), program, time.monotonic() - started)
    if out is not None:
        _deliver(Path(out), lambda work: [shutil.copy2(file, work / file.name) for file in folder.iterdir()])
    return _built(folder if out is None else Path(out), program, seconds)


def find(graph: Graph, *, name: str = "model") -> Path | None:
    """The library that `build` would take from the cache, None if it would compile; no compiler is called.

    Where there is no compiler, a library that any compiler made of the same graph.
    """
    program, files = _program(graph, name)
    try:
        cache = home() / "compiled"
        folders = [cache / _key(files)]
    except SettingError:
        return None
    except BuildError:
        folders = sorted(x.parent for x in cache.glob("*/built.json"))
    for folder in folders:
        record = folder / "built.json"
        if record.is_file() and json.loads(record.read_text()) == {"graph": program.hash, "name": name}:
            return folder / f"lib{name}.so"
    return None


def _program(graph: Graph, name: str) -> tuple[Generated, dict[str, bytes]]:
    """What is compiled: the program of the optimised graph, and its files with that of the command."""
    program = generate(lower(optimize(graph)), name)
    return program, {**program.files, f"{name}_main.cpp": main_program(graph, name)}


def program_name(path: str | os.PathLike[str]) -> str:
    """A C identifier from a file's name, or a model's."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in Path(path).stem.lower())
    return name if name[:1].isalpha() else f"model_{name}"


def compiler() -> list[str]:
    """The C++ compiler's command. Raises BuildError saying how to get or name one."""
    command = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(command[0]) is None:
        raise BuildError(f"[build] no C++ compiler: '{command[0]}' was not found; install g++ or clang++, or set CXX")
    return command


def variants() -> dict[str, Sequence[str]]:
    """The instruction sets to compile for, each with its flags; empty where one compilation does."""
    return dict(VARIANTS) if platform.machine().lower() in ("x86_64", "amd64") else {}


def _key(files: dict[str, bytes]) -> str:
    """The hash of everything that decides what the compiled files are."""
    version = subprocess.run([*compiler(), "--version"], capture_output=True, check=False).stdout
    parts = [version, repr((FLAGS, variants(), compiler())).encode()]
    parts += [part for name in sorted(files) for part in (name.encode(), files[name])]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


def _cached(files: dict[str, bytes], program: Generated, compiling: Compiling) -> tuple[Path, float]:
    """The folder in the cache, and the seconds it took to compile it now. SettingError if it cannot be written."""
    folder = cache_folder("compiled") / _key(files)
    if (folder / "built.json").is_file():
        return folder, 0.0
    started = time.monotonic()
    try:
        with compiling(program.name), _temporary(folder.parent) as work:
            _compile(work, files, program)
            try:
                work.rename(folder)
            except OSError:  # another process was faster; its files are the same
                if not (folder / "built.json").is_file():
                    raise
    except OSError as error:
        raise unwritable(folder.parent, error) from None
    return folder, time.monotonic() - started


def _deliver(out: Path, fill: Callable[[Path], object]) -> None:
    """Put into the folder `out` what `fill` puts into an empty one, each file whole. BuildError if that cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _temporary(out) as work:
            fill(work)
            for path in work.iterdir():
                path.replace(out / path.name)
    except OSError as error:
        raise BuildError(f"[build] {out} cannot be written: {error.strerror}; name another folder") from None


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    """A folder inside `parent` that is gone after the block, unless it was renamed."""
    work = Path(tempfile.mkdtemp(dir=parent, prefix=".building-"))
    try:
        work.chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compile(work: Path, files: dict[str, bytes], program: Generated) -> None:
    """Objects side by side, then the library and the command; what they were made of stays beside them."""
    name = program.name
    for file, data in files.items():
        (work / file).write_bytes(data)
    objects = {"main.o": [f"{name}_main.cpp"], "weights.o": [f"{name}_weights.S"]}
    several = variants()
    for level, flags in several.items():
        objects[f"{level}.o"] = [*flags, f"-DND_ISA={level}", "-DND_ONLY_FORWARD", f"{name}.cpp"]
    objects["interface.o"] = [*(["-DND_VARIANTS"] if several else []), f"{name}.cpp"]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda item: _run(work, *FLAGS, "-c", *item[1], "-o", item[0]), reversed(objects.items())))
    parts = [x for x in objects if x != "main.o"]
    _run(work, "-shared", "-pthread", *parts, "-o", f"lib{name}.so", "-Wl,--no-undefined" if several else "-pthread")
    static = ["-static"] if platform.system() == "Linux" else []
    _run(work, *static, "-pthread", "main.o", *parts, "-o", name)
    for part in objects:
        (work / part).unlink()
    (work / "built.json").write_text(json.dumps({"graph": program.hash, "name": name}))


def _run(work: Path, *arguments: str) -> None:
    """One call of the compiler, whose own files go to `work` too. BuildError with what it said; OSError: disk full."""
    environment = os.environ | {"TMPDIR": str(work)}
    command = [*compiler(), *arguments]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        if os.strerror(errno.ENOSPC) in result.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(work))
        lines = result.stderr.splitlines()[:20]
        first = next((line for line in lines if "error" in line), "it did not say why")
        detail = "".join(f"\n{line}" for line in (" ".join(command), *lines)) if lines else ""
        raise BuildError(f"[build] the C++ compiler '{compiler()[0]}' failed: {first}{detail}")


def _built(folder: Path, program: Generated, seconds: float) -> Built:
    name, totals = program.name, program.plan.totals
    return Built(
        name, folder / f"lib{name}.so", folder / name, folder / f"{name}.h", folder / f"{name}.cpp",
        folder / f"{name}.weights", seconds, 4 * totals["item"], 4 * totals["fixed"], 4 * totals["thread"],
    )  # fmt: skip
