"""From a name of the zoo to a model that answers: the only place that touches the zoo and the compiler."""

import atexit
import fcntl
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import deploy
import zoo
from deploy import interpreter
from deploy.build import cache_folder, compiler, find
from deploy.card import Image
from deploy.passes import optimize
from needle.backend_selection import array_api
from needle.errors import NeedleError
from needle.types import Dim, Type
from serving.engine.errors import ServingError, Unavailable
from serving.engine.models import Canary, Model, Run, TensorSpec, check_canary
from zoo.signature import Labels

MAX_BATCH = 32
PATIENCE = 3.0  # seconds to wait for a program from the cache before the graph is interpreted for the time being
DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64"}
ENGINES = ("auto", "compiled", "interpreted")

log = logging.getLogger("serving")


def names() -> list[str]:
    """The models there are: those of the zoo that classify images and were trained."""
    records = [zoo.entry(name) for name in zoo.names()]
    return [x.name for x in records if isinstance(x.input, Image) and isinstance(x.output, Labels) and x.runs]


def loader(engine: str = "auto") -> Callable[[str], Model]:
    """What turns a name into a Model: compiled, interpreted, or interpreted until it is compiled (`auto`)."""
    return lambda name: load(name, engine)


def load(name: str, engine: str = "auto") -> Model:
    """The pretrained model `name`, ready to run. Raises Unavailable if it cannot be loaded or compiled."""
    try:
        return _load(name, engine)
    except (NeedleError, deploy.DeployError) as problem:
        raise Unavailable(f"[{name}] cannot be loaded: {problem}") from problem


def _load(name: str, engine: str) -> Model:
    """The canary's answer is the numpy meaning of the graph: it does not come from what serves."""
    module: Any = zoo.load(name, pretrained=True)
    graph = freeze(module)
    inputs = tuple(_spec(node.op.name, node.type) for node in graph.inputs)
    outputs = tuple(_spec(output, node.type, module.card["labels"]) for output, node in graph.outputs)
    example = {spec.name: _example(spec) for spec in inputs}
    canary = (example, interpreter.run(graph, example))
    match engine:
        case "compiled":
            run = compiled(name, graph)
        case "interpreted":
            run = interpreted(graph)
        case _:
            run = compiled_soon(name, graph, canary)
    return Model(name, inputs, outputs, run, module.card, max_batch=MAX_BATCH, canary=canary)


def freeze(module: Any) -> deploy.Graph:
    """The graph of an image model of the zoo, for any number of images at once."""
    spec = module.card["input"]
    example = Type((1, spec["channels"], spec["height"], spec["width"]))
    return deploy.freeze(module, example, input_names=["image"], output_names=["logits"])


def compiled(name: str, graph: deploy.Graph) -> Run:
    """The graph as a compiled program, from the cache if it was compiled before. Raises DeployError if it cannot be."""
    program = deploy.Compiled(find(graph, name=name) or _compile(name, graph), max_batch=MAX_BATCH)
    log.info("[%s] runs compiled, for the instruction set %s", name, program.isa)
    return lambda batch: program.run(**batch)


def _compile(name: str, graph: deploy.Graph) -> Path:
    """Compile in a niced process group of its own, which ends with this process: nobody waits for it when leaving."""
    compiler()  # says what is missing
    cache_folder().mkdir(parents=True, exist_ok=True)
    with open(cache_folder() / f".{name}.lock", "w") as lock, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one compiles, the others wait and find what it made
        graph.save(f"{folder}/{name}.nd")
        program = "import os, sys, deploy; os.nice(10); print(deploy.build(sys.argv[1], name=sys.argv[2]).library)"
        process = subprocess.Popen(
            [sys.executable, "-c", program, f"{folder}/{name}.nd", name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        end = partial(os.killpg, process.pid, signal.SIGKILL)
        atexit.register(end)
        output, errors = process.communicate()
        atexit.unregister(end)
    if process.returncode != 0:
        raise deploy.BuildError(errors.strip().rpartition("\n")[2])
    return Path(output.strip())


def interpreted(graph: deploy.Graph) -> Run:
    """The optimised graph, run node by node with needle's kernels."""
    optimized = optimize(graph)
    return lambda batch: interpreter.run(optimized, batch, array_api.array)


def compiled_soon(name: str, graph: deploy.Graph, canary: Canary) -> Run:
    """The compiled program as soon as there is one that gives the known answer, and the interpreted graph until then.

    So the first start answers at once while the compiler works, and a machine without a compiler is served too.
    """
    engine: list[Run] = [interpreted(graph)]

    def upgrade() -> None:
        try:
            better = compiled(name, graph)
            check_canary(name, better, canary)
        except (deploy.DeployError, ServingError, OSError) as problem:
            log.warning("%s\n[%s] is interpreted instead: correct, but slower", problem, name)
        else:
            engine[0] = better

    thread = threading.Thread(target=upgrade, name=f"compile {name}", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        log.info("[%s] is being compiled, once; until then it is interpreted: correct, but slower", name)
    return lambda batch: engine[0](batch)


def _spec(name: str, type: Type, labels: Any = ()) -> TensorSpec:
    shape = tuple(-1 if isinstance(size, Dim) else size for size in type.shape)
    return TensorSpec(name, DATATYPES[type.dtype], shape, tuple(labels))


def _example(spec: TensorSpec) -> np.ndarray:
    """Two rows of a fixed pattern without symmetry: sin(0), sin(0.7), sin(1.4), ..."""
    shape = tuple(2 if size == -1 else size for size in spec.shape)
    row: np.ndarray = np.sin(0.7 * np.arange(np.prod(shape))).astype(np.float32)
    return row.reshape(shape)
