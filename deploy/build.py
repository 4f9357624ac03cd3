"""From a graph to files: a shared library and its weights; where asked a static one, a command, headers, source."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy

from needle.backend_ndarray import ndarray_backend_cpu as extension
from needle.errors import SettingError
from needle.sizes import size_at, unit

from . import cache
from .compiler import C_FLAGS, FLAGS, LEAN, SHARED, STATIC, archive, compile_objects, levels_of, link, variants
from .errors import BuildError
from .generate import Generated, generate, weights_file
from .ir import Graph
from .lower import lower
from .passes import optimize
from .print_main import main_program
from .program import Program

Compiling = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class Built:
    """A compiled model: `Compiled(built.library, built.weights)` runs it.

    The library is that of the structure, for any weights: `weights_of(arrays)` makes the file of others without calling
    a compiler. `seconds` is what compiling took, 0 when the library was found in the cache.
    """

    name: str
    library: Path
    weights: Path
    header: Path
    source: Path
    executable: Path | None  # the command, where the files were asked for in a folder
    seconds: float
    program: Program = field(repr=False, compare=False)

    def weights_of(self, arrays: Mapping[str, numpy.ndarray]) -> Path:
        """The file of other weights, beside the library; arrays by their names, as `graph.weights()` gives them.

        GraphError unless names, shapes and dtypes are the graph's, SettingError if it cannot be written.
        """
        return cache.kept(self.library.parent, weights_file(self.program, arrays))

    @property
    def archive(self) -> Path:
        """The static library with the weights in it, where the files were asked for in a folder."""
        return self.library.with_suffix(".a")

    @property
    def wrapper(self) -> Path:
        """The header for C++ around the one for C."""
        return self.header.with_suffix(".hpp")

    @property
    def arena(self) -> dict[str, int]:
        """Bytes of scratch memory: for each `item` of a batch, `fixed`, and for each `thread`."""
        floats = [unit(n)[0] for n in self.program.plan().totals]
        return {name: 4 * n for name, n in zip(("item", "fixed", "thread"), floats, strict=False)}

    def arena_bytes(self, batch: int, threads: int) -> int:
        """The scratch memory of one instance."""
        return 4 * size_at(self.program.plan().floats, {"batch": batch, "threads": threads})


def build(
    graph: Graph | str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, name: str = "model",
    compiling: Compiling = lambda name: nullcontext(), nice: int = 0, favoured: int = 1,
    levels: Sequence[str] | Literal["all"] | None = None,
) -> Built:  # fmt: skip
    """Compile a graph, or the `.nd` file at a path.

    The library stays in the cache, a folder named by the hash of what was compiled under `NEEDLE_HOME` (default
    `~/.cache/needle`), for this processor. With a folder `out` it is put there for every instruction set of this kind
    of machine, its weights linked into it, with a static library, a command, headers and the source; then no cache is
    needed. `levels` names instruction sets, "all" those of this kind of machine: of x86-64 v2, v3 (AVX2) and v4
    (AVX-512), of which a program chooses the best one that it holds and the processor runs. `compiling(name)` is a
    context that is entered while the compiler works, to show it; `nice` is the compiler's niceness. Kernels are chosen
    to be fast for batches of `favoured` rows.

    Raises EmitError if the graph cannot be written as a program, BuildError if there is no C++ compiler (`CXX`, default
    `c++`), it fails or `out` cannot be written, and SettingError if the cache is needed and cannot be written.
    """
    graph = graph if isinstance(graph, Graph) else Graph.load(graph)
    program = lower(optimize(graph), favoured)
    if out is None and levels is None:
        generated = _for_here(program, name)
    else:
        generated = generate(program, name, levels_of(None if levels == "all" else levels))

    def fill(folder: Path) -> None:
        with compiling(name):
            _compile(folder, generated, nice)

    if out is None:
        folder, seconds = cache.made(generated, fill)
        weights = cache.kept(folder, weights_file(program))
        return _built(generated, program, folder, weights, seconds)
    main = main_program(program, name)
    try:
        try:
            folder, seconds = cache.made(generated, fill)
            _deliver(Path(out), lambda work: _copy(folder, work), generated, program, main)
        except SettingError:
            started = time.monotonic()
            _deliver(Path(out), fill, generated, program, main)
            seconds = time.monotonic() - started
    except OSError as error:
        raise BuildError(f"[build] {out} cannot be written: {error.strerror}; name another folder") from None
    return _built(generated, program, Path(out), Path(out) / f"{name}.weights", seconds, Path(out) / name)


def find(graph: Graph, *, name: str = "model", favoured: int = 1) -> Built | None:
    """What `build` would take from the cache, None if it would compile; no compiler is called.

    Where there is no compiler, a library that any compiler made of the same structure.
    """
    program = lower(optimize(graph), favoured)
    generated = _for_here(program, name)
    folder = cache.found(generated)
    if folder is None:
        return None
    return _built(generated, program, folder, cache.kept(folder, weights_file(program)), 0.0)


def _for_here(program: Program, name: str) -> Generated:
    """For all instruction sets if that is in the cache already, else for the one that runs here."""
    whole = generate(program, name, levels_of(None))
    here = extension.__isa__.removeprefix("x86-64-")
    if cache.found(whole) is not None or here not in whole.levels:
        return whole
    return replace(whole, levels=(here,))


def program_name(path: str | os.PathLike[str]) -> str:
    """A C identifier from a file's name, or a model's."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in Path(path).stem.lower())
    return name if name[:1].isalpha() else f"model_{name}"


