"""From a graph to a model that answers: compiled, by the instant engine, or by that until it is compiled."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import deploy
from deploy import interpreter
from deploy.build import find, program_name
from deploy.ir import dims
from deploy.passes import optimize
from deploy.sources import frozen
from needle.backend_ndarray.ndarray_backend_cpu import num_threads
from needle.backend_selection import array_api
from needle.errors import NeedleError
from needle.sizes import Size
from needle.types import Type
from serving.engine.errors import Unavailable
from serving.engine.models import Canary, Model, Run, TensorSpec, check_canary
from serving.engine.sources import RECORDING, Source, check_batches, labels_for, opened
from serving.engine.text.load import decoding_graph, is_text, load_text
from serving.engine.text.programs import LONGEST
from serving.engine.text.programs import instant as instant_runtime

MAX_BATCH = 32
NICE = 10
REPORT_EVERY = 10.0  # seconds between two lines about a compiler that works
PATIENCE = 3.0  # seconds to wait for a program from the cache before the instant engine answers for the time being
DATATYPES = {
    "float16": "FP16", "bfloat16": "BF16", "float32": "FP32", "float64": "FP64", "bool": "BOOL",
    **{f"{sign}{bits}": f"{sign}{bits}".upper() for sign in ("int", "uint") for bits in (8, 16, 32, 64)},
}  # fmt: skip
ENGINES = ("auto", "compiled", "instant")

log = logging.getLogger("serving")


def load(source: Source) -> Model:
    """The model of a source, ready to run by its engine. Raises Unavailable if it cannot be had."""
    try:
        with RECORDING:
            subject = opened(source)
            graph = decoding_graph(subject) if is_text(subject) else _graph(source.name, subject)
        if is_text(subject):
            runtime = compiled_text if source.engine == "compiled" else instant_runtime
            return load_text(source, subject, graph, runtime)
        return _load(source, graph)
    except (NeedleError, OSError) as problem:
        raise Unavailable(f"[{source.name}] cannot be loaded: {problem}") from problem


def _graph(name: str, subject: Any) -> deploy.Graph:
    """The graph of what was opened, which takes batches."""
    graph = subject if isinstance(subject, deploy.Graph) else frozen(subject, name)
    check_batches(name, graph)
    return graph


def _load(source: Source, graph: deploy.Graph) -> Model:
    """The canary's answer is the numpy meaning of the graph: it does not come from what serves."""
    inputs = tuple(_spec(node.op.name, node.type) for node in graph.inputs)
    outputs = tuple(_spec(output, node.type, labels_for(graph, node)) for output, node in graph.outputs)
    example = {spec.name: _example(spec, node.type) for spec, node in zip(inputs, graph.inputs, strict=True)}
    canary = (example, interpreter.run(graph, example))
    match source.engine:
        case "compiled":
            run = compiled(source.name, graph)
        case "instant":
            run = instant(source.name, graph)
        case _:
            run = compiled_soon(source.name, graph, canary)
    most = min(MAX_BATCH, dims(graph)["batch"].high or MAX_BATCH)
    version = str(source.version or 1)
    return Model(source.name, inputs, outputs, run, graph.card, version=version, max_batch=most, canary=canary)


def prepare(sources: Iterable[Source], everywhere: bool = False) -> None:
    """Compile the models into the cache, unless they are there, for this processor or for all of its kind.

    Models of text are compiled where they are to run so: with the engine `auto` the instant one does. Raises
    NeedleError if it fails.
    """
    for source in sources:
        subject = opened(source)
        if not is_text(subject):
            compiled_library(source.name, _graph(source.name, subject), everywhere)
        elif source.engine == "compiled":
            compiled_library(source.name, decoding_graph(subject), everywhere)


def compiled(name: str, graph: deploy.Graph) -> Run:
    """The graph as a compiled program, from the cache if it was compiled before. Raises DeployError if it cannot be."""
    program = compiled_runtime(name, graph, MAX_BATCH)
    return lambda batch: program.run(**batch)


