"""The compiled engine over all cases: many programs in one translation unit, a batch of them for each compiler call.

The cases run once with the instant engine, which tells which graphs there are; these are compiled, for one instruction
set and equal ones once; then the cases run again, and each graph's `forward` is the one that was compiled.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy.compiler import FLAGS, VARIANTS, compile_objects, link
from deploy.generate import HEADERS
from deploy.headers import inline, system_headers
from deploy.instant import Instant
from deploy.ir import Graph
from deploy.kernels import KERNELS
from deploy.onnx.backend import NeedleRep, _of
from deploy.print_cpp import Body
from deploy.print_interface import words_of
from deploy.program import aligned
from needle.sizes import size_at
from tests.onnx_suite.cases import Result, run

SIZE = 100  # programs of a batch
START = """{system}
#if defined(__x86_64__)
#include <immintrin.h>
#endif
{kernels}
"""
FORWARD = """
namespace nd {{ namespace ND_ISA {{ namespace p{i} {{
void forward(const Executor& on, const int64_t* sizes, const float* weights, void* const* operands, float* arena) {{
    {take_sizes}const int64_t threads = on.threads;
{body}
}}
}}}}}}
extern "C" __attribute__((visibility("default")))
void run_{i}(const int64_t* sizes, const float* weights, void* const* operands, float* arena) {{
    nd::p{i}::forward(nd::Executor{{}}, sizes, weights, operands, arena);
}}
"""


class Compiled(Instant):
    """An instant program whose calls are those of a compiled `forward`."""

    def __init__(self, graph: Graph, functions: dict[str, Any]) -> None:
        super().__init__(graph, max_batch=1 << 40)
        self.forward = functions[text_of(self.program)]

    def _run(self, sizes: dict[str, int], inputs: Any, outputs: Any, states: Any) -> None:
        arena = aligned(size_at(self._arena_floats, {**sizes, "threads": 1}))
        numbers = (ctypes.c_int64 * (len(sizes) + 1))(*(sizes[name] for name in self._dims))
        arrays = [x.ctypes.data for x in (*inputs, *states, *outputs)]
        operands = (ctypes.c_void_p * (len(arrays) + 1))(*arrays)
        self.forward(numbers, self._weights.ctypes.data, operands, arena.ctypes.data)


def text_of(program: Any) -> str:
    """The statements of a program; equal ones are compiled once."""
    return words_of(program)["take_sizes"] + Body(program, program.plan()).text()


@contextmanager
def running(make: Any) -> Iterator[None]:
    """While it lasts, graphs of the backend run as `make(graph)`."""
    plain = NeedleRep._runner
    NeedleRep._runner = lambda self, graph: make(graph)  # type: ignore[method-assign]
    try:
        yield
    finally:
        NeedleRep._runner = plain  # type: ignore[method-assign]


def results(cases: Sequence[Any]) -> list[Result]:
    """What comes of each case with the compiled engine."""
    programs: dict[str, Any] = {}

    def collected(graph: Graph) -> Any:
        made = Instant(graph)
        programs.setdefault(text_of(made.program), made.program)
        return _of(made)

    with running(collected):
        for case in cases:
            run(case, "instant")
    with TemporaryDirectory() as folder:
        functions = compiled(programs, Path(folder))

        def found(graph: Graph) -> Any:
            return _of(Compiled(graph, functions))

        with running(found):
            return [run(case, "instant") for case in cases]


def compiled(programs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The functions of programs, by their text."""
    texts = list(programs)
    several = platform.machine().lower() in ("x86_64", "amd64")
    flags = (*VARIANTS["v3"], "-DND_ISA=v3") if several else ()
    starts = range(0, len(texts), SIZE)
    objects = {}
    for start in starts:
        batch = range(start, min(start + SIZE, len(texts)))
        headers = {KERNELS[call.kernel].header for i in batch for call in programs[texts[i]].calls} - {""}
        kernels = inline([*HEADERS, *sorted(headers)], set())
        parts = [START.format(system="\n".join(f"#include <{x}>" for x in system_headers(kernels)), kernels=kernels)]
        for i in batch:
            program = programs[texts[i]]
            body = Body(program, program.plan()).text()
            parts.append(FORWARD.format(i=i, take_sizes=words_of(program)["take_sizes"], body=body))
        (folder / f"b{start}.cpp").write_text("".join(parts))
        objects[f"b{start}.o"] = [*FLAGS, "-O1", *flags, f"b{start}.cpp"]
    compile_objects(folder, objects)
    functions: dict[str, Any] = {}
    for start in starts:
        link(folder, "-shared", f"b{start}.o", "-o", f"b{start}.so")
        library = ctypes.CDLL(str(folder / f"b{start}.so"))
        for i in range(start, min(start + SIZE, len(texts))):
            functions[texts[i]] = getattr(library, f"run_{i}")
            functions[texts[i]].argtypes = [ctypes.c_void_p] * 4
    return functions
