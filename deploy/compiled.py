"""The library that a program was built to, as a model that answers."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from needle.backend_ndarray.ndarray_backend_cpu import Route, call_library
from needle.sizes import dim
from needle.types import Type

from .attributes import decode
from .errors import DeployError, RunError
from .print_interface import ABI
from .runtime import Arrays, Runtime

SIGNATURES: dict[str, tuple[Any, ...]] = {  # without the sizes of a model
    "create": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t),
    "call": (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    "error": (ctypes.c_char_p, ctypes.c_void_p),
    "destroy": (None, ctypes.c_void_p),
    "describe": (ctypes.c_char_p,),
    "abi": (ctypes.c_int,),
    "arena_bytes": (ctypes.c_int64, ctypes.c_int),
    "isa": (ctypes.c_char_p, ctypes.c_void_p),
}


class Compiled(Runtime):
    """The model in `libNAME.so` with the weights in a `NAME.weights` file, or with those linked into it.

    `most` says how large named sizes other than the batch may be, `{"time": 256}`; by default what the model was frozen
    for. Open the library again for a second call at the same time (the weights are shared). A forked child may use its
    parent's models, and starts threads of its own for them. Raises DeployError if the library cannot be used.
    """

    def __init__(
        self, library: str | PathLike[str], weights: str | PathLike[str] | None = None, *, max_batch: int = 64,
        threads: int = 1, most: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        library = Path(library).resolve()
        self.name = library.name.removeprefix("lib").partition(".")[0]
        self.max_batch = max_batch
        self._functions = _functions(library, self.name)
        description = json.loads(self._functions["describe"]())
        self.graph: str = description["graph"]
        self.inputs, self.outputs = description["inputs"], description["outputs"]
        self.apart = description["apart"]
        sizes = {x["name"]: dim(x["name"], 7, x["least"], x["most"]) for x in description["sizes"]}

        def axes(entry: Any) -> tuple[int, ...]:
            return tuple(decode(entry["axes"], sizes, f"[{self.name}]"))

        self.shapes, self.results = ({x["name"]: axes(x) for x in ports} for ports in (self.inputs, self.outputs))
        self.kept = {x["name"]: Type(axes(x), x["dtype"]) for x in description["state"]}
        self.limits = {name: decode(below, sizes, f"[{self.name}]") for name, below in description["limits"].items()}
        largest = _largest(self.name, description["sizes"], {"batch": max_batch, **(most or {})})
        for function, at in (("create", 1), ("arena_bytes", 0)):  # behind how many arguments the sizes come
            given = SIGNATURES[function][1:]
            self._functions[function].argtypes = (*given[:at], *[ctypes.c_int64] * len(sizes), *given[at:])
        self._told: tuple[dict[str, int] | None, list[int]] = (None, [])  # the sizes of the last call, and in order
        self._call = ctypes.cast(self._functions["call"], ctypes.c_void_p).value
        reason = ctypes.create_string_buffer(256)
        file = None if weights is None else os.fsencode(weights)
        self._names = list(sizes)
        self._model: Any = self._functions["create"](file, *largest, threads, reason, len(reason))
        if not self._model:
            raise DeployError(reason.value.decode())
        self._opened()

    @property
    def isa(self) -> str:
        """The instruction set in use: v2, v3, v4 or native."""
        return str(self._functions["isa"](self._model).decode())

    def _run(self, sizes: dict[str, int], inputs: Arrays, outputs: Arrays, states: Arrays) -> None:
        if sizes is not self._told[0]:
            self._told = sizes, [sizes[name] for name in self._names]
        if call_library(self._call, self._model, self._told[1], [*inputs, *states, *outputs]):
            raise RunError(self._functions["error"](self._model).decode())

    def _routed(self, sizes: dict[str, int], inputs: Arrays, outputs: Arrays) -> Any:
        return Route(self._call, self._model, [sizes[name] for name in self._names], inputs, outputs)

    def _free(self) -> None:
        model, self._model = self._model, None
        self._functions["destroy"](model)


def _functions(library: Path, name: str) -> dict[str, Any]:
    """The functions of a library. DeployError unless it is one of this version's."""
    try:
        loaded = ctypes.CDLL(str(library))
        functions = {key: getattr(loaded, f"{name}_{key}") for key in SIGNATURES}
    except (OSError, AttributeError) as error:
        raise DeployError(f"[Compiled] '{library}' is not a library that needle-deploy built: {error}") from error
    for key, (result, *arguments) in SIGNATURES.items():
        functions[key].restype, functions[key].argtypes = result, arguments
    if functions["abi"]() != ABI:
        found = functions["abi"]()
        raise DeployError(f"[Compiled] '{library}' has version {found} of the interface, needs {ABI}: build it again")
    return functions


def _largest(name: str, sizes: Sequence[Mapping[str, Any]], most: Mapping[str, int]) -> list[int]:
    """The largest value of each named size: as asked, else as the model was frozen. DeployError where neither is."""
    unknown = sorted(most.keys() - {"batch"} - {x["name"] for x in sizes})
    if unknown:
        raise DeployError(f"[{name}] has no size called {unknown}; it has {[x['name'] for x in sizes]}")
    found = [(x["name"], most.get(x["name"], x["most"])) for x in sizes]
    for size, value in found:
        if value is None:
            raise DeployError(f"[{name}] needs the largest '{size}' that it will be given: most={{'{size}': ...}}")
    return [int(value) for _, value in found]
