"""From a module to a graph: run its `forward` once on placeholders, recording ops instead of computing them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy

from needle import autograd
from needle.autograd import Tensor, TensorTuple, Value, find_topo_sort
from needle.errors import NeedleError
from needle.nn import Module
from needle.nn.module_state import named_tensors
from needle.types import Dim, Type

from .errors import FreezeError, GraphError
from .ir import STAND_INS, Graph, Input, Node, apply, constant, weight
from .sizes import compare, comparison_near, sizes_to_trace, watched_sizes
from .verify import verify

_tracing = threading.Lock()  # LAZY_MODE belongs to the whole process


def freeze(
    model: Any,
    example: Any,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    batch: str | None = "batch",
) -> Graph:
    """The graph of `model` in eval mode, for every size of axis 0 of its inputs; it shares no memory with the model.

    `example` is one input (an array, a Tensor or a Type; only its shape counts), or a tuple of them. Axis 0 becomes the
    named dim `batch`; with None every size stays as in the example. Names default to `input`, `output` (numbered when
    there are several). Not while other threads compute with needle: recording is a mode of the whole process.

    Raises FreezeError if the module cannot be recorded, or if its graph depends on the size of the batch: it is traced
    at several sizes, 1 among them and both sides of every number with which the module's own code compares the size.
    """
    several = isinstance(example, tuple) and not isinstance(example, Type)
    types = [_type_of(x) for x in (example if several else (example,))]
    names = _names("input", input_names, len(types))
    with _tracing, _eval_mode(model):
        parameters = {id(tensor): name for name, tensor in named_tensors(model)}
        if batch is None:
            return _record(model, types, names, output_names, parameters)

        def traced(size: int) -> Graph:
            return _record(model, [_with_batch(x, batch, size) for x in types], names, output_names, parameters)

        with watched_sizes() as thresholds:
            first = traced(STAND_INS[0])
            for size in sizes_to_trace(thresholds):
                try:
                    compare(first, traced(size))
                except FreezeError as error:
                    raise FreezeError(f"{error}{comparison_near(thresholds, size)}") from error
                except Exception as error:  # the module's own code does not take this size
                    kind = type(error).__name__
                    message = f"[freeze] the module takes no batch of {size}, where it raises {kind}: {error}"
                    raise FreezeError(f"{message}{comparison_near(thresholds, size)}") from error
    return first


def _type_of(example: Any) -> Type:
    """Shape and float32: what programs compute in."""
    if isinstance(example, Type):
        return example
    shape = tuple(example.shape) if hasattr(example, "shape") else numpy.shape(example)
    return Type(tuple(int(size) for size in shape), "float32")


def _with_batch(type: Type, name: str, size: int) -> Type:
    if not type.shape:
        raise FreezeError("[freeze] an input needs an axis 0 to be the batch; pass batch=None to keep every size")
    return Type((Dim(name, size), *type.shape[1:]), type.dtype)


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
) -> Graph:
    """One trace as a verified graph."""
    placeholders = [Tensor.make_placeholder(x) for x in types]
    try:
        with _lazy_mode():
            result = model(*placeholders)
    except NeedleError as error:
        raise FreezeError(f"[freeze] the module cannot be recorded: {error}") from error
    results = result if isinstance(result, tuple | list | TensorTuple) else (result,)
    if not results or not all(isinstance(x, Tensor) for x in results):
        raise FreezeError(f"[freeze] the module must return Tensors, got {type(result).__name__}")
    nodes = {id(x): Node(Input(name), (), t) for x, name, t in zip(placeholders, names, types, strict=True)}
    inputs = tuple(nodes.values())
    for value in find_topo_sort(list(results)):
        if id(value) not in nodes:
            nodes[id(value)] = _node(value, [nodes[id(x)] for x in value.inputs], parameters.get(id(value), ""))
    outputs = zip(_names("output", output_names, len(results)), results, strict=True)
    try:
        return verify(Graph(inputs, tuple((name, nodes[id(x)]) for name, x in outputs)))
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
    array = array.astype(numpy.float32)
    return weight(array, name) if name else constant(array)
