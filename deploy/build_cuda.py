"""From a graph to a library for CUDA devices: nvcc compiles what print_cuda.py words."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from . import cache
from .compiler import compile_cuda, cuda_compiler
from .errors import BuildError
from .generate import Generated, weights_file
from .ir import Graph
from .lower import lower
from .passes import optimize
from .print_cuda import ARCHES, flags, generate_cuda
from .program import Program

FLAGS = ("-std=c++17", "-O3", "-fmad=false", "--expt-relaxed-constexpr", "-Xcompiler=-fPIC,-fvisibility=hidden")
Compiling = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class BuiltCuda:
    """A model for a device: `Compiled(built.library, built.weights)` runs it, with arrays of the host."""

    name: str
    library: Path
    weights: Path
    header: Path
    wrapper: Path
    source: Path
    seconds: float
    program: Program = field(repr=False, compare=False)


def program_for_cuda(graph: Graph | str | os.PathLike[str], favoured: int = 1) -> Program:
    """The calls of a graph, or of the `.nd` file at a path, for a device. EmitError for what cannot be a program."""
    graph = graph if isinstance(graph, Graph) else Graph.load(graph)
    return lower(optimize(graph), favoured, "cuda")


def build_cuda(
    graph: Graph | str | os.PathLike[str], out: str | os.PathLike[str], *, name: str = "model",
    arches: Sequence[str] = ARCHES, compiling: Compiling = lambda name: nullcontext(), nice: int = 0, favoured: int = 1,
) -> BuiltCuda:  # fmt: skip
    """Compile a graph, or the `.nd` file at a path, into the folder `out`: library, weights, headers and the source.

    The library has code for each of `arches` and PTX of the newest, needs no CUDA runtime beside the driver, and is
    that of the structure, for any weights. Raises EmitError for what no CUDA program is written for, and BuildError if
    there is no nvcc (`NVCC`, default `nvcc`), it fails, an architecture is none or `out` cannot be written.
    """
    unknown = [arch for arch in arches if not re.fullmatch(r"sm_\d{2,3}", arch)]
    if unknown or not arches:
        got = ", ".join(unknown) or "none"
        raise BuildError(f"[build] architectures are written as in {', '.join(ARCHES)}, got {got}")
    cuda_compiler()
    program = program_for_cuda(graph, favoured)
    generated, started = generate_cuda(program, name, arches), time.monotonic()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with cache.temporary(folder) as work:
            with compiling(name):
                _compile(work, generated, arches, nice)
            (work / f"{name}.weights").write_bytes(weights_file(program))
            for path in work.iterdir():
                path.replace(folder / path.name)
    except OSError as error:
        raise BuildError(f"[build] {folder} cannot be written: {error.strerror}; name another folder") from None
    weights, header, wrapper, source = (folder / f"{name}.{end}" for end in ("weights", "h", "hpp", "cu"))
    seconds = time.monotonic() - started
    return BuiltCuda(name, folder / f"lib{name}.so", weights, header, wrapper, source, seconds, program)


def _compile(work: Path, generated: Generated, arches: Sequence[str], nice: int) -> None:
    for file, data in generated.files.items():
        (work / file).write_bytes(data)
    name = generated.name
    compile_cuda(work, *FLAGS, *flags(arches), "-shared", f"{name}.cu", "-o", f"lib{name}.so", nice=nice)
