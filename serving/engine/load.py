"""From a name of the zoo to a model that answers: the only place that touches the zoo and the compiler."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import deploy
import zoo
from deploy import interpreter
from deploy.build import cache_folder
from deploy.emit.emit import emit
from deploy.passes import optimize
from needle import NDArray
from needle.types import Dim, Type
from serving.engine.models import Arrays, Model, TensorSpec

MAX_BATCH = 32
DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64"}

log = logging.getLogger("serving")


def names() -> list[str]:
    """The models there are."""
    return zoo.names()


def loader(engine: str = "auto") -> Callable[[str], Model]:
    """What turns a name into a Model: `compiled`, `interpreted`, or compiled where that is possible (`auto`)."""
    return lambda name: load(name, engine)


def load(name: str, engine: str = "auto") -> Model:
    """The pretrained model `name`; its canary's answer comes from the numpy meaning of its graph."""
    module: Any = zoo.load(name, pretrained=True)
    card = module.card
    graph = freeze(module)
    outputs = tuple(_spec(output, node.type, card.get("labels", ())) for output, node in graph.outputs)
    inputs = tuple(_spec(node.op.name, node.type) for node in graph.inputs)
    run = interpreted(name, graph) if engine == "interpreted" else compiled(name, graph, fall_back=engine == "auto")
    example = {spec.name: _example(spec) for spec in inputs}
    known = {output: np.asarray(found) for output, found in interpreter.run(graph, example).items()}
    return Model(name, inputs, outputs, run, card, max_batch=MAX_BATCH, canary=(example, known))


def freeze(module: Any) -> deploy.Graph:
    """The graph of an image model of the zoo, for any number of images at once."""
    spec = module.card["input"]
    example = Type((1, spec["channels"], spec["height"], spec["width"]))
    return deploy.freeze(module, example, input_names=["image"], output_names=["logits"])


def compiled(name: str, graph: deploy.Graph, fall_back: bool = False) -> Callable[[Arrays], Arrays]:
    """The graph as a compiled program, from the cache where it was compiled before.

    Without a C++ compiler and without a program in the cache: DeployError, or with `fall_back` the interpreted graph.
    """
    try:
        built = deploy.build(graph, name=name)
        library = built.library
        if built.seconds:
            log.info("[%s] compiled in %.1f s; the next start finds it in %s", name, built.seconds, library.parent)
    except deploy.BuildError as problem:
        shipped = _shipped(name, graph)
        if shipped is None:
            if not fall_back:
                raise
            log.warning("%s; %s is interpreted for now, correct but slower", problem, name)
            return interpreted(name, graph)
        library = shipped
    program = deploy.Compiled(library, max_batch=MAX_BATCH)
    log.info("[%s] runs compiled, for the instruction set %s", name, program.isa)
    return lambda batch: program.run(**batch)


def _shipped(name: str, graph: deploy.Graph) -> Path | None:
    """A program in the cache that was compiled from this graph by whatever compiler, as container images bring it."""
    wanted = emit(optimize(graph), name).hash
    for record in sorted(cache_folder().glob("*/built.json")):
        library = record.parent / f"lib{name}.so"
        if json.loads(record.read_text()).get("graph") == wanted and library.is_file():
            return library
    return None


def interpreted(name: str, graph: deploy.Graph) -> Callable[[Arrays], Arrays]:
    """The optimised graph, run node by node with needle's kernels."""
    optimized = optimize(graph)
    log.info("[%s] is interpreted", name)
    return lambda batch: interpreter.run(optimized, batch, NDArray)


def _spec(name: str, type: Type, labels: Any = ()) -> TensorSpec:
    shape = tuple(-1 if isinstance(size, Dim) else size for size in type.shape)
    return TensorSpec(name, DATATYPES[type.dtype], shape, tuple(labels))


def _example(spec: TensorSpec) -> np.ndarray:
    """Two rows of a fixed pattern without symmetry: sin(0), sin(0.7), sin(1.4), ..."""
    shape = tuple(2 if size == -1 else size for size in spec.shape)
    return np.sin(0.7 * np.arange(np.prod(shape))).astype(np.float32).reshape(shape)
