"""From a model to a graph: every node is applied by its row of the table, on values that are known or recorded.

Reading is partial evaluation. What follows from constants alone is computed now; integers made of sizes stay
expressions of sizes; the rest are nodes. Sequences and optionals are Python lists and None: none is left in a graph.
Conditions that are known choose a branch, loops of known length are unrolled, functions are inlined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from needle import ops
from needle.errors import NeedleError
from needle.sizes import dim, for_every_size, watched
from needle.types import Type

from .. import draws
from ..errors import GraphError, OnnxError
from ..ir import Graph, Input, Node, constant, weight
from ..ir import apply as node_of
from ..verify import verify
from . import make, shapes
from .at import At, Value, ValueNeeded, attributes_of, check_attributes
from .dtypes import HALVES, NAMES, is_float
from .make import Unsupported
from .patterns import fused
from .read import array_of, dense, identifier, plain_card
from .table import ROWS, Refused

Dims = Mapping[str, Sequence[int | str | None]]
MAX_REASONS = 50
MAX_STEPS = 200_000  # applied rows, those of unrolled loops and functions among them
MAX_CALLS = 16  # functions inside each other
STAND_IN = 7  # what an open size is while reading


class Missing:
    """A value that could not be made, for which there is a reason already."""


MISSING = Missing()


class Importer:
    """Reads one model. `dims` fixes sizes of inputs, `values` inputs themselves, both by the names in the file."""

    def __init__(
        self, model: Any, folder: Path | None, dims: Dims, values: Mapping[str, Any],
        given: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self.outputs = tuple(outputs) if outputs else None  # values inside the model, in the place of its outputs
        self.model, self.folder, self.dims, self.values = model, folder, dims, values
        self.given = given or {}  # what inputs are, whatever the model says: a Type, a list of such, or None
        self.wanted: set[str] = set()  # inputs, by their identifiers, whose values rows have asked for
        self.returned: list[Any] = []  # of each output its identifier, a list of such, or None
        self.opsets = {entry.domain: entry.version for entry in model.opset_import} or {"": 1}
        self.functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self.reasons: list[str] = []
        self.named: dict[str, Any] = {}  # dims
        self.sizes: dict[str, Any] = {}  # the same by their names in the file
        self.least: Mapping[str, int] = {}  # of dims by name: 1 where nothing is said
        self.asked: set[str] = set()  # dims about which a rule asked what their bounds do not decide
        self.names: dict[str, str] = {}  # identifiers of inputs and outputs, to their names in the file
        self.steps = self.counts = self.depth = 0
        self.inputs: list[Node] = []
        self.counter: Node | None = None  # of the calls, where the model draws random numbers
        self.drawn = 0

    def graph(self) -> Graph:
        """The verified graph. Raises OnnxError with every reason why there is none."""
        with watched(self._every_size), make.bounded():
            proto = self.model.graph
            scope: dict[str, Value] = {}
            weights = {t.name for t in proto.initializer}
            unknown = sorted(self.dims.keys() - {x.name for x in proto.input})
            if unknown:
                names = [x.name for x in proto.input if x.name not in weights]
                raise OnnxError(f"[onnx] shapes: no input is called {unknown}, the model has {names}")
            for info in proto.input:
                if info.name not in weights:
                    self._try(f"input '{info.name}'", lambda info=info: scope.update({info.name: self._input(info)}))
            results = self.body(proto, scope)
            outputs = self._outputs(proto, results)
        if self.reasons:
            raise self.refusal()
        card = {"source": "onnx", "names": {k: v for k, v in self.names.items() if k != v}}
        card |= {entry.key: entry.value for entry in self.model.metadata_props if entry.key not in card}
        graph = Graph(tuple(self.inputs), tuple(outputs), plain_card(card))
        try:
            with watched(self._every_size):
                return verify(fused(draws.counted(graph, self.counter) if self.counter else graph))
        except GraphError as error:
            raise OnnxError(f"[onnx] {error}") from error

    def _every_size(self, what: str) -> bool:
        """Answers must hold for all values of the open sizes; which ones were in question is noted."""
        try:
            return for_every_size(what)
        except NeedleError:
            self.asked |= self.named.keys() & set(re.findall(r"\w+", what))
            raise

    def refusal(self) -> OnnxError:
        """All reasons in one message."""
        shown = self.reasons[:MAX_REASONS]
        more = f"\n  and {len(self.reasons) - len(shown)} more" if len(self.reasons) > len(shown) else ""
        many = f"{len(self.reasons)} reasons" if len(self.reasons) > 1 else "one reason"
        names = ", ".join(self.named)
        hint = f"\n  (open sizes: {names}; shapes, or --shape, fix those of an input)" if self.named else ""
        return OnnxError(f"[onnx] the model cannot be read, for {many}:\n  " + "\n  ".join(shown) + more + hint)

    def _try(self, where: str, do: Any) -> Any:
        """What `do` gives, or MISSING with the reason noted."""
        try:
            return do()
        except (NeedleError, OnnxError) as error:
            if isinstance(error, ValueNeeded):
                self.wanted |= error.inputs
            self.reasons.append(f"{where}: {error}")
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, AssertionError) as error:
            self.reasons.append(f"{where}: its inputs or attributes do not fit ({type(error).__name__}: {error})")
        except (MemoryError, RecursionError, OverflowError) as error:
            self.reasons.append(f"{where}: it is too large ({type(error).__name__})")
        return MISSING

    # -- inputs, weights and outputs ----------------------------------------------------------------------------------

    def _input(self, info: Any) -> Value:
        """A known value, or an Input node; a sequence or an optional as what is known of it."""
        if info.name in self.values:
            return _known(self.values[info.name])
        if info.name in self.given:
            return self._structured(info.name, self.given[info.name])
        proto = info.type
        while proto.HasField("optional_type"):
            proto = proto.optional_type.elem_type
        if proto.HasField("sequence_type"):
            raise Unsupported("a sequence as input needs its length: give its value")
        tensor = proto.tensor_type
        if tensor.elem_type not in NAMES:
            raise Unsupported(f"its element type {tensor.elem_type} is unknown")
        shape = tuple(self._size(info.name, i, d) for i, d in enumerate(tensor.shape.dim))
        fixed = self.dims.get(info.name)
        if fixed is not None:
            if tensor.HasField("shape") and len(fixed) != len(shape):
                raise Unsupported(f"it has {len(shape)} axes, {tuple(fixed)} names {len(fixed)}")
            shape = tuple(self._fixed(n, i, shape) for i, n in enumerate(fixed))
        elif not tensor.HasField("shape"):
            raise Unsupported("its number of axes is not stated: give its shape")
        return self.new_input(info.name, Type(shape, NAMES[tensor.elem_type]))

    def _structured(self, name: str, given: Any) -> Value:
        """Input nodes in the structure of what is given; an empty optional is None."""
        if given is None:
            return None
        if isinstance(given, list):
            return [self._structured(f"{name}_{i}", x) for i, x in enumerate(given)]
        return self.new_input(name, given)

    def new_input(self, name: str, type: Type) -> Node:
        """An input of the graph."""
        node = Node(Input(self._identifier(name)), (), type)
        self.inputs.append(node)
        return node

    def _size(self, name: str, axis: int, d: Any) -> int:
        """A number, or the dim of that name."""
        if d.WhichOneof("value") == "dim_value" and d.dim_value >= 0:
            return int(d.dim_value)
        stated = d.dim_param if re.search(r"\w", d.dim_param) else ""  # "?" is no name
        found: int = self._dim(stated or f"{name}_{axis}")
        return found

    def _fixed(self, given: int | str | None, axis: int, shape: tuple[int, ...]) -> int:
        if given is None:
            return shape[axis]
        found: int = self._dim(given) if isinstance(given, str) else int(given)
        return found

    def _dim(self, name: str) -> Any:
        """The size of that name: `n+1` is another than `n-1`."""
        if name not in self.sizes:
            known = identifier(name, "d_", self.named)
            low = self.least.get(known, 1)
            self.named[known] = self.sizes[name] = dim(known, low + STAND_IN + 6 * len(self.named), low)
        return self.sizes[name]

    def _identifier(self, name: str) -> str:
        """The name as graphs have it, each name once."""
        found = identifier(name[:48], "_", self.names)
        self.names[found] = name
        return found

    def _outputs(self, proto: Any, values: Sequence[Value]) -> list[tuple[str, Node]]:
        """(name, node) of each output; of a sequence, of each item."""
        found: list[tuple[str, Node]] = []
        self.names = {k: v for k, v in self.names.items() if k in {x.op.name for x in self.inputs}}
        taken = dict(self.names)
        self.names = {}

        def place(name: str, value: Value) -> Any:
            if isinstance(value, list):
                return [place(f"{name}_{i}", x) for i, x in enumerate(value)]
            if value is None:
                return None
            known = self._identifier(name)
            found.append((known, value))
            return known

        for name, value in zip(self.outputs or [info.name for info in proto.output], values, strict=True):
            if value is not MISSING:
                self.returned.append(place(name, value))
        self.names = {**taken, **self.names}
        return found

    # -- bodies -------------------------------------------------------------------------------------------------------

    def body(self, proto: Any, scope: dict[str, Value], prefix: str = "") -> list[Value]:
        """The outputs of a graph, whose names and those around it are in `scope`."""
        for tensor in proto.initializer:
            scope[tensor.name] = self._try(f"initializer '{tensor.name}'", lambda t=tensor: self._initial(t, prefix))
        for sparse in proto.sparse_initializer:
            name = sparse.values.name
            scope[name] = self._try(f"initializer '{name}'", lambda s=sparse: self._dense(s))
        for i, node in enumerate(proto.node):
            self.node(node, scope, prefix, i)
        names = [info.name for info in proto.output] if prefix or not self.outputs else self.outputs
        return [self._found(scope, name, "the graph") for name in names]

    def _initial(self, tensor: Any, prefix: str) -> Node:
        """Floats of one axis or more are weights, whose values decide nothing; the rest is structure."""
        array = array_of(tensor, self.folder)
        if is_float(str(array.dtype)) and array.ndim and array.size and array.dtype.kind == "f" and not prefix:
            return weight(array, tensor.name)
        return constant(array)

    def _dense(self, sparse: Any) -> Node:
        return constant(dense(sparse, self.folder, make.affords))

    def _found(self, scope: Mapping[str, Value], name: str, where: str) -> Value:
        if name in scope:
            return scope[name]
        self.reasons.append(f"{where}: '{name}' is used before it is computed, or nowhere computed")
        return MISSING

    def node(self, proto: Any, scope: dict[str, Value], prefix: str, number: int) -> None:
        """Apply one node: its outputs join the scope."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise OnnxError(f"[onnx] more than {MAX_STEPS} steps: a loop or functions that are too long to unroll")
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        opset = self.opsets.get(domain, self.opsets.get("", 0) if not domain else 0)
        label = f"'{proto.name}'" if proto.name else f"{prefix}#{number}"
        kind = f"{domain}.{proto.op_type}" if domain else proto.op_type
        where = f"node {label}, {kind} (opset {opset})"
        outputs = tuple(proto.output)
        before = len(self.reasons)
        inputs = [self._found(scope, name, where) if name else None for name in proto.input]
        if any(x is MISSING for x in inputs) or len(self.reasons) > before:
            made: Any = MISSING
        else:
            made = self._try(where, lambda: self.apply(proto, kind, domain, opset, inputs, scope, label))
        if made is MISSING:
            made = [MISSING] * len(outputs)
        for name, value in zip(outputs, made, strict=False):
            if name:
                scope[name] = value
        for name in outputs[len(made) :]:
            if name:
                self.reasons.append(f"{where}: its output '{name}' is not computed here")
                scope[name] = MISSING

    def apply(
        self, proto: Any, kind: str, domain: str, opset: int, inputs: list[Value], scope: dict[str, Value], label: str
    ) -> list[Value]:
        """The outputs of a node: by the model's own function, by its row, or by the standard's function."""
        function = self.functions.get((proto.domain, proto.op_type, proto.overload))
        outer = scope.get("\0attributes")
        if function is not None:
            return self.call(function, attributes_of(proto, self.folder, outer), inputs, proto.output, label)
        row = ROWS.get(kind)
        if isinstance(row, Refused):
            raise Unsupported(row.reason)
        at = At(
            label, proto.op_type, opset, attributes_of(proto, self.folder, outer), tuple(proto.output), self.folder,
            lambda graph, values: self.inside(graph, values, scope, label), self._count, draw=self._draw,
        )  # fmt: skip
        check_attributes(proto, domain, opset)
        if row is None or row.read is None:
            return self._standard(proto, domain, opset, inputs, at)
        if domain == "" and not opset:
            raise Unsupported("the model does not say which opset it was written for")
        symbolic = shapes.applied(at, inputs)
        if symbolic is not None:
            return symbolic
        return _as_list(_floats(row, at, inputs))

    def _count(self, stem: str) -> str:
        self.counts += 1
        return f"{stem}_{self.counts}"

    def _draw(self, shape: Sequence[int], key: int | None) -> Node:
        """Uniform numbers in [0, 1) of a key, or of the next one; those who give a seed give the same key twice."""
        if self.counter is None:
            self.counter = draws.counter([x.op.name for x in self.inputs])
        self.drawn += key is None
        return node_of(ops.Random(tuple(shape), self.drawn if key is None else key), self.counter)

    def inside(self, graph: Any, values: Sequence[Value], scope: dict[str, Value], label: str) -> list[Value]:
        """The outputs of a graph inside a node, given its inputs."""
        inner = {**scope, **{info.name: value for info, value in zip(graph.input, values, strict=False)}}
        before = len(self.reasons)
        results = self.body(graph, inner, prefix=f"{label}/")
        if len(self.reasons) > before:
            raise Unsupported("its inner graph cannot be read")
        return results

    def call(
        self, function: Any, attributes: dict[str, Any], inputs: list[Value], outputs: Sequence[str], label: str
    ) -> list[Value]:
        """A function's body in the place of its call, which names the outputs that it wants."""
        if self.depth >= MAX_CALLS:
            raise OnnxError(f"[onnx] functions call each other without end, {MAX_CALLS} deep: {label[:80]}")
        scope: dict[str, Value] = dict.fromkeys(function.input)
        scope |= dict(zip(function.input, inputs, strict=False))
        for attribute in function.attribute_proto:
            if attribute.name not in attributes:
                attributes |= attributes_of(_Attributes([attribute]), self.folder)
        scope["\0attributes"] = attributes
        before, opsets = len(self.reasons), self.opsets
        self.depth += 1
        self.opsets = {**opsets, **{entry.domain: entry.version for entry in function.opset_import}}
        try:
            for i, node in enumerate(function.node):
                self.node(node, scope, f"{label}/", i)
        finally:
            self.opsets, self.depth = opsets, self.depth - 1
        if len(self.reasons) > before:
            raise Unsupported("its function cannot be read")
        wanted = zip(function.output, outputs, strict=False)
        return [self._found(scope, name, label) if output else scope.get(name) for name, output in wanted]

    def _standard(self, proto: Any, domain: str, opset: int, inputs: list[Value], at: At) -> list[Value]:
        """The body that the standard gives for an operator that is a function of others."""
        from . import functions

        types = [x.type if isinstance(x, Node) else None for x in inputs]
        body = functions.body(proto, at.attributes, domain, opset, types)
        if body is None:
            raise Unsupported("there is no such operator here")
        attributes = {**functions.defaults(proto, domain, opset), **at.attributes}
        return self.call(body, attributes, inputs, proto.output, at.name)


class _Attributes:
    """Attributes, as a node has them."""

    def __init__(self, attribute: list[Any]) -> None:
        self.attribute = attribute


def _floats(row: Any, at: At, inputs: list[Value]) -> Any:
    """The row's results; where it computes in float32, half floats are cast before and behind."""
    halves = [x.type.dtype for x in inputs if isinstance(x, Node) and _dtype(x) in HALVES]
    if not row.in_float32 or not halves:
        return row.read(at, *inputs)
    made = _as_list(row.read(at, *[make.in_float32(x) if isinstance(x, Node) and _dtype(x) else x for x in inputs]))
    return tuple(make.cast(x, halves[0]) if isinstance(x, Node) and _dtype(x) == "float32" else x for x in made)


def _dtype(x: Node) -> str:
    return x.type.dtype if isinstance(x.type, Type) else ""


def _as_list(made: Any) -> list[Value]:
    """A row gives one value, or a tuple of them; a list is a sequence, one value."""
    return list(made) if isinstance(made, tuple) and not isinstance(made, Type) else [made]


def _known(value: Any) -> Value:
    if value is None:
        return None
    return [_known(x) for x in value] if isinstance(value, list | tuple) else constant(numpy.asarray(value))
