"""One node of a file as a row of the table sees it: its attributes, and what its inputs are known to hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy

from ..ir import Constant, Input, Node
from . import make
from .make import Unsupported
from .read import array_of

Value = Any  # a Node, a list of values (a sequence), or None: an input that is left out, an empty optional


class ValueNeeded(Unsupported):
    """A row needs elements that follow from the values of inputs: giving these would help."""

    def __init__(self, message: str, x: Value) -> None:
        self.inputs: set[str] = set()
        stack, seen = [x] if isinstance(x, Node) else [], set()
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                self.inputs |= {node.op.name} if isinstance(node.op, Input) else set()
                stack += node.inputs
        named = f" from {', '.join(sorted(self.inputs))}: values={{...}} gives it" if self.inputs else ""
        super().__init__(message + named)


@dataclass
class At:
    """Where a row is applied: `name` and `operator` of the node, the `opset` of its domain, `outputs` wanted."""

    name: str
    operator: str
    opset: int
    attributes: dict[str, Any]
    outputs: tuple[str, ...]  # "" where one is left out
    folder: Path | None = None
    run: Callable[..., list[Value]] = field(repr=False, default=lambda graph, values: [])  # reads a graph inside
    fresh: Callable[[str], str] = field(repr=False, default=lambda stem: stem)  # a name for a size known at run time
    draw: Callable[[Sequence[int], int | None], Node] = field(repr=False, default=lambda shape, key: make.const(0.0))

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute as plain Python; a tensor as a numpy array."""
        return self.attributes.get(name, default)

    def wants(self, i: int) -> bool:
        """Whether anybody uses output i."""
        return i < len(self.outputs) and bool(self.outputs[i])

    def array(self, x: Value, what: str) -> numpy.ndarray:
        """The elements of an input that must be known now. Raises Unsupported if they are computed from data."""
        if isinstance(x, Node) and isinstance(x.op, Constant):
            return x.op.array
        from ..ir import Weight

        if isinstance(x, Node) and isinstance(x.op, Weight):
            return x.op.array
        raise ValueNeeded(f"'{what}' must be known when the model is read, here it is computed from data", x)

    def number(self, x: Value, what: str, default: Any = None) -> Any:
        """One number that must be known now."""
        return default if x is None else self.array(x, what).reshape(-1)[0].item()

    def ints(self, x: Value, what: str) -> tuple[int, ...] | None:
        """Whole numbers, of which some may be open sizes; None where the input is left out."""
        if x is None:
            return None
        found = make.sizes_in(x)
        if found is None:
            array = self.array(x, what)
            if array.dtype.kind not in "iub":
                raise Unsupported(f"'{what}' must be whole numbers, got {array.dtype}")
            found = array.astype(object)
        return tuple(found.reshape(-1).tolist())

    def given(self, x: Value, what: str) -> tuple[int, ...] | None:
        """Whole numbers of an input or, in older opsets, of the attribute with that name."""
        if x is None and what in self.attributes:
            value = self.attributes[what]
            return tuple(value) if isinstance(value, Sequence) else (value,)
        return self.ints(x, what)


@lru_cache(maxsize=1024)
def _kinds(operator: str, domain: str, opset: int) -> dict[str, int]:
    """The types that the standard gives to an operator's attributes; of others nothing is known."""
    from onnx import defs

    try:
        schema = defs.get_schema(operator, opset, domain)
    except defs.SchemaError:
        return {}
    attributes: dict[str, Any] = dict(schema.attributes)  # whose stub knows no value of an enumerator
    return {name: int(attribute.type.value) for name, attribute in attributes.items()}


def check_attributes(node: Any, domain: str, opset: int) -> None:
    """Raises Unsupported for an attribute of another type than the standard says."""
    from onnx import AttributeProto

    kinds = _kinds(node.op_type, domain, opset)
    for attribute in node.attribute:
        kind = kinds.get(attribute.name, attribute.type)
        if attribute.type not in (kind, 0):
            given, needed = (AttributeProto.AttributeType.Name(k) for k in (attribute.type, kind))
            raise Unsupported(f"attribute '{attribute.name}' must be {needed}, got {given}")


def attributes_of(node: Any, folder: Path | None, outer: dict[str, Any] | None = None) -> dict[str, Any]:
    """The attributes of a node by name; those that refer to a function's own come from `outer`."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if outer and attribute.ref_attr_name in outer:
                found[attribute.name] = outer[attribute.ref_attr_name]
            continue
        found[attribute.name] = value_of(attribute, folder)
    return found


def value_of(attribute: Any, folder: Path | None) -> Any:
    """An attribute as plain Python: float, int, str, numpy array, graph, or a tuple of those."""
    match attribute.type:
        case 1:
            return float(attribute.f)
        case 2:
            return int(attribute.i)
        case 3:
            return attribute.s.decode("utf-8", "replace")
        case 4:
            return array_of(attribute.t, folder)
        case 5:
            return attribute.g
        case 6:
            return tuple(attribute.floats)
        case 7:
            return tuple(attribute.ints)
        case 8:
            return tuple(s.decode("utf-8", "replace") for s in attribute.strings)
        case 9:
            return tuple(array_of(t, folder) for t in attribute.tensors)
        case 10:
            return tuple(attribute.graphs)
        case 13:
            return attribute.tp
    raise Unsupported(f"attribute '{attribute.name}' of type {attribute.type} is not read")