def _compile(work: Path, generated: Generated, nice: int = 0) -> None:
    """Objects side by side, then the library; what they were made of stays beside them."""
    name = generated.name
    for file, data in generated.files.items():
        (work / file).write_bytes(data)
    present = [f"-DND_VARIANTS={' | '.join(f'ND_HAS_{x}' for x in generated.levels)}"] if generated.levels else []
    objects = {"interface.o": [*FLAGS, *LEAN, *present, f"{name}.cpp"]}
    for level in generated.levels:
        flags = [*FLAGS, *LEAN, *variants()[level]]
        objects[f"{level}.o"] = [*flags, f"-DND_ISA={level}", "-DND_ONLY_FORWARD", f"{name}.cpp"]
    compile_objects(work, dict(reversed(objects.items())), nice)
    _link(work, name, sorted(objects))


def _link(work: Path, name: str, parts: list[str]) -> None:
    """The shared library of objects."""
    link(work, *SHARED, *parts, "-o", f"lib{name}.so")


def _finish(work: Path, generated: Generated, program: Program, main: bytes) -> None:
    """Weights, and with them linked in, the library once more and the command."""
    name, parts = generated.name, sorted(x.name for x in work.glob("*.o"))
    (work / f"{name}.weights").write_bytes(weights_file(program))
    (work / f"{name}_main.c").write_bytes(main)
    compile_objects(work, {"main.o": [*C_FLAGS, f"{name}_main.c"], "weights.o": [f"{name}_weights.S"]})
    _link(work, name, [*parts, "weights.o"])
    link(work, "-nostdlib", "-r", *parts, "weights.o", "-o", "whole.o")  # one object: its weights are never left out
    archive(work, f"lib{name}.a", "whole.o")
    link(work, *STATIC, "main.o", f"lib{name}.a", "-lm", "-o", name)
    for part in work.glob("*.o"):
        part.unlink()
    (work / cache.RECORD).write_text(json.dumps(cache.record(generated)))


def _copy(folder: Path, work: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".weights":
            shutil.copy2(file, work / file.name)


def _deliver(out: Path, fill: Callable[[Path], None], generated: Generated, program: Program, main: bytes) -> None:
    """Put into the folder `out` what `fill` puts into an empty one, with weights and command, each file whole."""
    out.mkdir(parents=True, exist_ok=True)
    with cache.temporary(out) as work:
        fill(work)
        _finish(work, generated, program, main)
        for path in work.iterdir():
            path.replace(out / path.name)


def _built(
    generated: Generated, program: Program, folder: Path, weights: Path, seconds: float, command: Path | None = None
) -> Built:
    name = generated.name
    header, source = folder / f"{name}.h", folder / f"{name}.cpp"
    return Built(name, folder / f"lib{name}.so", weights, header, source, command, seconds, program)
