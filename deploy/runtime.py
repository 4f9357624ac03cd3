"""A compiled model in Python: arrays in, arrays out, through the library's C functions."""

from __future__ import annotations

import ctypes
import json
import threading
from os import PathLike
from pathlib import Path
from typing import Any

import numpy

from .errors import DeployError, RunError

FLOATS = ctypes.POINTER(ctypes.c_float)


class Compiled:
    """The model in `libNAME.so`: `compiled(x)`, or `compiled.run(name=x, ...)` -> {name: array}. Threads may share it.

    Calls run one after the other; open the library again for a second one at the same time (the weights are shared).
    Batches larger than `max_batch` are run in pieces. Raises DeployError if the library cannot be used.
    """

    def __init__(self, path: str | PathLike[str], *, max_batch: int = 64, threads: int = 1) -> None:
        library = Path(path).resolve()
        self.name = library.name.removeprefix("lib").partition(".")[0]
        self.max_batch = max_batch
        self._model: Any = None
        self._lock = threading.Lock()
        try:
            functions = ctypes.CDLL(str(library))
            self._functions = {name: getattr(functions, f"{self.name}_{name}") for name in SIGNATURES}
        except (OSError, AttributeError) as error:
            raise DeployError(f"[Compiled] '{path}' is not a library that needle-deploy built: {error}") from error
        for name, (result, *arguments) in SIGNATURES.items():
            self._functions[name].restype, self._functions[name].argtypes = result, arguments
        description = json.loads(self._functions["describe"]())
        self.graph: str = description["graph"]
        self.inputs: list[dict[str, Any]] = description["inputs"]
        self.outputs: list[dict[str, Any]] = description["outputs"]
        reason = ctypes.create_string_buffer(256)
        self._model = self._functions["create"](None, max_batch, threads, reason, len(reason))
        if not self._model:
            raise DeployError(reason.value.decode())

    @property
    def isa(self) -> str:
        """The instruction set in use: v2, v3, v4 or native."""
        return self._functions["isa"](self._model).decode()

    def __call__(self, *arrays: numpy.ndarray) -> Any:
        """The output for the inputs in order; a tuple if the model has several."""
        names = [x["name"] for x in self.inputs]
        if len(arrays) != len(names):
            raise RunError(f"[{self.name}] needs the {len(names)} inputs {names}, got {len(arrays)}")
        results = tuple(self.run(**dict(zip(names, arrays, strict=True))).values())
        return results[0] if len(results) == 1 else results

    def run(self, **inputs: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """The outputs by name, for float32 inputs by name. Raises RunError naming the input that does not fit."""
        arrays, batch = self._check(inputs)
        outputs = {
            x["name"]: numpy.empty([batch if n == -1 else n for n in x["shape"]], dtype=numpy.float32)
            for x in self.outputs
        }
        with self._lock:
            if not self._model:
                raise RunError(f"[{self.name}] the model was closed")
            if batch <= self.max_batch:
                self._run(batch, arrays, list(outputs.values()))
            else:
                for first in range(0, batch, self.max_batch):
                    piece = slice(first, first + self.max_batch)
                    count = min(self.max_batch, batch - first)
                    self._run(count, [x[piece] for x in arrays], [y[piece] for y in outputs.values()])
        return outputs

    def close(self) -> None:
        """Free the model's memory and threads; it cannot run afterwards."""
        with self._lock:
            model, self._model = self._model, None
            if model:
                self._functions["destroy"](model)

    def __enter__(self) -> Compiled:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_model", None):
            self.close()

    def _check(self, inputs: dict[str, Any]) -> tuple[list[numpy.ndarray], int]:
        """The inputs in order and contiguous, and the size of the batch."""
        names = [x["name"] for x in self.inputs]
        if sorted(inputs) != sorted(names):
            raise RunError(f"[{self.name}] needs the inputs {names}, got {sorted(inputs)}")
        batch = None
        arrays = []
        for entry in self.inputs:
            name, shape = entry["name"], entry["shape"]
            array = numpy.asarray(inputs[name])
            if array.dtype != numpy.float32:
                raise RunError(f"[{self.name}] input '{name}' must be float32, got {array.dtype}")
            fits = array.ndim == len(shape) and all(n in (-1, m) for n, m in zip(shape, array.shape, strict=True))
            sizes = {m for n, m in zip(shape, array.shape, strict=True) if n == -1} if fits else {0}
            batch = next(iter(sizes), batch) if batch is None else batch
            if not fits or not all(m == batch and m > 0 for m in sizes):
                raise RunError(f"[{self.name}] input '{name}' must have shape {shape}, got {array.shape}")
            arrays.append(numpy.ascontiguousarray(array))
        return arrays, 1 if batch is None else batch

    def _run(self, batch: int, inputs: list[numpy.ndarray], outputs: list[numpy.ndarray]) -> None:
        given = (FLOATS * len(inputs))(*[x.ctypes.data_as(FLOATS) for x in inputs])
        found = (FLOATS * len(outputs))(*[y.ctypes.data_as(FLOATS) for y in outputs])
        if self._functions["run"](self._model, batch, given, found):
            raise RunError(self._functions["error"](self._model).decode())


SIGNATURES: dict[str, tuple[Any, ...]] = {
    "create": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t),
    "run": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(FLOATS), ctypes.POINTER(FLOATS)),
    "error": (ctypes.c_char_p, ctypes.c_void_p),
    "destroy": (None, ctypes.c_void_p),
    "describe": (ctypes.c_char_p,),
    "arena_bytes": (ctypes.c_int64, ctypes.c_int64, ctypes.c_int),
    "isa": (ctypes.c_char_p, ctypes.c_void_p),
}