def compiled_text(name: str, graph: deploy.Graph, rows: int) -> deploy.Compiled:
    """The compiled program on all threads of the worker: it runs one step at a time. Raises NeedleError as below."""
    return compiled_runtime(name, graph, rows, num_threads())


def compiled_runtime(name: str, graph: deploy.Graph, rows: int, threads: int = 1) -> deploy.Compiled:
    """The compiled program for batches of up to `rows`. Raises NeedleError if it cannot be had."""
    built = compiled_library(name, graph)
    most = {size: LONGEST for size, x in dims(graph).items() if x.high is None and size != "batch"}
    program = deploy.Compiled(built.library, built.weights, max_batch=rows, most=most, threads=threads)
    log.info("[%s] runs compiled, for the instruction set %s", name, program.isa)
    return program


def compiled_library(name: str, graph: deploy.Graph, everywhere: bool = False) -> deploy.Built:
    """The library of a graph, from the cache or compiled now. Raises NeedleError if it cannot be."""
    file, levels = program_name(name), "all" if everywhere else None
    found = None if everywhere else find(graph, name=file)
    return found or deploy.build(graph, name=file, compiling=lambda _: compiling(name), nice=NICE, levels=levels)


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """A line in the log every now and then while the compiler works."""
    began, done = time.monotonic(), threading.Event()

    def report() -> None:
        while not done.wait(REPORT_EVERY):
            log.info("[%s] compiling ... %.0f s", name, time.monotonic() - began)

    log.info("[%s] compiling ...", name)
    threading.Thread(target=report, name=f"report {name}", daemon=True).start()
    try:
        yield
    finally:
        done.set()
    log.info("[%s] compiled in %.0f s", name, time.monotonic() - began)


def instant(name: str, graph: deploy.Graph) -> Run:
    """The graph as a program that runs at once, with the kernels of needle's extension.

    What no program can hold yet is run node by node: correct, but slower.
    """
    try:
        program = deploy.Instant(graph, name=name, max_batch=MAX_BATCH)
    except deploy.EmitError as problem:
        log.info("[%s] runs node by node: %s", name, problem)
        optimized = optimize(graph)
        return lambda batch: interpreter.run(optimized, batch, array_api.array)
    return lambda batch: program.run(**batch)


def compiled_soon(name: str, graph: deploy.Graph, canary: Canary) -> Run:
    """The compiled program as soon as there is one that gives the known answer, and the instant engine until then.

    So the first start answers at once while the compiler works, and a machine without a compiler is served too.
    """
    engine: list[Run] = [instant(name, graph)]

    def upgrade() -> None:
        try:
            better = compiled(name, graph)
            check_canary(name, better, canary)
        except (NeedleError, OSError) as problem:
            log.warning("%s\n[%s] runs in the instant engine instead: the same answers, somewhat slower", problem, name)
        else:
            engine[0] = better

    thread = threading.Thread(target=upgrade, name=f"compile {name}", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        log.info("[%s] is being compiled, once; until then the instant engine answers, somewhat slower", name)
    return lambda batch: engine[0](batch)


def _spec(name: str, type: Type, labels: Any = ()) -> TensorSpec:
    shape = tuple(-1 if isinstance(size, Size) else size for size in type.shape)
    return TensorSpec(name, DATATYPES[type.dtype], shape, tuple(labels))


def _example(spec: TensorSpec, type: Type) -> np.ndarray:
    """Two rows of a pattern without symmetry: sin(0), sin(0.7), sin(1.4), ...; of ids zeros, which every table has."""
    shape = tuple(2 if size == -1 else size for size in spec.shape)
    if not spec.datatype.startswith(("FP", "BF")):
        return np.zeros(shape, type.dtype)
    dtype = "float32" if spec.datatype == "BF16" else type.dtype  # numpy has no bfloat16: programs take float32 for it
    row: np.ndarray = np.sin(0.7 * np.arange(np.prod(shape))).astype(dtype)
    return row.reshape(shape)
