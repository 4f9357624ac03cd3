"""What the subcommands of `needle-deploy` do; cli.py only reads their arguments. Each returns its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from needle.commands import Answer, ticking

from . import compare, onnx
from .arrays import read_npy
from .binding import axes_of
from .build import Built, build, program_name
from .build_cuda import build_cuda
from .card import labels_of
from .compiled import Compiled
from .errors import DeployError
from .image import load_image
from .instant import Instant
from .ir import Graph, describe, interface
from .print_cuda import ARCHES
from .quantize.command import Wanted
from .quantize.command import quantize_command as run_quantize
from .roofline import Cost, Roofline, costs, roofline
from .sources import frozen, frozen_decoding, load_module

ROWS = 64  # of a file that are run at one time
Shapes = Sequence[tuple[str, Sequence[int | str]]]  # (input, sizes), as --shape gives them


def freeze_command(
    source: str, output: Path, weights: Path | None, adapter: Path | None = None, slots: int | None = None
) -> Answer:
    """Freeze `package:name`, or how it decodes with a cache of so many slots, into a `.nd` file."""
    model = load_module(source, weights, adapter)
    graph = frozen(model, source) if slots is None else frozen_decoding(model, source, slots)
    graph.save(output)
    facts = {"path": str(output), "nodes": len(graph.order()), "bytes": output.stat().st_size}
    return Answer(facts, f"{output}: {facts['nodes']} nodes, {facts['bytes']} bytes")


def graph_of(path: Path, shapes: Shapes = ()) -> Graph:
    """The graph in a .nd file or, by its suffix, a .onnx file, whose inputs have these shapes. Raises DeployError."""
    if path.suffix.lower() == ".onnx":
        return onnx.load(path, dict(shapes))
    if shapes:
        raise DeployError(f"[--shape] fixes sizes of a .onnx file; the sizes of '{path}' are in it")
    return Graph.load(path)


def import_command(path: Path, output: Path, shapes: Shapes) -> Answer:
    """Read a `.onnx` file and write it as a `.nd` file."""
    graph = graph_of(path, shapes)
    graph.save(output)
    facts = {"path": str(output), "nodes": len(graph.order()), "bytes": output.stat().st_size, **interface(graph)}
    ports = "; ".join(f"{x.op.name} {describe(x.type)}" for x in graph.inputs)
    return Answer(facts, f"{output}: {facts['nodes']} nodes, {facts['bytes']} bytes; inputs {ports}")


def export_command(path: Path, output: Path, opset: int, shapes: Shapes) -> Answer:
    """Write the graph in a file as a `.onnx` file."""
    onnx.save(graph_of(path, shapes), output, opset)
    facts = {"path": str(output), "opset": opset, "bytes": output.stat().st_size}
    return Answer(facts, f"{output}: opset {opset}, {facts['bytes']} bytes")


def quantize_command(path: Path, wanted: Wanted, shapes: Shapes = ()) -> Answer:
    """Quantize a file's graph, and measure what it costs; 1 if that is beyond the tolerance."""
    return run_quantize(graph_of(path, shapes), wanted)


def build_cuda_command(
    path: Path, out: Path | None, favoured: int = 1, shapes: Shapes = (), arches: Sequence[str] | None = None
) -> Answer:
    """Compile a file for CUDA devices; what came out."""
    graph, folder = graph_of(path, shapes), out or path.with_suffix("")
    built = build_cuda(
        graph, folder, name=program_name(path), arches=arches or ARCHES, compiling=compiling, favoured=favoured
    )
    files = {name: getattr(built, name) for name in ("library", "header", "wrapper", "source", "weights")}
    lines = [f"{file}  {file.stat().st_size} bytes" for file in files.values()]
    facts = {"name": built.name, **{name: str(file) for name, file in files.items()}, "seconds": built.seconds}
    return Answer(facts, "\n".join([*lines, f"compiled in {built.seconds:.1f} s"]))


