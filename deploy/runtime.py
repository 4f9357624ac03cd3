"""A model in Python that answers: arrays in, arrays out. Compiled runs the library that a program was built to."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy

from needle.sizes import size_at

from .binding import Binding, axes_of, shape_at
from .errors import DeployError, RunError
from .plan import BATCH


class Runtime(ABC):
    """`model(x)`, or `model.run(name=x, ...)` -> {name: array}. Threads may share it: calls run one after the other.

    Batches larger than `max_batch` are run in pieces, where each row is computed by itself. `inputs` and `outputs` are
    plain data: name, dtype, shape with -1 for a size that is open; `shapes`, `results` and `dtypes` are the same by
    name, with named sizes.
    """

    name: str
    max_batch: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    shapes: dict[str, tuple[int, ...]]
    results: dict[str, tuple[int, ...]]
    dtypes: dict[str, numpy.dtype[Any]]
    limits: Mapping[str, int] = {}  # of inputs that hold whole numbers from 0 on, which are below; may name sizes
    stateful = False
    apart = True  # whether a batch may be run in pieces

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False  # whether it can run
        _models.add(self)

    def _opened(self) -> None:
        """Called when all is known: what a run needs of it is prepared."""
        self.dtypes = {x["name"]: numpy.dtype(x["dtype"]) for x in (*self.inputs, *self.outputs)}
        self._sizes = Binding(self.name, self.shapes)
        self._last: tuple[Any, dict[str, int], list[Any]] = (None, {}, [])  # shapes, and what they gave
        self._made = [(name, axes_of(shape), self.dtypes[name]) for name, shape in self.results.items()]
        self._open = True

    def __repr__(self) -> str:
        ports = [f"{name} {getattr(self, 'dtypes', {}).get(name, '')}({', '.join(map(str, shape))})"
                 for side in ("shapes", "results") for name, shape in getattr(self, side, {}).items()]  # fmt: skip
        return f"{type(self).__name__}({', '.join([getattr(self, 'name', '?'), *ports])})"

    def __call__(self, *arrays: numpy.ndarray) -> Any:
        """The output for the inputs in order; a tuple if the model has several."""
        if len(arrays) != len(self.shapes):
            names = list(self.shapes)
            raise RunError(f"[{self.name}] needs the {len(names)} inputs {names}, got {len(arrays)}")
        results = tuple(self.run(**dict(zip(self.shapes, arrays, strict=True))).values())
        return results[0] if len(results) == 1 else results

    def run(self, **inputs: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """The outputs by name, for inputs by name. Raises RunError naming the input that does not fit."""
        sizes, made = self._bound(inputs)
        arrays = [self._contiguous(name, inputs[name], sizes) for name in self.shapes]
        outputs = {name: numpy.empty(shape, dtype) for name, shape, dtype in made}
        results = list(outputs.values())
        with self._lock:
            if not self._open:
                raise RunError(f"[{self.name}] the model was closed")
            batch = sizes.get("batch", 1)
            if batch > self.max_batch and self.stateful:
                raise RunError(f"[{self.name}] has a state: it takes at most {self.max_batch} rows, got {batch}")
            if batch <= self.max_batch or not self.apart:
                self._run(sizes, arrays, results)
                return outputs
            for first in range(0, batch, self.max_batch):
                piece = slice(first, first + self.max_batch)
                count = min(self.max_batch, batch - first)
                self._run({**sizes, "batch": count}, [x[piece] for x in arrays], [y[piece] for y in results])
        return outputs

    def _bound(self, inputs: Mapping[str, Any]) -> tuple[dict[str, int], list[Any]]:
        """The sizes, and (name, shape, dtype) of each output: those of the last call where the shapes are the same."""
        try:
            shapes = [inputs[name].shape for name in self.shapes]
        except (KeyError, AttributeError):  # an input that is missing, or a list
            shapes = None
        last, sizes, made = self._last
        if shapes is None or shapes != last or len(inputs) != len(self.shapes):
            sizes = self._sizes(inputs)
            made = [(name, shape_at(axes, sizes), dtype) for name, axes, dtype in self._made]
            self._last = shapes, sizes, made
        return sizes, made

    def close(self) -> None:
        """Free the model's memory and threads; it cannot run afterwards."""
        with self._lock:
            if self._open:
                self._open = False
                self._free()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()

    @abstractmethod
    def _run(self, sizes: dict[str, int], inputs: Sequence[numpy.ndarray], outputs: Sequence[numpy.ndarray]) -> None:
        """Compute at most `max_batch` rows, or all where they are not apart; the arrays fit."""

    @abstractmethod
    def _free(self) -> None:
        """Give back what it holds."""

    def _contiguous(self, name: str, value: Any, sizes: Mapping[str, int]) -> numpy.ndarray:
        """An input in one piece."""
        array, dtype = numpy.asarray(value), self.dtypes[name]
        if array.dtype is not dtype and array.dtype != dtype:
            raise RunError(f"[{self.name}] input '{name}' must be {dtype}, got {array.dtype}")
        limit = self.limits.get(name)
        if limit is not None and array.size and not (array.min() >= 0 and array.max() < size_at(limit, sizes)):
            needed, found = f"numbers from 0 to {size_at(limit, sizes) - 1}", f"{array.min()} to {array.max()}"
            raise RunError(f"[{self.name}] input '{name}' must hold {needed}, got {found}")
        return array if array.flags.c_contiguous else numpy.ascontiguousarray(array)


