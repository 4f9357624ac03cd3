"""What a model is made of: its layers with their shapes, parameters, multiply-adds and memory, without any data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from .. import autograd, ops
from ..autograd import Tensor, Value
from ..errors import NeedleError
from ..nn import Module
from ..reprs import table
from ..types import Type

Shape = tuple[int, ...]

# Multiply-adds of the ops that are products, from the types of inputs and output; taps in the padding count too.
PRODUCTS: dict[type, Callable[..., int]] = {
    ops.MatMul: lambda y, x, w: prod(y.shape) * x.shape[-1],
    ops.Conv: lambda y, x, w: prod(y.shape) * prod(w.shape[:3]),
    ops.ConvInputGradient: lambda y, g, w: prod(g.shape) * prod(w.shape[:3]),  # transposed convolution
    ops.ConvND: lambda y, x, w: prod(y.shape) * prod(w.shape[:-1]),
    ops.LSTM: lambda y, gates, h, c, w: prod(gates.shape[:2]) * prod(w.shape),
    ops.GRU: lambda y, gates, h, w, bias: prod(gates.shape[:2]) * prod(w.shape),
    ops.RNN: lambda y, gates, h, w: prod(gates.shape[:2]) * prod(w.shape),
    ops.Attention: lambda y, q, k, v: prod(q.shape[:3]) * k.shape[2] * (q.shape[3] + v.shape[3]),
    ops.CachedAttention: lambda y, q, k, v, *_: prod(q.shape[:3]) * k.shape[1] * 2 * q.shape[3],  # with full slots
}
VIEWS = (ops.Reshape, ops.Permute, ops.Transpose, ops.BroadcastTo, ops.TupleGetItem, ops.MakeTensorTuple)


@dataclass
class Layer:
    """One call of a module: what it does itself, without the modules that it calls."""

    name: str  # as in `state_dict`
    kind: str
    depth: int
    shapes: list[Shape]  # of the outputs
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclass
class Summary:
    """The layers in order of their calls, and the totals; `str()` is a table.

    `multiply_adds` are those of products and convolutions, `activation_bytes` those of all arrays that a forward pass
    computes, views left out: about what backward needs.
    """

    layers: list[Layer]
    parameters: int
    parameter_bytes: int
    multiply_adds: int
    activation_bytes: int

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "multiply-adds", "activations")]
        path: list[str] = []
        for layer in self.layers:
            outer = path[layer.depth - 1] if layer.depth else ""
            path[layer.depth :] = [layer.name]
            name = layer.name.removeprefix(outer).lstrip(".").removeprefix("modules.")
            title = "  " * layer.depth + (f"{name}: {layer.kind}" if name else layer.kind)
            shapes = " ".join(str(shape).replace(" ", "") for shape in layer.shapes)
            numbers = f"{layer.parameters:,}", f"{layer.multiply_adds:,}", memory(layer.activation_bytes)
            rows.append((title, shapes, *("" if number in ("0", "0 B") else number for number in numbers)))
        total = f"{self.parameters:,}", f"{self.multiply_adds:,}", memory(self.activation_bytes)
        rows.append(("total", "", *total))
        lines = table(rows, left=2)
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __repr__(self) -> str:
        return str(self)


def summary(model: Module, *inputs: Any) -> Summary:
    """The layers of `model` for inputs of these shapes, in eval mode; nothing is computed and no number drawn.

    An input is a shape (a tuple of ints), a Tensor, an array or a Type. Raises NeedleError when the model is no Module
    or needs the data of its inputs to choose what it does, ShapeError when the shapes do not fit.
    """
    if not isinstance(model, Module):
        raise NeedleError(f"[summary] needs a Module, got a {type(model).__name__}")
    walk = _Walk(model)
    modes = [(module, module.training) for module in (model, *model._children())]
    model.eval()
    try:
        with walk.watching():
            model(*[Tensor.make_placeholder(_type(x)) for x in inputs])
    finally:
        for module, training in modes:
            module.training = training
    parameters = model.parameters()
    return Summary(
        layers=walk.layers,
        parameters=sum(prod(p.shape) for p in parameters),
        parameter_bytes=sum(_bytes(p.type) for p in parameters),
        multiply_adds=sum(layer.multiply_adds for layer in walk.layers),
        activation_bytes=sum(layer.activation_bytes for layer in walk.layers),
    )


class _Walk:
    """The calls of modules inside a model, each with the nodes of the graph that it made itself."""

    def __init__(self, model: Module) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.layers: list[Layer] = []
        self.inside: list[Layer] = []  # the modules whose calls have begun and not ended
        self.seen: set[Value] = set()  # the nodes and parameters that are accounted for

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside the block calls of modules are recorded, and ops are traced and not computed."""
        lazy, call = autograd.LAZY_MODE, Module.__call__

        def watched(module: Module, *args: Any, **options: Any) -> Any:
            return self.call(module, lambda: call(module, *args, **options), list(_tensors([args, options])))

        autograd.LAZY_MODE = True
        setattr(Module, "__call__", watched)  # noqa: B010  (which a type checker would not let pass)
        try:
            yield
        finally:
            autograd.LAZY_MODE = lazy
            setattr(Module, "__call__", call)  # noqa: B010

    def call(self, module: Module, run: Any, inputs: list[Value]) -> Any:
        """Run the module and write its row, above those of the modules that it calls."""
        self._account(inputs)  # what made them belongs to the caller
        layer = Layer(self.names.get(module, ""), type(module).__name__, len(self.inside), [], 0, 0, 0)
        self.layers.append(layer)
        self.inside.append(layer)
        result = run()
        outputs = list(_tensors(result))
        self._account(outputs)
        self.inside.pop()
        layer.shapes = [tuple(y.shape) for y in outputs if isinstance(y, Tensor)]
        own = [p for p in module.parameters() if p not in self.seen]
        layer.parameters = sum(prod(p.shape) for p in own)
        self.seen.update(own)
        return result

    def _account(self, values: list[Value]) -> None:
        """Count the ops on the way to the values, as far as they are new, as those of the innermost module."""
        stack = list(values)
        while stack:
            node = stack.pop()
            if node in self.seen or node.op is None:
                continue
            self.seen.add(node)
            stack.extend(node.inputs)
            product = PRODUCTS.get(type(node.op))
            if product is not None:
                self.inside[-1].multiply_adds += int(product(node.type, *[x.type for x in node.inputs]))
            if not isinstance(node.op, VIEWS):
                self.inside[-1].activation_bytes += _bytes(node.type)


def _tensors(value: Any) -> Iterator[Value]:
    if isinstance(value, Value):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _type(x: Any) -> Type:
    """The type of one input."""
    if isinstance(x, Type):
        return x
    if isinstance(x, tuple) and all(isinstance(size, int) for size in x):
        return Type(x)
    if not hasattr(x, "shape"):
        raise NeedleError(f"[summary] an input is a shape such as (8, 3, 32, 32), a Tensor or an array, got {x!r:.60}")
    return Type(tuple(x.shape), str(x.dtype))


def _bytes(type: Any) -> int:
    types = [type] if isinstance(type, Type) else type
    return sum(prod(each.shape) * numpy.dtype(each.dtype).itemsize for each in types)


def memory(size: int) -> str:
    """Bytes as people read them: 512 B, 1.5 kB, 3.2 MB, in powers of 1000."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