def build_command(
    path: Path, out: Path | None, favoured: int = 1, shapes: Shapes = (), levels: Sequence[str] | None = None
) -> Answer:
    """Compile a file; what came out."""
    graph, folder = graph_of(path, shapes), out or path.with_suffix("")
    built = build(graph, folder, name=program_name(path), compiling=compiling, favoured=favoured, levels=levels)
    names = ("library", "archive", "executable", "header", "wrapper", "source", "weights")
    files = {name: getattr(built, name) for name in names}
    lines = [f"{file}  {file.stat().st_size} bytes" for file in files.values()]
    arena = {f"arena_{region}": size for region, size in built.arena.items()}
    lines.append("arena: {item} bytes per item + {fixed} + {thread} per thread".format(**built.arena))
    lines.append(f"compiled in {built.seconds:.1f} s" if built.seconds else "compiled before; taken from the cache")
    facts = {"name": built.name, **{name: str(file) for name, file in files.items()}, "seconds": built.seconds, **arena}
    return Answer(facts, "\n".join(lines))


def compiling(name: str) -> Any:
    """What is shown while the compiler works."""
    return ticking(f"compiling {name}")


def run_command(path: Path, source: Path, top: int, shapes: Shapes = ()) -> Answer:
    """The answer of a file to one image or `.npy` array: labels with probabilities, or the numbers."""
    graph = graph_of(path, shapes)
    x = read_input(source, graph.card)  # a fault of the input is told before the compiler works
    built = build(graph, name=program_name(path), compiling=compiling)
    named = zip(axes_of(graph.given[0].shape) if graph.given else (), x.shape, strict=False)
    sizes = {name: max(size, 1) for name, size in named if isinstance(name, str)}
    compiled = _opened(built, sizes | ({"batch": min(sizes["batch"], ROWS)} if "batch" in sizes else {}))
    labels = labels_of(graph.card)
    rows: list[Any] = []
    lines: list[str] = []
    for result in numpy.atleast_2d(compiled(x) if len(compiled.outputs) == 1 else compiled(x)[0]):
        if len(labels) != result.size:
            rows.append(result.tolist())
            lines.append(" ".join(f"{value:.6g}" for value in result.ravel()))
            continue
        likely = numpy.exp(result.astype(float) - result.max())
        best = [(labels[i], float(likely[i] / likely.sum())) for i in numpy.argsort(-likely)[:top]]
        rows.append([{"label": label, "probability": p} for label, p in best])
        lines += [f"{label:<20} {p:.4f}" for label, p in best]
    return Answer(rows, "\n".join(lines))


def read_input(source: Path, card: Mapping[str, Any]) -> numpy.ndarray:
    """An image as the card prepares it, or a .npy array as it is. Raises DeployError."""
    return read_npy("run", source) if source.suffix == ".npy" else load_image(source, card)


def verify_command(
    path: Path, source: str | None, weights: Path | None, adapter: Path | None = None, shapes: Shapes = ()
) -> Answer:
    """Compare the program with the interpreter, and with the eager module if its name is given. 1 if they differ."""
    if (weights is not None or adapter is not None) and source is None:
        raise DeployError("[verify] --weights and --adapter are the eager module's: name it with --model package:name")
    graph, built = built_of(path, shapes=shapes)
    compiled = _opened(built, compare.sizes_of(graph, max(compare.BATCHES)))
    model = load_module(source, weights, adapter) if source else None
    if model is not None:
        model.eval()
    found = {what: float(error) for what, error in compare.errors(compiled, graph, model)}
    worst = max(found.values(), default=0.0)
    equal = worst <= compare.TOLERANCE
    lines = [f"{what}: max relative error {error:.2e}" for what, error in found.items()]
    lines.append(f"{'equal' if equal else 'DIFFERENT'}: {worst:.2e}, allowed {compare.TOLERANCE:.0e}")
    return Answer({"errors": found, "allowed": compare.TOLERANCE, "equal": equal}, "\n".join(lines), 0 if equal else 1)


def _opened(built: Built, sizes: Mapping[str, int], threads: int = 1) -> Compiled:
    """The program, for calls of these sizes at most: open ones may have no largest value."""
    most = dict(sizes)
    return Compiled(built.library, built.weights, max_batch=most.pop("batch", ROWS), threads=threads, most=most)