class Compiled(Runtime):
    """The model in `libNAME.so` with the weights in a `NAME.weights` file, or with those linked into it.

    Open the library again for a second call at the same time (the weights are shared). A forked child may use its
    parent's models, and starts threads of its own for them. Raises DeployError if the library cannot be used.
    """

    def __init__(
        self, library: str | PathLike[str], weights: str | PathLike[str] | None = None, *, max_batch: int = 64,
        threads: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        library = Path(library).resolve()
        self.name = library.name.removeprefix("lib").partition(".")[0]
        self.max_batch = max_batch
        try:
            functions = ctypes.CDLL(str(library))
            self._functions = {name: getattr(functions, f"{self.name}_{name}") for name in SIGNATURES}
        except (OSError, AttributeError) as error:
            raise DeployError(f"[Compiled] '{library}' is not a library that needle-deploy built: {error}") from error
        for name, (result, *arguments) in SIGNATURES.items():
            self._functions[name].restype, self._functions[name].argtypes = result, arguments
        description = json.loads(self._functions["describe"]())
        self.graph: str = description["graph"]
        self.inputs, self.outputs = description["inputs"], description["outputs"]
        self.apart = description.get("apart", True)
        self.shapes, self.results = (
            {x["name"]: tuple(BATCH if n == -1 else n for n in x["shape"]) for x in ports}
            for ports in (self.inputs, self.outputs)
        )
        self._given = (ctypes.c_void_p * len(self.inputs))()  # the addresses of one call, guarded by the lock
        self._found = (ctypes.c_void_p * len(self.outputs))()
        reason = ctypes.create_string_buffer(256)
        file = None if weights is None else os.fsencode(weights)
        self._model: Any = self._functions["create"](file, max_batch, threads, reason, len(reason))
        if not self._model:
            raise DeployError(reason.value.decode())
        self._opened()

    @property
    def isa(self) -> str:
        """The instruction set in use: v2, v3, v4 or native."""
        return str(self._functions["isa"](self._model).decode())

    def _run(self, sizes: dict[str, int], inputs: Sequence[numpy.ndarray], outputs: Sequence[numpy.ndarray]) -> None:
        for addresses, arrays in ((self._given, inputs), (self._found, outputs)):
            for i, array in enumerate(arrays):
                addresses[i] = _address(array)
        if self._functions["run"](self._model, sizes.get("batch", 1), self._given, self._found):
            raise RunError(self._functions["error"](self._model).decode())

    def _free(self) -> None:
        model, self._model = self._model, None
        self._functions["destroy"](model)


def _address(array: numpy.ndarray) -> int:
    """Where a contiguous array's elements are. Asking the buffer of a writable one is much faster."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array)) if array.flags.writeable else array.ctypes.data  # type: ignore[arg-type]


_models: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _forked() -> None:
    """Free the locks of a forked child's models: the threads of the parent that may hold them do not exist in it."""
    for model in _models:
        model._lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "create": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t),
    "run": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p),
    "error": (ctypes.c_char_p, ctypes.c_void_p),
    "destroy": (None, ctypes.c_void_p),
    "describe": (ctypes.c_char_p,),
    "arena_bytes": (ctypes.c_int64, ctypes.c_int64, ctypes.c_int),
    "isa": (ctypes.c_char_p, ctypes.c_void_p),
}
