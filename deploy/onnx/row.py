"""What a row of the table of operators is: how it is read, how it is written, or why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ir import Node
from . import make
from .at import At


@dataclass(frozen=True)
class Refused:
    """The operator, or the op, is refused everywhere, for this reason."""

    reason: str


@dataclass(frozen=True)
class Row:
    """One operator. `read(at, *inputs)` gives its outputs as nodes; `write` says, by class of op, what writes it.

    A writer takes (writer, node, *names of inputs) and returns the names of the results. With `in_float32` half floats
    are computed in float32.
    """

    read: Callable[..., Any] | None
    write: Mapping[type, Any] = field(default_factory=dict)
    in_float32: bool = True


def same(operator: str, op: Any, **options: Any) -> Row:
    """An operator and an op of the same meaning, without attributes."""
    kind = type(op)

    def read(at: At, *inputs: Node) -> Node:
        return make.apply(op, *inputs)

    return Row(read, {kind: lambda w, node, *inputs: w.add(operator, inputs)}, **options)


def written(operator: str, opset: int = 1, **attributes: Callable[[Any], Any]) -> Callable[..., Any]:
    """A writer of one operator: its attributes as functions of the op."""

    def write(w: Any, node: Node, *inputs: str) -> Any:
        w.needs(opset, operator)
        return w.add(operator, inputs, **{name: value(node.op) for name, value in attributes.items()})

    return write