def bench_command(
    path: Path, batch: int, threads: int, seconds: float, favoured: int, by_op: bool, shapes: Shapes = ()
) -> Answer:
    """The median time of one run; with `by_op`, that of each call."""
    graph, built = built_of(path, favoured, shapes)
    sizes = compare.sizes_of(graph, batch)
    batch = sizes.get("batch", batch)
    compiled = _opened(built, sizes, threads)
    given = {x.op.name for x in graph.given}
    inputs = {name: array for name, array in compare.random_inputs(graph, batch).items() if name in given}
    times = repeated(seconds, lambda: compiled.run(**inputs))
    median = float(numpy.median([elapsed for elapsed, _ in times])) * 1e6
    per_item = f"{median / batch:.1f} per item"
    text = f"batch {batch}, {threads} threads, {compiled.isa}: {median:.1f} microseconds per run, {per_item}"
    facts = {"batch": batch, "threads": threads, "isa": compiled.isa, "microseconds": median, "runs": len(times)}
    if not by_op:
        return Answer(facts, text)
    instant = Instant(graph, name=program_name(path), max_batch=batch, threads=threads, favoured=favoured)
    calls = [found for _, found in repeated(seconds, lambda: instant.times(**inputs))]
    sizes |= {"batch": batch, "threads": threads}
    limit = roofline(instant.program, sizes)
    limit = Roofline(threads * limit.multiply_adds, threads * limit.bytes)
    rows = costs(instant.program, calls, sizes, limit)
    return Answer({**facts, **by_op_facts(rows, limit)}, "\n".join([text, *by_op_lines(rows, limit)]))


def repeated(seconds: float, run: Callable[[], Any]) -> list[tuple[float, Any]]:
    """What each of at least 10 runs took and gave, for so many seconds."""
    found: list[tuple[float, Any]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < 10:
        start = time.perf_counter()
        answer = run()
        found.append((time.perf_counter() - start, answer))
    return found


def by_op_facts(rows: Sequence[Cost], limit: Roofline) -> dict[str, Any]:
    """What `bench --by-op` found, as numbers."""
    calls = [
        {
            "call": x.call.kernel, "computes": x.call.note, "microseconds": 1e6 * x.seconds,
            "multiply_adds": x.multiply_adds, "bytes": x.bytes, "roofline_microseconds": 1e6 * x.least,
        }
        for x in rows
    ]  # fmt: skip
    return {"multiply_adds_per_second": limit.multiply_adds, "bytes_per_second": limit.bytes, "calls": calls}


def by_op_lines(rows: Sequence[Cost], limit: Roofline) -> list[str]:
    """A row for each call, and what they make together."""
    total, least = sum(x.seconds for x in rows), sum(x.least for x in rows)
    peak, reading = limit.multiply_adds / 1e9, limit.bytes / 1e9
    lines = [
        "", f"the instant engine, call by call; roofline: {peak:.1f} G multiply-adds/s, {reading:.1f} GB/s", "",
        f"{'us':>9} {'share':>6} {'M multiply-adds':>16} {'KB':>8} {'roofline':>9}  call",
    ]  # fmt: skip
    for x in rows:
        shape = "x".join(map(str, x.call.writes[0].shape[1:]))
        about = f"{x.call.kernel} {x.call.functor} {' '.join(x.call.epilogue)}".split()
        lines.append(
            f"{1e6 * x.seconds:9.1f} {x.seconds / total:6.1%} {x.multiply_adds / 1e6:16.2f} {x.bytes / 1024:8.0f} "
            f"{x.least / x.seconds:9.0%}  {' '.join(about)} to {shape}"
        )
    work = sum(x.multiply_adds for x in rows) / 1e6
    lines.append(f"{1e6 * total:9.1f} {1:6.0%} {work:16.2f} {'':8} {least / total:9.0%}  in all")
    return lines


def built_of(path: Path, favoured: int = 1, shapes: Shapes = ()) -> tuple[Graph, Built]:
    """The graph in a file and its compiled files, from the cache if they are there."""
    graph = graph_of(path, shapes)
    return graph, build(graph, name=program_name(path), compiling=compiling, favoured=favoured)
