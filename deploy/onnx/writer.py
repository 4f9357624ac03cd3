"""From a graph to a model: the nodes that rows of the table write, names, initializers and metadata.

Images are channels-last inside and (N, C, H, W) in ONNX: transposes that follow one another are one or none, and a
transposed weight is written transposed. Equal graphs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy

from needle.errors import NeedleError
from needle.size_terms import Dim, Factor, Quotient, Terms
from needle.sizes import Size, is_dim, terms_of
from needle.types import Type
from needle.weights import atomic_write

from ..errors import OnnxError
from ..ir import Constant, Graph, Input, Node, Weight
from ..verify import verify
from .dtypes import CODES, numpy_dtype
from .make import Unsupported
from .ops import Arange
from .promoted import promoted
from .table import WRITE, Refused

OPSET, OLDEST, NEWEST = 17, 13, 24
MAX_BYTES = 2**31 - 2**20


def save(graph: Graph, path: str | PathLike[str], opset: int = OPSET) -> None:
    """Write the graph as an ONNX file, whole or not at all. Raises OnnxError with every reason why it cannot be."""
    data = dumps(graph, opset)
    with atomic_write(path) as file:
        file.write(data)


def dumps(graph: Graph, opset: int = OPSET) -> bytes:
    """The bytes of the file, which the checker of ONNX accepts."""
    import onnx

    model = export(graph, opset)
    data: bytes = model.SerializeToString(deterministic=True)
    if len(data) > MAX_BYTES:
        raise OnnxError(f"[onnx] the model has {len(data)} bytes; a file holds at most {MAX_BYTES}")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker raises what its C++ does
        raise OnnxError(f"[onnx] the model written is refused by the checker: {error}") from error
    return data


def export(graph: Graph, opset: int = OPSET) -> Any:
    """The graph as a ModelProto. Raises OnnxError with every reason why there is none."""
    from onnx import helper

    if not OLDEST <= opset <= NEWEST:
        raise OnnxError(f"[onnx] opset must be in {OLDEST}..{NEWEST}, got {opset}")
    verify(graph)
    body = Writer(promoted(graph), opset).graph()
    model = helper.make_model(body, producer_name="needle", opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    props = {"needle.card": json.dumps(dict(graph.card), sort_keys=True), **_facts(graph)}
    helper.set_model_props(model, props)
    return model


def _facts(graph: Graph) -> dict[str, str]:
    """What other programs read: labels, preprocessing and licence of the card, and the pairs of state."""
    card = graph.card
    found = {key: card[key] for key in ("name", "task", "licence", "limits", "data") if isinstance(card.get(key), str)}
    found |= {key: json.dumps(card[key], sort_keys=True) for key in ("input", "output", "labels") if key in card}
    return found | ({"state": json.dumps([list(pair) for pair in graph.state])} if graph.state else {})


class Writer:
    """Collects the nodes and initializers of one model; rows call `add` and the helpers below."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self.source, self.opset = graph, opset
        self.nodes: list[Any] = []
        self.arrays: dict[str, numpy.ndarray] = {}  # initializers: the weights
        self.fixed: dict[str, numpy.ndarray] = {}  # constants
        self.turned: dict[str, tuple[str, tuple[int, ...]]] = {}  # what is a transpose of what
        self.first: dict[str, str] = {}  # transposed initializers, to the weight that they are of
        self.known: dict[Any, str] = {}  # constants and sizes that are there already
        self.taken = {x.op.name for x in graph.inputs} | {name for name, _ in graph.outputs} | set(graph.weights())
        self.count = 0
        self.reasons: list[str] = []

    # -- the whole ----------------------------------------------------------------------------------------------------

    def graph(self) -> Any:
        """The GraphProto."""
        from onnx import helper

        names: dict[Node, Any] = {}
        for i, node in enumerate(self.source.order()):
            names[node] = self._node(i, node, [names[x] for x in node.inputs])
        if self.reasons:
            many = f"{len(self.reasons)} reasons" if len(self.reasons) > 1 else "one reason"
            raise OnnxError(f"[onnx] the graph cannot be written, for {many}:\n  " + "\n  ".join(self.reasons))
        for name, node in self.source.outputs:
            self.nodes.append(helper.make_node("Identity", [names[node]], [name]))
        self._short_outputs()
        self._drop_unused()
        inputs = [self._value(x.op.name, x.type) for x in self.source.inputs]
        outputs = [self._value(name, node.type) for name, node in self.source.outputs]
        arrays = [self.tensor(array, name) for name, array in self.arrays.items()]
        return helper.make_graph(self.nodes, str(self.source.card.get("name", "graph")), inputs, outputs, arrays)

    def _node(self, i: int, node: Node, inputs: list[Any]) -> Any:
        """The name of a node's value, or a tuple of them."""
        match node.op:
            case Input(name):
                return name
            case Weight(array, name):
                self.arrays[name] = array
                return name
            case Constant(array):
                return self.constant(array)
        kind = type(node.op).__name__
        if kind == "MakeTensorTuple":
            return tuple(inputs)
        if kind == "TupleGetItem":
            part = inputs[0][node.op.index] if inputs[0] else "?"
            if part is None:
                self.reasons.append(f"node {i}, {kind}: result {node.op.index} of {node.inputs[0].op} is not written")
            return part
        row = WRITE.get(type(node.op), Refused("it has no row in the table of operators"))
        flat = [n for x in inputs for n in (x if isinstance(x, tuple) else (x,))]
        if "?" in flat or None in flat:
            return "?"  # its reason is there already
        try:
            if isinstance(row, Refused):
                raise Unsupported(row.reason)
            return row(self, node, *flat)
        except NeedleError as error:
            self.reasons.append(f"node {i}, {node.op!s:.80}: {error}")
            return "?" if isinstance(node.type, Type) else ("?",) * len(node.type)

    def _short_outputs(self) -> None:
        """A value that only an output names is written under that name, without an Identity."""
        feeds: dict[str, int] = {}
        for node in self.nodes:
            for name in node.input:
                feeds[name] = feeds.get(name, 0) + 1
        made = {name: node for node in self.nodes for name in node.output}
        kept = []
        for node in self.nodes:
            source = made.get(node.input[0]) if node.op_type == "Identity" and node.output[0] in self._results else None
            if source is None or source.op_type == "Identity" or feeds[node.input[0]] != 1:
                kept.append(node)
                continue
            for k, name in enumerate(source.output):
                if name == node.input[0]:
                    source.output[k] = node.output[0]
        self.nodes = kept

    @property
    def _results(self) -> set[str]:
        return {name for name, _ in self.source.outputs}

    def _drop_unused(self) -> None:
        """Leave out what no output needs; a weight that is used transposed alone keeps its name."""
        needed = set(self._results)
        kept = []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        self.nodes = kept[::-1]
        self.arrays = {name: array for name, array in self.arrays.items() if name in needed}
        renamed: dict[str, str] = {}
        for name in self.arrays:
            original = self.first.get(name)
            if original is not None and original not in self.arrays and original not in renamed.values():
                renamed[name] = original
        if renamed:
            self.arrays = {renamed.get(name, name): array for name, array in self.arrays.items()}
            for node in self.nodes:
                for k, name in enumerate(node.input):
                    node.input[k] = renamed.get(name, name)

    def _value(self, name: str, type: Type) -> Any:
        from onnx import helper

        shape = [str(n) if isinstance(n, Size) else int(n) for n in type.shape]
        return helper.make_tensor_value_info(name, CODES[type.dtype], shape)

    # -- what rows call -----------------------------------------------------------------------------------------------

    def needs(self, opset: int, what: str) -> None:
        """Unsupported unless the model's opset has an operator."""
        if self.opset < opset:
            raise Unsupported(f"{what} needs opset {opset}, the model has {self.opset}")

    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        while True:
            self.count += 1
            name = f"{stem.lower()}_{self.count}"
            if name not in self.taken:
                return name

    def add(self, operator: str, inputs: Sequence[str], results: int = 1, **attributes: Any) -> Any:
        """A node; the name of its result, or a tuple of names."""
        from onnx import helper

        given = list(inputs)
        while given and not given[-1]:
            given.pop()
        stem = self.fresh(operator)
        names = [stem] if results == 1 else [f"{stem}_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(operator, given, names, **attributes))
        return names[0] if results == 1 else tuple(names)

    def tensor(self, array: numpy.ndarray, name: str = "") -> Any:
        """The array as a TensorProto."""
        from onnx import helper, numpy_helper

        if array.dtype == object:
            words: Any = [str(s) for s in array.reshape(-1)]
            return helper.make_tensor(name, 8, array.shape, words)
        proto = numpy_helper.from_array(numpy.ascontiguousarray(array).reshape(array.shape))
        proto.name = name
        return proto

    def constant(self, array: numpy.ndarray) -> str:
        """A Constant, which belongs to the structure: initializers are weights. Equal ones are one."""
        from onnx import helper

        array = numpy.asarray(array)
        key = (str(array.dtype), array.shape, array.tobytes() if array.dtype != object else tuple(array.reshape(-1)))
        if key not in self.known:
            name = self.known[key] = self.fresh("constant")
            self.fixed[name] = array
            self.nodes.append(helper.make_node("Constant", [], [name], value=self.tensor(array)))
        return self.known[key]

    def constant_of(self, values: Sequence[float], dtype: str = "float32") -> str:
        """A vector of numbers."""
        return self.constant(numpy.array(values, dtype=numpy_dtype(dtype)))

    def number(self, value: float, dtype: str = "float32") -> str:
        """A scalar."""
        return self.constant(numpy.array(value, dtype=numpy_dtype(dtype)))

    def ints(self, values: Any, shape: tuple[int, ...] | None = None) -> str:
        """Whole numbers that are known."""
        array = numpy.array(values, dtype="int64")
        return self.constant(array if shape is None else array.reshape(shape))

    def cast(self, name: str, dtype: str) -> str:
        """The value in another dtype."""
        return str(self.add("Cast", (name,), to=CODES[dtype]))

    def places(self, node: Node, name: str) -> str:
        """Indices as whole numbers: ids may be given as floats."""
        return name if node.type.dtype in ("int32", "int64") else self.cast(name, "int64")

    def transpose(self, name: str, axes: Sequence[int]) -> str:
        """The value with its axes permuted; of a weight or constant another one."""
        source, axes = name, tuple(a % len(axes) for a in axes)
        if name in self.turned:
            source, before = self.turned[name]
            axes = tuple(before[a] for a in axes)
        if axes == tuple(range(len(axes))):
            return source
        key = (source, axes)
        if key not in self.known:
            if source in self.arrays:
                made = self.fresh("transposed")
                self.arrays[made] = self.arrays[source].transpose(axes)
                self.first[made] = source
            elif source in self.fixed:
                return self.constant(self.fixed[source].transpose(axes))
            else:
                made = self.add("Transpose", (source,), perm=list(axes))
            self.known[key], self.turned[made] = made, (source, axes)
        return self.known[key]

    def sum(self, x: str, axes: list[int], keepdims: int) -> str:
        """The sum over axes."""
        return str(self.add("ReduceSum", (x, self.ints(axes)), keepdims=keepdims))

    def mean(self, x: str, axes: list[int], keepdims: int) -> str:
        """The mean over axes."""
        if self.opset >= 18:
            return str(self.add("ReduceMean", (x, self.ints(axes)), keepdims=keepdims))
        return str(self.add("ReduceMean", (x,), axes=axes, keepdims=keepdims))

    def count_from(self, first: int, count: int) -> str:
        """first, first + 1, ..., as many as `count`."""
        return self.arange(Arange(first, 1, count))

    def arange(self, op: Arange) -> str:
        """start, start + step, ...: known now, or a Range."""
        if not any(isinstance(n, Size) for n in (op.start, op.count)):
            return self.constant(op.value())
        start, step, end = (self.scalar(n) for n in (op.start, op.step, op.start + op.count * op.step))
        made = self.add("Range", (start, end, step))
        return made if op.dtype == "int64" else self.cast(made, op.dtype)

    def scalar(self, n: int) -> str:
        """A size as a scalar."""
        if not isinstance(n, Size):
            return self.ints(n)
        return str(self.add("Squeeze", (self.size(n), self.ints([0]))))

    def shape(self, shape: Sequence[int], one_open: bool = False) -> str:
        """A shape as a tensor: one open size is -1 where the operator works it out, several are computed."""
        open_ones = [n for n in shape if isinstance(n, Size)]
        if not open_ones:
            return self.ints(list(shape), (len(shape),))
        if one_open and len(open_ones) == 1:
            return self.ints([-1 if isinstance(n, Size) else n for n in shape])
        parts = [self.size(n) if isinstance(n, Size) else self.ints([n]) for n in shape]
        return parts[0] if len(parts) == 1 else str(self.add("Concat", parts, axis=0))

    def size(self, n: int) -> str:
        """A size as a tensor of one number, computed from the inputs' shapes."""
        terms = terms_of(n)
        if terms not in self.known:
            self.known[terms] = self._sum(terms)
        return self.known[terms]

    def _sum(self, terms: Terms) -> str:
        found = ""
        for monomial, factor in terms:
            names = [self._factor(f) for f in monomial]
            if factor != 1 or not names:
                names.append(self.ints([factor]))
            product = names[0]
            for name in names[1:]:
                product = self.add("Mul", (product, name))
            found = self.add("Add", (found, product)) if found else product
        return found or self.ints([0])

    def _factor(self, factor: Factor) -> str:
        match factor:
            case Dim():
                return self._dim(factor)
            case Quotient(terms, by):
                return str(self.add("Div", (self.size(_size(terms)), self.ints([by]))))
        sides = [self.size(_size(side)) for side in (factor.a, factor.b)]
        return str(self.add("Min" if factor.kind == "min" else "Max", sides))

    def _dim(self, dim: Dim) -> str:
        """The axis of an input that has this name."""
        key = ("dim", dim.name)
        if key not in self.known:
            for x in self.source.given:
                for axis, n in enumerate(x.shape):
                    if isinstance(n, Size) and is_dim(n) and str(n) == dim.name and key not in self.known:
                        whole = self.known.setdefault(("shape", x.op.name), "") or self.add("Shape", (x.op.name,))
                        self.known["shape", x.op.name] = whole
                        self.known[key] = self.add("Gather", (whole, self.ints([axis])), axis=0)
        if key not in self.known:
            raise Unsupported(f"the size '{dim.name}' is decided by data")
        return self.known[key]


def _size(terms: Terms) -> int:
    from needle.sizes import of

    return of(terms)
