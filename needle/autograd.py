"""Reverse-mode automatic differentiation over a graph of ops.

Each `Value` remembers the op that made it and the inputs of that op; `backward` walks the graph from the output to the
leaves and calls each op's `gradient`, which is itself written in ops, so gradients can be differentiated again.
Reference: Baydin et al., "Automatic differentiation in machine learning: a survey", 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from math import prod
from operator import add
from typing import Any, Self

import numpy

import needle  # for needle.ops, which are written in Tensors

from .backend_selection import BACKEND, NDArray  # noqa: F401  (NDArray is one of this module's public names)
from .errors import DeviceError, NeedleError, ShapeError
from .explain import explained
from .grad_mode import switch
from .reprs import tuple_text
from .types import FLOATS, Type

LAZY_MODE = False  # True: record ops now, compute when the data is asked for
RECOMPUTING = False  # True while `recompute` runs a function again: running statistics have taken in its batch before
LARGE = 4096  # elements of a leaf from which on its gradient is cut off from the graph after an optimizer's step
TENSOR_COUNTER = 0  # how many Values are alive; stays bounded over training


class Op:
    """An operation: `compute` on arrays, `gradient` on Values and, for the ops of this library, `infer` on types."""

    infer: Any = None  # (*types) -> Type, or a tuple of them; None: known only by computing
    promotes = False  # whether operands of different dtypes are cast to the one in which they meet

    def __call__(self, *args: Value) -> Value:
        raise NotImplementedError

    def compute(self, *arrays: Any) -> Any:
        """The value, as arrays, of this op applied to arrays."""
        raise NotImplementedError

    def gradient(self, out_grad: Any, node: Any) -> Any:
        """The adjoints of `node.inputs`, given the adjoint of `node`: one Value, or a tuple of them.

        An entry may be None where the input does not require a gradient.
        """
        raise NotImplementedError

    def gradient_as_tuple(self, out_grad: Value, node: Value) -> tuple[Any, ...]:
        """`gradient`, always as a tuple with one entry for each input."""
        result = self.gradient(out_grad, node)
        return tuple(result) if isinstance(result, tuple | list) else (result,)


LET_GO = Op()  # in the place of the op of a value that backward(keep_graph=False) has walked over


class TensorOp(Op):
    """An op whose output is one Tensor."""

    def __call__(self, *args: Value) -> Tensor:
        return Tensor.make_from_op(self, args)


class TensorTupleOp(Op):
    """An op whose output is a TensorTuple."""

    def __call__(self, *args: Value) -> TensorTuple:
        return TensorTuple.make_from_op(self, args)


class Value:
    """A node of the graph: `op` applied to `inputs`, with its data in `cached_data` once computed."""

    op: Op | None
    inputs: Sequence[Value]
    cached_data: Any
    requires_grad: bool
    num_outputs: int = 1
    grad: Any = None
    graded_with: Sequence[Value] = ()  # the leaves that the last backward gave a gradient to, this one among them

    def _init(
        self, op: Op | None, inputs: Sequence[Value], *, cached_data: Any = None, requires_grad: bool | None = None,
        type: Any = None,
    ) -> None:  # fmt: skip
        global TENSOR_COUNTER
        TENSOR_COUNTER += 1
        self.op = op
        self.inputs = inputs
        self.cached_data = cached_data
        self.requires_grad = any(x.requires_grad for x in inputs) if requires_grad is None else requires_grad
        self._type = type

    def __del__(self) -> None:
        global TENSOR_COUNTER
        TENSOR_COUNTER -= 1

    def __copy__(self) -> Self:
        """Another node with the same op, inputs and data."""
        new = type(self).__new__(type(self))
        new.__setstate__(vars(self))
        return new

    def __getstate__(self) -> dict[str, Any]:
        """What `deepcopy` and `pickle` take along: value and gradient, as leaves, not the graph that they came from."""
        data = self.cached_data if self.op is None else self.realize_cached_data()
        return vars(self) | {"op": None, "inputs": [], "cached_data": data, "graded_with": ()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        global TENSOR_COUNTER
        TENSOR_COUNTER += 1
        vars(self).update(state)

    def realize_cached_data(self) -> Any:
        """The data of this node, computed now if it was not yet."""
        pending: list[Value] = [self] if self.cached_data is None else []
        while pending:  # a stack of our own: lazy chains may be longer than Python's
            node = pending[-1]
            missing = [x for x in node.inputs if x.cached_data is None]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if node.cached_data is None:
                if node.op is None:
                    raise NeedleError("this tensor is a placeholder of a traced graph: it has a type but no data")
                data = node.op.compute(*[x.cached_data for x in node.inputs])
                node.cached_data = numpy.asarray(data) if isinstance(data, numpy.generic) else data
        return self.cached_data

    @property
    def type(self) -> Any:
        """The type of this value: a `Type`, or a tuple of them for a TensorTuple. Computes only if it must."""
        if self._type is not None:
            return self._type
        data = self.realize_cached_data()
        if isinstance(data, tuple | list):
            self._type = tuple(Type(x.shape, str(x.dtype)) for x in data)
            return self._type
        dtype = data.dtype
        return Type(data.shape, dtype if dtype.__class__ is str else str(dtype))

    def is_leaf(self) -> bool:
        """True for a value that no op made."""
        return self.op is None

    @classmethod
    def make_const(cls, data: Any, *, requires_grad: bool = False) -> Self:
        """A leaf that holds `data` (an array, or a tuple of arrays for a TensorTuple)."""
        value = cls.__new__(cls)
        value._init(None, [], cached_data=data, requires_grad=requires_grad)
        return value

    @classmethod
    def make_placeholder(cls, type: Any) -> Self:
        """A leaf of known type without data: the input of a graph that is traced in lazy mode."""
        value = cls.__new__(cls)
        value._init(None, [], requires_grad=False, type=type)
        return value

    @classmethod
    def make_from_op(cls, op: Op, inputs: Sequence[Value]) -> Self:
        """The value of `op` applied to `inputs`: computed at once unless LAZY_MODE, recorded if gradients need it.

        Inside `no_grad` they never do.

        Raises ShapeError or DTypeError, from the op's own rule, when the inputs do not fit, and DeviceError.
        """
        type = None
        try:
            if op.infer is not None:
                types = [x._type or x.type for x in inputs]
                type = op.infer(*types)
                if op.promotes and types[0].dtype != types[1].dtype:
                    inputs = needle.ops.promoted(inputs)  # type: ignore[arg-type]
            if LAZY_MODE:
                value = cls.__new__(cls)
                recorded = switch.on and differentiable(type, inputs)
                value._init(op, list(inputs), type=type, requires_grad=None if recorded else False)
                return value
            data = op.compute(*[x.realize_cached_data() if x.cached_data is None else x.cached_data for x in inputs])
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, DeviceError) as error:
            reason = explained(op, inputs, error)
            if reason is error:
                raise
            raise reason from error
        if isinstance(data, numpy.generic):  # numpy's results of shape () are bare scalars; here they are arrays
            data = numpy.asarray(data)
        value = cls.__new__(cls)
        for x in inputs:
            if x.requires_grad and switch.on and differentiable(type, inputs):
                value._init(op, list(inputs), cached_data=data, requires_grad=True, type=type)
                return value
        value._init(None, [], cached_data=data, requires_grad=False, type=type)
        return value

    def numpy(self) -> Any:
        """The data as a numpy array (a list of arrays for a TensorTuple)."""
        data = self.realize_cached_data()
        if isinstance(data, tuple):
            return [x if isinstance(x, numpy.ndarray) else x.numpy() for x in data]
        return data if isinstance(data, numpy.ndarray) else data.numpy()


def differentiable(type: Any, inputs: Sequence[Value] = ()) -> bool:
    """Whether a value of this type can have a gradient: floats and tuples can; bool and integers have none.

    In numpy mode those can that were made with `requires_grad=True`, and what is computed of them.
    """
    if type.__class__ is not Type or type.dtype in FLOATS:
        return True
    return BACKEND == "np" and any(x.requires_grad and not differentiable(x.type) for x in inputs)


class TensorTuple(Value):
    """A fixed-length tuple of tensors as one node of the graph. Adding tuples of other lengths raises ShapeError."""

    def __len__(self) -> int:
        return len(self.type if self.cached_data is None else self.cached_data)

    def __getitem__(self, index: int) -> Tensor:
        return needle.ops.tuple_get_item(self, index if isinstance(index, slice) else range(len(self))[index])

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def tuple(self) -> tuple[Tensor, ...]:
        """The tensors, as a Python tuple."""
        return tuple(self)

    def __repr__(self) -> str:
        return tuple_text(self, "needle.TensorTuple")

    __str__ = __repr__

    def __add__(self, other: TensorTuple) -> TensorTuple:
        if not isinstance(other, TensorTuple) or len(self) != len(other):
            raise ShapeError(f"[TensorTuple.__add__] needs two tuples of one length, got {self!r} and {other!r}")
        return needle.ops.make_tuple(*[a + b for a, b in zip(self, other, strict=True)])

    def detach(self) -> TensorTuple:
        """The same data, cut off from the graph."""
        if self.cached_data is None:
            return needle.ops.make_tuple(*[x.detach() for x in self])
        return TensorTuple.make_const(self.cached_data)


def find_topo_sort(node_list: list[Value]) -> list[Value]:
    """The nodes that `node_list` depends on, inputs before users: a post-order depth-first walk over `inputs`."""
    visited: set[Value] = set()
    topo_order: list[Value] = []
    for node in node_list:
        topo_sort_dfs(node, visited, topo_order)
    return topo_order


def topo_sort_dfs(node: Value, visited: set[Value], topo_order: list[Value]) -> None:
    """Append to `topo_order` what `node` depends on, then `node`. Iterative: graphs may be deep."""
    stack: list[tuple[Value, Iterator[Value]]] = []
    if node not in visited:
        visited.add(node)
        stack.append((node, iter(node.inputs)))
    while stack:
        top, rest = stack[-1]
        for child in rest:
            if child not in visited:
                visited.add(child)
                stack.append((child, iter(child.inputs)))
                break
        else:
            topo_order.append(top)
            stack.pop()


def sum_node_list(node_list: Sequence[Any]) -> Any:
    """The sum of the values, without a zero that would add a node."""
    return reduce(add, node_list)


def _adjoints(
    outputs: dict[Value, Any], leaves: Sequence[Value] = (), keep_graph: bool = True
) -> Iterator[tuple[Value, Any]]:
    """(node, adjoint) of every node that requires a gradient, from the outputs to `leaves`: sums over all paths.

    Where the graph need not be kept, a node lets go of its inputs once its adjoint has been passed on to them.
    """
    contributions: dict[Value, list[Any]] = {node: [grad] for node, grad in outputs.items()}
    order: list[Value] = list(leaves)
    ends, visited = set(leaves), set(leaves)
    for node in outputs:
        topo_sort_dfs(node, visited, order)
    visited.clear()
    if any(node.op is LET_GO for node in order):
        how = "compute the value again, detach() it, or keep the graph the first time"
        raise NeedleError(f"[backward] leads through a graph that backward(keep_graph=False) let go: {how}")
    while order:  # so that nothing here holds a node that is done
        node = order.pop()
        if node not in contributions:
            continue
        adjoint = sum_node_list(contributions.pop(node))
        yield node, adjoint
        if node.op is None or not node.requires_grad or node in ends:
            continue
        for value, grad in zip(node.inputs, node.op.gradient_as_tuple(adjoint, node), strict=True):
            if grad is not None and value.requires_grad:
                contributions.setdefault(value, []).append(grad)
        if not keep_graph and node.cached_data is not None:
            node.op, node.inputs = LET_GO, ()


def compute_gradient_of_variables(output_tensor: Tensor, out_grad: Tensor, keep_graph: bool = True) -> None:
    """Set `.grad` of every node that `output_tensor` was computed from: v.grad = sum over paths of the chain rule.

    The gradients of leaves are nodes of the graph, so they can be differentiated again. Those of inner nodes are cut
    off from it: a node whose own gradient leads back to it would be a reference cycle, and the memory of a training
    step would wait for the garbage collector. Where the graph need not be kept, they are not kept either.
    """
    leaves: list[Value] = []
    for node, adjoint in _adjoints({output_tensor: out_grad}, keep_graph=keep_graph):
        if node.op is None or keep_graph:
            node.grad = adjoint if node.op is None else adjoint.detach()
        if node.op is None:
            leaves.append(node)
            node.graded_with = leaves


def cut_gradients(leaf: Value) -> None:
    """Keep the values of the gradients that came with that of `leaf`, and let go of the graph that they are nodes of.

    The gradient of a leaf leads back to the leaf, a reference cycle. Optimizers cut it once they have made their step,
    so that the memory of a step does not wait for the garbage collector where a batch of inputs requires gradients.
    Leaves of less than LARGE elements are left to the collector.
    """
    leaves = leaf.graded_with
    for other in leaves:
        if other.graded_with is leaves:  # else a later backward has overwritten its gradient
            other.graded_with = ()
            grad = other.grad
            if grad is not None and grad.cached_data is not None and prod(other.type.shape) >= LARGE:
                other.grad = grad.detach()


def vjp(outputs: dict[Value, Any], inputs: Sequence[Value]) -> list[Any]:
    """The adjoints of `inputs` given those of `outputs`, as nodes of the graph and without touching any `.grad`.

    None where an input does not influence the outputs. Composite ops differentiate their decomposition with it.
    """
    wanted = set(inputs)
    found = {node: adjoint for node, adjoint in _adjoints(outputs, inputs) if node in wanted}
    return [found.get(x) for x in inputs]


from .tensor import Tensor as Tensor  # noqa: E402  (a Tensor is a Value)
