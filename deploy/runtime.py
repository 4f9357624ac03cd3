"""A model in Python that answers: arrays in, arrays out; what Instant and Compiled have in common."""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from needle.sizes import size_at
from needle.types import Type

from .binding import Binding, axes_of, shape_at, sizes_of
from .dtypes import numpy_dtype
from .errors import RunError

Arrays = Sequence[numpy.ndarray]


class Runtime(ABC):
    """`model(x)`, or `model.run(name=x, ...)` -> {name: array}. Threads may share it: calls run one after the other.

    What a model carries from call to call stays here: `reset()` begins anew, `state` may be taken and put back. Batches
    larger than `max_batch` run in pieces, where each row is computed by itself. `inputs` and `outputs` are plain
    data: name, dtype, shape with -1 for an open size; `shapes`, `results` and `dtypes` are the same by name, with
    named sizes.
    """

    name: str
    max_batch: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    shapes: dict[str, tuple[int, ...]]
    results: dict[str, tuple[int, ...]]
    dtypes: dict[str, numpy.dtype[Any]]
    limits: Mapping[str, int] = {}  # of inputs that hold whole numbers from 0 on, which are below; may name sizes
    kept: Mapping[str, Type] = {}  # what it carries from call to call
    apart = True  # whether a batch may be run in pieces

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: dict[str, numpy.ndarray] = {}
        self._open = False  # whether it can run
        _models.add(self)

    def _opened(self) -> None:
        """Called when all is known: what a run needs of it is prepared."""
        self.dtypes = {x["name"]: numpy_dtype(x["dtype"]) for x in (*self.inputs, *self.outputs)}
        self._sizes = Binding(self.name, self.shapes)
        self._last: tuple[Any, dict[str, int], list[Any]] = (None, {}, [])  # shapes, and what they gave
        self._ready: tuple[Any, list[numpy.ndarray]] = (None, [])  # the sizes whose state was checked last, and it
        self._route: Any = None  # answers inputs of types that came twice, where there is one
        self._whole: Any = None  # shapes of the last call that was not in pieces
        self._routed_for: Any = None
        self._taken = [(name, self.dtypes[name], name in self.limits) for name in self.shapes]
        self._made = [(axes_of(shape), self.dtypes[name]) for name, shape in self.results.items()]
        self._open = True

    def __repr__(self) -> str:
        ports = [f"{name} {getattr(self, 'dtypes', {}).get(name, '')}({', '.join(map(str, shape))})"
                 for side in ("shapes", "results") for name, shape in getattr(self, side, {}).items()]  # fmt: skip
        return f"{type(self).__name__}({', '.join([getattr(self, 'name', '?'), *ports])})"

    def __call__(self, *arrays: numpy.ndarray) -> Any:
        """The output for the inputs in order; a tuple if the model has several."""
        results = self._answer(arrays)
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, **inputs: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """The outputs by name, for inputs by name. Raises RunError naming the input that does not fit."""
        if inputs.keys() != self.shapes.keys():
            raise RunError(f"[{self.name}] needs the inputs {list(self.shapes)}, got {sorted(inputs)}")
        return dict(zip(self.results, self._answer([inputs[name] for name in self.shapes]), strict=True))

    def _answer(self, given: Sequence[Any]) -> list[numpy.ndarray]:
        """The outputs for the inputs, both in order."""
        with self._lock:
            found: list[numpy.ndarray] | None = None if self._route is None else self._route(given)
        if found is not None:
            return found
        if len(given) != len(self.shapes):
            names = list(self.shapes)
            raise RunError(f"[{self.name}] needs the {len(names)} inputs {names}, got {len(given)}")
        sizes, made = self._bound(given)
        arrays = [
            x if x.__class__ is numpy.ndarray and x.dtype is dtype and not limited and x.flags.c_contiguous
            else self._contiguous(name, x, sizes)
            for x, (name, dtype, limited) in zip(given, self._taken, strict=True)
        ]  # fmt: skip
        results = [numpy.empty(shape, dtype) for shape, dtype in made]
        with self._lock:
            if not self._open:
                raise RunError(f"[{self.name}] the model was closed")
            batch = sizes.get("batch", 1)
            if batch > self.max_batch and self.kept:
                raise RunError(f"[{self.name}] has a state: it takes at most {self.max_batch} rows, got {batch}")
            if batch <= self.max_batch or not self.apart:
                self._run(sizes, arrays, results, self._states(sizes) if self.kept else ())
                self._note(self._last[0], sizes, arrays, results)
                return results
            for first in range(0, batch, self.max_batch):
                piece = slice(first, first + self.max_batch)
                count = min(self.max_batch, batch - first)
                self._run({**sizes, "batch": count}, [x[piece] for x in arrays], [y[piece] for y in results], [])
        return results

    def reset(self) -> None:
        """Begin anew: the state is zeros, for as many rows as the next call has."""
        with self._lock:
            self._state, self._ready = {}, (None, [])

    @property
    def state(self) -> dict[str, numpy.ndarray]:
        """Copies of what is carried to the next call, by the names of the inputs; empty before the first."""
        with self._lock:
            return {name: array.copy() for name, array in self._state.items()}

    @state.setter
    def state(self, arrays: Mapping[str, numpy.ndarray]) -> None:
        """Carry on from a state that was taken before. Raises RunError for one of other names, shapes or dtypes."""
        sizes_of(self.name, {name: x.shape for name, x in self.kept.items()}, arrays)
        for name, x in self.kept.items():
            dtype = numpy.asarray(arrays[name]).dtype
            if dtype != x.dtype:
                raise RunError(f"[{self.name}] state '{name}' must be {x.dtype}, got {dtype}")
        with self._lock:
            self._state = {name: numpy.array(arrays[name], order="C") for name in self.kept}
            self._ready = (None, [])

    def _states(self, sizes: dict[str, int]) -> list[numpy.ndarray]:
        """The memory of the state, zeros at first. RunError if it has other sizes than this call."""
        if self._ready[0] is sizes:  # `_bound` gives the same ones for the same shapes
            return self._ready[1]
        for name, kept in self.kept.items():
            shape = tuple(size_at(n, sizes) for n in kept.shape)
            if name not in self._state:
                self._state[name] = numpy.zeros(shape, numpy_dtype(kept.dtype))
            found = self._state[name]
            if found.shape != shape:
                raise RunError(
                    f"[{self.name}] the state '{name}' is {found.shape} and this call needs {shape}: the rows of a "
                    "call go on with those of the one before; reset() begins anew"
                )
        self._ready = sizes, list(self._state.values())
        return self._ready[1]

    def _bound(self, given: Sequence[Any]) -> tuple[dict[str, int], list[Any]]:
        """The sizes, and (shape, dtype) of each output: those of the last call where the shapes are the same."""
        try:
            shapes = [x.shape for x in given]
        except AttributeError:  # of a list
            shapes = [numpy.shape(x) for x in given]
        last, sizes, made = self._last
        if shapes != last:
            sizes = self._sizes(dict(zip(self.shapes, given, strict=True)))
            made = [(shape_at(axes, sizes), dtype) for axes, dtype in self._made]
            self._last = shapes, sizes, made
        return sizes, made

    def close(self) -> None:
        """Free the model's memory and threads; it cannot run afterwards."""
        with self._lock:
            if self._open:
                self._open, self._route = False, None
                self._state, self._ready = {}, (None, [])
                self._free()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()

    @abstractmethod
    def _run(self, sizes: dict[str, int], inputs: Arrays, outputs: Arrays, states: Arrays) -> None:
        """Compute at most `max_batch` rows, or all where they are not apart; the arrays fit."""

    def _note(self, shapes: Any, sizes: dict[str, int], inputs: Arrays, outputs: Arrays) -> None:
        """After a call: make a route for inputs that come again."""
        if shapes is self._whole and shapes is not self._routed_for and not (self.kept or self.limits):
            self._route, self._routed_for = self._routed(sizes, inputs, outputs), shapes
        self._whole = shapes

    def _routed(self, sizes: dict[str, int], inputs: Arrays, outputs: Arrays) -> Any:
        """What gives the outputs for inputs of the same types as these, or None for others; None where nothing does."""
        return None

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


_models: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _forked() -> None:
    """Free the locks of a forked child's models: the threads of the parent that may hold them do not exist in it."""
    for model in _models:
        model._lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
