"""From a module to a graph: run its `forward` once on placeholders, recording ops instead of computing them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy

from needle import autograd
from needle.autograd import Tensor, TensorTuple, Value, find_topo_sort
from needle.backend_selection import BACKEND
from needle.errors import NeedleError
from needle.init.traced import drawn_from
from needle.nn import Module
from needle.nn.module_state import named_tensors
from needle.types import Type

from . import draws
from .errors import FreezeError, GraphError
from .ir import Graph, Input, Node, apply, constant, weight
from .sizes import STAND_INS, compare, questions_refused, stand_ins
from .verify import verify

_tracing = threading.Lock()  # LAZY_MODE belongs to the whole process


def freeze(
    model: Any,
    example: Any,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    batch: str | None = "batch",
    dims: Mapping[str, tuple[int, int | None]] | None = None,
    state: Mapping[str, str] | None = None,
) -> Graph:
    """The graph of `model` in eval mode, for every value of the named sizes; it shares no memory with the model.

    `model` is a Module, a method of one such as `model.step`, or a function; weights keep their names in the Module.

    `example` is one input (an array, a Tensor or a Type; only its shape counts), or a tuple of them. Axis 0 becomes
    the named size `batch`; with None it stays as in the example. In a Type any size may be a name:
    `Type(("batch", "time"))`. `dims` gives the least and the largest value of named sizes, `{"time": (1, 256)}`;
    without, a size is at least 1. `state` names inputs that carry what an output of the call before was, by the names
    of both: `{"h": "h_after"}`. A module that draws random numbers (`needle.init`) gets a state of its own, `draws`,
    which counts the calls from 0 on and decides what each of them draws. Names default to `input`, `output` (numbered
    when there are several).
    Not while other threads compute with needle: recording is a mode of the whole process.

    Raises FreezeError if the module cannot be recorded, or if what it computes depends on a named size: naming the line
    that asks about one what its bounds do not decide, or the step that differs between two sizes.
    """
    several = isinstance(example, tuple) and not isinstance(example, Type)
    types = [_named(_type_of(x), batch) for x in (example if several else (example,))]
    names = _names("input", input_names, len(types))
    named = _bounds(types, dims or {})
    module = getattr(model, "__self__", model)
    with _tracing, _eval_mode(module):
        parameters = {id(tensor): name for name, tensor in named_tensors(module)}

        def traced(trace: int) -> Graph:
            sizes = stand_ins(named, trace)
            placed = [Type(tuple(sizes[n] if isinstance(n, str) else n for n in x.shape), x.dtype) for x in types]
            return _record(model, placed, names, output_names, parameters, tuple((state or {}).items()))

        if not named:
            return traced(0)
        with questions_refused():
            first = traced(0)
            for trace in range(1, len(STAND_INS)):
                try:
                    again = traced(trace)
                except FreezeError:
                    raise
                except Exception as error:  # the module's own code does not take this size
                    sizes = ", ".join(f"{name} {size:d}" for name, size in stand_ins(named, trace).items())
                    raise FreezeError(
                        f"[freeze] the module does not take {sizes}, where it raises {type(error).__name__}: {error}"
                    ) from error
                compare(first, again)
    return first


def _type_of(example: Any) -> Type:
    """Shape and dtype, as a Tensor of the example has them; arrays of integers and of bool keep theirs."""
    if isinstance(example, Type):
        return example
    array = example if hasattr(example, "shape") else numpy.asarray(example)
    dtype = str(array.dtype)
    if not isinstance(example, Tensor) and (dtype.startswith("float") or not hasattr(example, "dtype")):
        dtype = "float32"
    return Type(tuple(int(size) for size in array.shape), dtype)


def _named(type: Type, batch: str | None) -> Type:
    """The type with axis 0 named, unless a size has a name already or none is to have one."""
    if batch is None or any(isinstance(size, str) for size in type.shape):
        return type
    if not type.shape:
        raise FreezeError("[freeze] an input needs an axis 0 to be the batch; pass batch=None to keep every size")
    return Type((batch, *type.shape[1:]), type.dtype)  # type: ignore[arg-type]


def _bounds(types: Sequence[Type], given: Mapping[str, tuple[int, int | None]]) -> dict[str, tuple[int, int | None]]:
    """The named sizes of the inputs with their bounds. FreezeError for what is no name or no bounds."""
    sizes: list[Any] = [size for x in types for size in x.shape]
    names: dict[str, None] = dict.fromkeys(size for size in sizes if isinstance(size, str))
    unknown = sorted(given.keys() - names.keys())
    if unknown:
        raise FreezeError(f"[freeze] dims: no input has a size called {unknown}; the named ones are {list(names)}")
    found = {}
    for name in names:
        low, high = given.get(name, (1, None))
        if not name.isidentifier() or low < 1 or (high is not None and high < low):
            raise FreezeError(
                f"[freeze] a size needs an identifier and bounds 1 <= low <= high, got {name!r}, {(low, high)}"
            )
        found[name] = (low, high)
    return found


def _names(kind: str, names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [kind] if count == 1 else [f"{kind}_{i}" for i in range(count)]
    if len(names) != count:
        raise FreezeError(f"[freeze] needs {count} {kind} names, got {list(names)}")
    return list(names)


@contextmanager
def _eval_mode(model: Any) -> Iterator[None]:
    """Modules in eval mode inside the block, each back in its own mode behind it."""
    modules = [model, *model._children()] if isinstance(model, Module) else []
    before = [(module, module.training) for module in modules]
    if modules:
        model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def _lazy_mode() -> Iterator[None]:
    before = autograd.LAZY_MODE
    autograd.LAZY_MODE = True
    try:
        yield
    finally:
        autograd.LAZY_MODE = before


def _record(
    model: Any,
    types: Sequence[Type],
    names: Sequence[str],
    output_names: Sequence[str] | None,
    parameters: dict[int, str],
    state: tuple[tuple[str, str], ...],
) -> Graph:
    """One trace as a verified graph."""
    count = draws.counter(names)
    placeholders = [Tensor.make_placeholder(x) for x in (*types, count.type)]
    try:
        with _lazy_mode(), drawn_from(placeholders[-1]) as drawn:
            result = model(*placeholders[:-1])
    except FreezeError:
        raise
    except NeedleError as error:
        raise FreezeError(f"[freeze] the module cannot be recorded: {error}") from error
    results = result if isinstance(result, tuple | list | TensorTuple) else (result,)
    if not results or not all(isinstance(x, Tensor) for x in results):
        raise FreezeError(f"[freeze] the module must return Tensors, got {type(result).__name__}")
    inputs = tuple(Node(Input(name), (), t) for name, t in zip(names, types, strict=True))
    nodes = {id(x): node for x, node in zip(placeholders, (*inputs, count), strict=True)}
    for value in find_topo_sort(list(results)):
        if id(value) not in nodes:
            nodes[id(value)] = _node(value, [nodes[id(x)] for x in value.inputs], parameters.get(id(value), ""))
    outputs = zip(_names("output", output_names, len(results)), results, strict=True)
    graph = Graph(inputs, tuple((name, nodes[id(x)]) for name, x in outputs), state=state)
    try:
        return verify(draws.counted(graph, count) if drawn.count else graph)
    except GraphError as error:
        raise FreezeError(f"[freeze] {error}") from error


def _node(value: Value, inputs: list[Node], name: str) -> Node:
    """What was recorded as a node: an op, or the copy of a tensor that existed before."""
    if value.op is not None and value.cached_data is None:
        try:
            return apply(value.op, *inputs)
        except NeedleError as error:
            raise FreezeError(f"[freeze] {error}") from error
    array = value.numpy()
    if not isinstance(array, numpy.ndarray):
        raise FreezeError("[freeze] a tuple of tensors that was computed before recording cannot be in a graph")
    if BACKEND == "np" and array.dtype == numpy.float64:  # of Python's numbers, which are float32 elsewhere
        array = array.astype(numpy.float32)
    return weight(array, name) if name else constant(array)
