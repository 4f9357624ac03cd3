"""What the subcommands of `needle-deploy` do; cli.py only reads their arguments. Each returns the exit status."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from needle.types import Type

from . import compare
from .build import Built, build
from .card import image_of, labels_of
from .errors import DeployError
from .freeze import freeze
from .image import load_image
from .ir import Constant, Graph, listing
from .passes import optimize
from .runtime import Compiled


def freeze_command(source: str, output: Path) -> int:
    """Freeze `package:name` into a `.nd` file."""
    model = load_module(source)
    card = getattr(model, "card", None) or {}
    image = image_of(card)
    if image is None:
        raise DeployError(f"[freeze] the card of '{source}' describes no image input; use deploy.freeze")
    graph = freeze(
        model, Type((1, image.channels, image.height, image.width)), input_names=["image"], output_names=["logits"]
    )
    graph = Graph(graph.inputs, graph.outputs, card)
    graph.save(output)
    print(f"{output}: {len(graph.order())} nodes, {output.stat().st_size} bytes")
    return 0


def load_module(source: str) -> Any:
    """The module that `package:name` stands for: `package.load(name, pretrained=True)`. Raises DeployError."""
    package, colon, name = source.partition(":")
    if not colon or not package.isidentifier() or not name:
        raise DeployError(f"[freeze] a model is named package:name, such as zoo:resnet9, got '{source}'")
    try:
        load = importlib.import_module(package).load
    except (ImportError, AttributeError) as error:
        raise DeployError(f"[freeze] '{package}' has no function load(name, pretrained): {error}") from error
    return load(name, pretrained=True)


def inspect_command(path: Path, optimized: bool) -> int:
    """Print a graph: inputs, nodes, outputs, sizes."""
    graph = Graph.load(path)
    graph = optimize(graph) if optimized else graph
    nodes = graph.order()
    print("\n".join(listing(graph)))
    weights = sum(x.op.array.nbytes for x in nodes if isinstance(x.op, Constant))
    kinds = Counter(type(x.op).__name__ for x in nodes)
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    print(f"{len(nodes)} nodes ({counts}), {weights} bytes of weights")
    for key, value in graph.card.items():
        print(f"{key}: {str(value)[:100]}")
    return 0


def build_command(path: Path, out: Path | None) -> int:
    """Compile a `.nd` file and print what came out."""
    built = build(path, out or path.with_suffix(""), name=program_name(path))
    for file in (built.library, built.executable, built.header, built.source, built.weights):
        print(f"{file}  {file.stat().st_size} bytes")
    print(f"arena: {built.arena_item} bytes per item + {built.arena_fixed} + {built.arena_thread} per thread")
    print(f"compiled in {built.seconds:.1f} s" if built.seconds else "compiled before; taken from the cache")
    return 0


def program_name(path: Path) -> str:
    """A C identifier from a file's name."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in path.stem.lower())
    return name if name[:1].isalpha() else f"model_{name}"


def run_command(path: Path, source: Path, top: int) -> int:
    """Run a `.nd` file on one image or `.npy` array and print labels with probabilities, or the numbers."""
    graph, built = built_of(path)
    compiled = Compiled(built.library)
    x = read_input(source, graph.card)
    labels = labels_of(graph.card)
    for result in numpy.atleast_2d(compiled(x) if len(compiled.outputs) == 1 else compiled(x)[0]):
        if len(labels) != result.size:
            print(*(f"{value:.6g}" for value in result.ravel()))
            continue
        likely = numpy.exp(result.astype(float) - result.max())
        for i in numpy.argsort(-likely)[:top]:
            print(f"{labels[i]:<20} {likely[i] / likely.sum():.4f}")
    return 0


def read_input(source: Path, card: Mapping[str, Any]) -> numpy.ndarray:
    """An image as the card prepares it, or a .npy array as it is. Raises DeployError."""
    if source.suffix != ".npy":
        return load_image(source, card)
    try:
        array: numpy.ndarray = numpy.load(source, allow_pickle=False)
        return array
    except (OSError, ValueError) as error:
        raise DeployError(f"[run] '{source}' is not a .npy file of numbers: {error}") from error


def verify_command(path: Path, source: str | None) -> int:
    """Compare the program with the interpreter, and with the eager module if its name is given. 1 if they differ."""
    graph, built = built_of(path)
    compiled = Compiled(built.library)
    model = load_module(source) if source else None
    if model is not None:
        model.eval()
    worst = 0.0
    for what, error in compare.errors(compiled, graph, model):
        print(f"{what}: max relative error {error:.2e}")
        worst = max(worst, error)
    print(f"{'equal' if worst <= compare.TOLERANCE else 'DIFFERENT'}: {worst:.2e}, allowed {compare.TOLERANCE:.0e}")
    return 0 if worst <= compare.TOLERANCE else 1


def bench_command(path: Path, batch: int, threads: int, seconds: float) -> int:
    """Print the median time of one run."""
    graph, built = built_of(path)
    compiled = Compiled(built.library, max_batch=batch, threads=threads)
    inputs = compare.random_inputs(graph, batch)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 10:
        start = time.perf_counter()
        compiled.run(**inputs)
        times.append(time.perf_counter() - start)
    median = float(numpy.median(times)) * 1e6
    per_item = f"{median / batch:.1f} per item"
    print(f"batch {batch}, {threads} threads, {compiled.isa}: {median:.1f} microseconds per run, {per_item}")
    return 0


def built_of(path: Path) -> tuple[Graph, Built]:
    """The graph in a file and its compiled files, from the cache if they are there."""
    graph = Graph.load(path)
    return graph, build(graph, name=program_name(path))
