"""needle as a backend of ONNX's own interface: `NeedleBackend.prepare(model).run(inputs)`.

A model is read once with its sizes open. Where that is refused, because a shape or a branch depends on what an input
holds, it is read again for the shapes and, of those inputs alone, the values at hand; each such graph is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from needle.types import Type

from .. import interpreter
from ..build import build
from ..compiled import Compiled
from ..errors import OnnxError
from ..instant import Instant
from ..ir import Graph
from .dtypes import numpy_dtype
from .importer import Importer

ENGINES = ("interpreted", "instant", "compiled")
ROUNDS = 8  # of asking for the values of more inputs


class NeedleRep(BackendRep):
    """A model, ready to run with one of the ENGINES."""

    def __init__(self, model: Any, engine: str = "interpreted") -> None:
        super().__init__()
        if engine not in ENGINES:
            raise OnnxError(f"[onnx] engine must be one of {', '.join(ENGINES)}, got {engine!r}")
        self.model, self.engine = model, engine
        weights = {t.name for t in model.graph.initializer}
        self.names = [x.name for x in model.graph.input if x.name not in weights]
        self.kept: dict[Any, tuple[Importer, Any]] = {}
        self.folder: TemporaryDirectory[str] | None = None
        self.open = self._read({}, {})

    def run(self, inputs: Any, **options: Any) -> tuple[Any, ...]:
        """The outputs, in their order; a sequence is a list, an empty optional None."""
        given = dict(zip(self.names, inputs, strict=False)) if isinstance(inputs, Sequence) else dict(inputs)
        given = {name: _arrays(given.get(name)) for name in self.names}
        tensors = all(isinstance(x, numpy.ndarray) for x in given.values())
        importer, run = self.open if self.open and tensors else self._fixed(given)
        feeds = _flat(given, {x.op.name: x.type.dtype for x in importer.inputs}, importer.names)
        with numpy.errstate(all="ignore"):
            found = run(feeds)
        return tuple(_placed(place, found) for place in importer.returned)

    def _fixed(self, given: dict[str, Any]) -> tuple[Importer, Any]:
        """The graph for these shapes and, where rows ask for them, values."""
        types = {name: _type(x) for name, x in given.items()}
        values: dict[str, Any] = {}
        for _ in range(ROUNDS):
            key = repr(types), tuple((name, x.tobytes(), str(x.dtype)) for name, x in sorted(values.items()))
            if key not in self.kept:
                made = self._read(types, values)
                if made is not None:
                    self.kept[key] = made
            if key in self.kept:
                return self.kept[key]
            wanted = {self.last.names[x] for x in self.last.wanted} & given.keys() - values.keys()
            if not wanted:
                break
            values |= {name: given[name] for name in wanted}
        raise self.last.refusal()

    def _read(self, types: dict[str, Any], values: dict[str, Any]) -> tuple[Importer, Any] | None:
        """The importer and what runs its graph; None if it is refused."""
        self.last = Importer(self.model, None, {}, values, types)
        try:
            graph = self.last.graph()
        except OnnxError:
            if not self.last.reasons:
                raise
            return None
        return self.last, self._runner(graph)

    def _runner(self, graph: Graph) -> Any:
        if self.engine == "interpreted":
            return _interpreted(graph)
        if self.engine == "instant":
            return _of(Instant(graph))
        self.folder = self.folder or TemporaryDirectory()
        built = build(graph, name="model")
        return _of(Compiled(built.library, built.weights))


def _interpreted(graph: Graph) -> Any:
    """The interpreter, with the memory that a graph has between calls."""
    kept = {x.op.name: numpy.zeros(x.shape, x.type.dtype) for x in graph.inputs if x not in graph.given}

    def run(feeds: dict[str, Any]) -> Any:
        found = interpreter.run(graph, kept | feeds)
        kept.update({name: found[after] for name, after in graph.state})
        return found

    return run


def _of(runtime: Any) -> Any:
    return lambda feeds: runtime.run(**feeds)


def _arrays(x: Any) -> Any:
    if x is None or isinstance(x, list | tuple):
        return None if x is None else [_arrays(each) for each in x]
    array = numpy.asarray(x)
    return array.astype(object) if array.dtype.kind in "US" else array


def _type(x: Any) -> Any:
    """What an input is: a Type, a list of such, or None."""
    if x is None or isinstance(x, list):
        return None if x is None else [_type(each) for each in x]
    return Type(x.shape, str(x.dtype))


def _flat(given: dict[str, Any], dtypes: dict[str, str], names: dict[str, str]) -> dict[str, Any]:
    """The arrays by the identifiers of the graph's inputs."""
    flat: dict[str, Any] = {}

    def place(name: str, x: Any) -> None:
        if isinstance(x, list):
            for i, each in enumerate(x):
                place(f"{name}_{i}", each)
        elif x is not None:
            flat[name] = x

    for name, x in given.items():
        place(name, x)
    return {known: flat[names[known]].astype(numpy_dtype(dtype), copy=False) for known, dtype in dtypes.items()}


def _placed(place: Any, found: dict[str, Any]) -> Any:
    if isinstance(place, list):
        return [_placed(each, found) for each in place]
    return None if place is None else found[place]


class NeedleBackend(Backend):
    """Runs models on the CPU; `engine` is "interpreted" (default), "instant" or "compiled"."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **options: Any) -> NeedleRep:
        """The model, ready to run. Raises OnnxError for what is refused whatever its inputs are."""
        super().prepare(model, device, **options)
        return NeedleRep(model, options.get("engine", "interpreted"))

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """The CPU."""
        return bool(Device(device).type == DeviceType.CPU)


prepare = NeedleBackend.prepare
run_model = NeedleBackend.run_model
supports_device = NeedleBackend.supports_device
