"""The graph that all tools of this package read and write: immutable nodes `(op, inputs, type)` over needle's own ops.

Shapes are ints or `Size`s, so `batch` stays symbolic. A graph holds its outputs; what they do not need does not exist.

Its structure and its weights are two things. Weights are named arrays whose values decide nothing: any others of the
same shapes may take their place (`with_weights`), and no pass looks at them. Constants belong to the structure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy

from needle.reprs import count, shortened, table
from needle.size_terms import Dim
from needle.sizes import Size, dims_of, size_at
from needle.types import Type

from .errors import GraphError

SHOWN = 40  # nodes in the text of a graph


@dataclass(frozen=True)
class Input:
    """A value given by the caller."""

    name: str


@dataclass(frozen=True, eq=False)
class Weight:
    """A named array, a parameter or a buffer of the model. Its values are no part of the structure."""

    array: numpy.ndarray
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", frozen_copy(self.array))

    def __repr__(self) -> str:
        return f"Weight({self.name})"


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that belongs to the structure: a number, a mask, indices."""

    array: numpy.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", frozen_copy(self.array))

    def __repr__(self) -> str:
        return f"Constant({self.array.shape})"


def frozen_copy(array: numpy.ndarray) -> numpy.ndarray:
    """A copy that nobody can write to: a graph shares no memory with a model."""
    copy = numpy.array(array, order="C")
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False, match_args=False, repr=False)
class Node:
    """`op` applied to `inputs`; equal only to itself. `type` is a Type, or a tuple of them for several outputs."""

    __match_args__ = ("op", "inputs")

    op: Any
    inputs: tuple[Node, ...]
    type: Any
    known: bool = field(init=False)  # whether its value follows from weights and constants alone

    def __post_init__(self) -> None:
        known = all(x.known for x in self.inputs) if self.inputs else isinstance(self.op, Weight | Constant)
        object.__setattr__(self, "known", known and not named_sizes(self.type))

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis; a `Size` where it is named."""
        return tuple(self.type.shape)

    def __repr__(self) -> str:
        return f"{self.op}: {describe(self.type)}"


def apply(op: Any, *inputs: Node) -> Node:
    """The node of `op` applied to `inputs`, its type by the op's own rule.

    Raises needle's ShapeError or DTypeError when the inputs do not fit, GraphError for an op without a rule.
    """
    if getattr(op, "infer", None) is None:
        raise GraphError(f"[graph] {type(op).__name__} has no infer: only ops that know their types can be in a graph")
    return Node(op, inputs, op.infer(*[x.type for x in inputs]))


def constant(array: numpy.ndarray) -> Node:
    """A node that holds a copy of `array`, as part of the structure."""
    op = Constant(array)
    return Node(op, (), Type(op.array.shape, str(op.array.dtype)))


def weight(array: numpy.ndarray, name: str) -> Node:
    """A node that holds a copy of `array`, as the weight `name`."""
    op = Weight(array, name)
    return Node(op, (), Type(op.array.shape, str(op.array.dtype)))


@dataclass(frozen=True, eq=False)
class Graph:
    """`inputs` (Input nodes, in calling order), `outputs` as (name, node), `card`: plain data about the model.

    `state` says what is carried from call to call: pairs of an input and an output of one type, by name. Whoever runs
    the graph keeps one memory for both; as a function, and to the interpreter, a graph has no memory.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[tuple[str, Node], ...]
    card: Mapping[str, Any] = field(default_factory=dict)
    state: tuple[tuple[str, str], ...] = ()

    @property
    def given(self) -> tuple[Node, ...]:
        """The inputs that a caller gives: all but the state."""
        kept = {name for name, _ in self.state}
        return tuple(x for x in self.inputs if x.op.name not in kept)

    @property
    def results(self) -> tuple[tuple[str, Node], ...]:
        """The outputs that a caller gets: all but the state."""
        kept = {name for _, name in self.state}
        return tuple((name, node) for name, node in self.outputs if name not in kept)

    def of(self, outputs: Mapping[Node, Node]) -> Graph:
        """The graph whose outputs are these in the place of its own."""
        return replace(self, outputs=tuple((name, outputs[node]) for name, node in self.outputs))

    def order(self) -> Sequence[Node]:
        """Every node the outputs need, inputs before users. Raises GraphError for a cycle."""
        return self._order

    @cached_property
    def _order(self) -> tuple[Node, ...]:
        done: list[Node] = []
        state: dict[Node, bool] = {}  # False: its inputs are being visited; True: placed
        stack = [node for _, node in reversed(self.outputs)]
        while stack:
            node = stack[-1]
            if state.get(node):
                stack.pop()
            elif node in state:
                state[node] = True
                done.append(stack.pop())
            else:
                state[node] = False
                for x in reversed(node.inputs):
                    if state.get(x) is False:
                        raise GraphError(f"[graph] {x!r} depends on itself")
                    if x not in state:
                        stack.append(x)
        return tuple(done)

    def __repr__(self) -> str:
        return graph_text(self)

    def uses(self) -> Counter[Node]:
        """How many inputs and outputs each node feeds."""
        return self._uses.copy()

    @cached_property
    def _uses(self) -> Counter[Node]:
        return Counter([*(node for _, node in self.outputs), *(x for node in self.order() for x in node.inputs)])

    def weights(self) -> dict[str, numpy.ndarray]:
        """The arrays of the weights, by name."""
        return {node.op.name: node.op.array for node in self.order() if isinstance(node.op, Weight)}

    def check_weights(self, arrays: Mapping[str, numpy.ndarray]) -> None:
        """Raises GraphError unless the arrays have the names, shapes and dtypes of the graph's weights."""
        mine = self.weights()
        if arrays.keys() != mine.keys():
            missing, unknown = sorted(mine.keys() - arrays.keys()), sorted(arrays.keys() - mine.keys())
            raise GraphError(f"[weights] the graph's weights are others: missing {missing[:5]}, unknown {unknown[:5]}")
        for name, array in mine.items():
            needed, given = (describe(Type(x.shape, str(x.dtype))) for x in (array, numpy.asarray(arrays[name])))
            if given != needed:
                raise GraphError(f"[weights] '{name}' must be {needed}, got {given}")

    def with_weights(self, arrays: Mapping[str, numpy.ndarray]) -> Graph:
        """The same structure with these weights, by name. Raises GraphError as `check_weights`."""
        self.check_weights(arrays)
        new: dict[Node, Node] = {}
        for node in self.order():
            op = Weight(arrays[node.op.name], node.op.name) if isinstance(node.op, Weight) else node.op
            new[node] = node if isinstance(op, Input) else Node(op, tuple(new[x] for x in node.inputs), node.type)
        return self.of(new)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the graph as a `.nd` file, at once or not at all."""
        from .nd import save

        save(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> Graph:
        """The graph in a `.nd` file. Raises NdFormatError, naming the place, for anything malformed."""
        from .nd import load

        return load(path)


def listing(graph: Graph, most: int | None = None) -> list[str]:
    """A line for each node, `%2  Conv(stride=1)  %0 %1  float32(batch, 8, 8, 4)`, and one for each output.

    Of more than `most` nodes the first and the last are listed. Raises GraphError for a cycle.
    """
    numbers = {node: i for i, node in enumerate(graph.order())}
    rows = [
        (f"%{i}", f"{node.op!s:.100}", " ".join(f"%{numbers[x]}" for x in node.inputs), describe(node.type))
        for node, i in shortened(list(numbers.items()), most or len(numbers), (None, len(numbers)))
        if node is not None
    ]
    lines = table(rows, left=4) if rows else []
    if len(rows) < len(numbers):
        lines.insert(len(lines) // 2, f"... {len(numbers) - len(rows):,} more nodes")
    return [*lines, *(f"output {name} = %{numbers[node]}" for name, node in graph.outputs)]


def graph_text(graph: Graph) -> str:
    """How many nodes and weights the graph has, and its listing."""
    try:
        nodes = graph.order()
        weights = sum(node.op.array.size for node in nodes if isinstance(node.op, Weight))
        return "\n".join([f"Graph of {count(len(nodes), 'node')}, {count(weights, 'weight')}", *listing(graph, SHOWN)])
    except AttributeError:
        return "Graph(<no nodes yet>)"  # its __init__ has not ended
    except GraphError as error:
        return f"Graph(<{error}>)"


def named_sizes(type: Any) -> bool:
    """Whether a size in the type, or in one of a tuple of types, is a `Size`."""
    return any(isinstance(n, Size) for n in type.shape) if isinstance(type, Type) else any(map(named_sizes, type))


def dim_key(size: int) -> Any:
    """What makes two sizes the same: the expression, or the number."""
    return size.terms if isinstance(size, Size) else int(size)


def same_type(a: Any, b: Any) -> bool:
    """Equal dtype and shape, where `batch` equals only `batch`, never a number that happens to agree."""
    if isinstance(a, Type) != isinstance(b, Type):
        return False
    if not isinstance(a, Type):
        return len(a) == len(b) and all(map(same_type, a, b))
    return a.dtype == b.dtype and list(map(dim_key, a.shape)) == list(map(dim_key, b.shape))


def parts(type: Any) -> tuple[Type, ...]:
    """The types of a tuple; of one tensor itself alone."""
    return (type,) if isinstance(type, Type) else tuple(type)


def describe(type: Any) -> str:
    """`float32(batch, 32, 8, 8)`."""
    if not isinstance(type, Type):
        return "(" + ", ".join(map(describe, type)) + ")"
    return f"{type.dtype}({', '.join(map(str, type.shape))})"


def with_sizes(value: Any, sizes: Mapping[str, int]) -> Any:
    """`value` (an op, a Type, a shape, an attribute) with every named dim replaced by its number in `sizes`."""
    if isinstance(value, Size):
        return size_at(value, sizes) if dims_of(value).keys() <= sizes.keys() else value
    if isinstance(value, Type):
        return Type(with_sizes(value.shape, sizes), value.dtype)
    if isinstance(value, tuple):
        return tuple(with_sizes(x, sizes) for x in value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, Weight | Constant):
        changed = {f.name: with_sizes(getattr(value, f.name), sizes) for f in fields(value)}
        return replace(value, **changed) if changed else value
    return value


def interface(graph: Graph) -> dict[str, list[dict[str, Any]]]:
    """The given inputs and the results as plain data: "name", "dtype", and "shape", where -1 is open."""

    def tensor(name: str, node: Node) -> dict[str, Any]:
        shape = [-1 if isinstance(size, Size) else size for size in node.shape]
        return {"name": name, "dtype": node.type.dtype, "shape": shape}

    return {
        "inputs": [tensor(x.op.name, x) for x in graph.given],
        "outputs": [tensor(name, x) for name, x in graph.results],
    }


def dims(graph: Graph) -> dict[str, Dim]:
    """The dims that the graph's inputs name, in their order."""
    return {name: dim for x in graph.inputs for size in x.shape for name, dim in dims_of(size).items()}
