"""The tensor: a node of the graph that holds one array, and its methods."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy

import needle  # for needle.ops, which is written in Tensors

from .autograd import compute_gradient_of_variables, differentiable
from .backend_ndarray.ndarray import numbers
from .backend_selection import BACKEND, NDArray, array_api, default_device
from .errors import DTypeError, NeedleError, ShapeError
from .grad_mode import switch
from .interop import Interop
from .operators import Operators
from .ops import array_compat, attributes, dtype_rules
from .reprs import seen, tensor_text
from .types import FLOATS


class Tensor(Interop, Operators):
    """An array that can be differentiated: `Tensor(array, device=None, dtype=None, requires_grad=True)`.

    `array` is a Tensor (its data is shared when device and dtype agree), an NDArray, a numpy array, a list or a scalar.
    Without a dtype, Tensors and NDArrays keep theirs and everything else becomes float32 (in numpy mode all keep
    theirs). Raises DTypeError for what are no numbers, and for integers that float32 would change: those need a dtype.
    """

    def __init__(
        self, array: Any, *, device: Any = None, dtype: Any = None, requires_grad: bool = True, **kwargs: Any
    ) -> None:
        if isinstance(array, Tensor):
            device = array.device if device is None else device
            dtype = array.dtype if dtype is None else dtype
            if device == array.device and dtype == array.dtype:
                data = array.realize_cached_data()
            else:
                data = _array_from_numpy(array.numpy(), device, dtype)
        elif isinstance(array, NDArray) and BACKEND == "nd" and (device is None or device == array.device):
            data = array if dtype is None else array.astype(dtype)
        else:
            source = array
            if BACKEND == "nd" and isinstance(array, NDArray):
                source, dtype = array.seen(), array.dtype if dtype is None else dtype
            data = _array_from_numpy(source, default_device() if device is None else device, dtype)
        if requires_grad is not True and not isinstance(requires_grad, int | numpy.bool_):
            raise DTypeError(f"[Tensor] requires_grad is True or False, got {type(requires_grad).__name__}")
        possible = data.dtype in FLOATS or BACKEND == "np"
        self._init(None, [], cached_data=data, requires_grad=requires_grad and possible)

    @property
    def data(self) -> Tensor:
        """The same data, cut off from the graph; assigning replaces the data in place of an update."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"[Tensor.data] needs a Tensor, got {type(value).__name__}")
        if value.dtype != self.dtype:
            raise TypeError(f"[Tensor.data] needs dtype {self.dtype}, got {value.dtype}")
        self.cached_data, self._type = value.realize_cached_data(), None

    def detach(self) -> Tensor:
        """The same data, cut off from the graph."""
        detached = Tensor.make_const(self.realize_cached_data())
        detached._type = self._type
        return detached

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        known = self.cached_data is None and self._type
        shape: tuple[int, ...] = (self._type if known else self.realize_cached_data()).shape
        return shape

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self._type.dtype if self.cached_data is None and self._type else self.realize_cached_data().dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def device(self) -> Any:
        """The device that holds the data."""
        if self.cached_data is None and self._type is not None:
            tensors = [x for x in self.inputs if isinstance(x, Tensor)]
            return tensors[0].device if tensors else default_device()
        return default_device() if BACKEND == "np" else self.realize_cached_data().device

    def backward(self, out_grad: Tensor | None = None, *, keep_graph: bool = True) -> None:
        """d self / d x into `x.grad` of every x this tensor was computed from (overwriting what was there).

        `out_grad` is the adjoint of this tensor, ones by default. With `keep_graph=False` only leaves get a `grad`, and
        everything in between lets go of its inputs on the way, so that their memory is free where nobody else holds
        it: the graph can be walked once, and `detach()` makes a constant of what is used on. Raises ShapeError if
        `out_grad` has another shape, DTypeError if it has another dtype (but in numpy mode, which promotes) or this
        tensor does not hold floats, NeedleError inside `no_grad` if nothing was recorded, or where the graph was let
        go.
        """
        if not self.requires_grad and not switch.on:
            raise NeedleError("[backward] nothing was recorded: this was computed inside no_grad, or of constants")
        if not differentiable(self.type, [self]):
            raise DTypeError(f"[backward] only floats have gradients, this tensor is {self.dtype}")
        if out_grad is None:
            out_grad = Tensor.make_const(self.device.full(self.shape, 1.0, dtype=self.dtype))
        elif not isinstance(out_grad, Tensor):
            raise DTypeError(f"[backward] out_grad must be a Tensor, got {type(out_grad).__name__}")
        elif tuple(out_grad.shape) != tuple(self.shape):
            raise ShapeError(f"[backward] out_grad must have the tensor's shape {self.shape}, got {out_grad.shape}")
        elif BACKEND == "nd" and out_grad.dtype != self.dtype:
            fix = f'got {out_grad.dtype}; out_grad.astype("{self.dtype}") casts'
            raise DTypeError(f"[backward] out_grad must have the tensor's dtype {self.dtype}, {fix}")
        compute_gradient_of_variables(self, out_grad, keep_graph)

    _shown = "needle.Tensor"

    def __repr__(self) -> str:
        return tensor_text(self, self._shown)

    def __str__(self) -> str:
        data = getattr(self, "cached_data", None)
        return tensor_text(self, self._shown) if data is None else str(seen(data))

    def matmul(self, other: Tensor) -> Tensor:
        """self @ other, with numpy's broadcasting of the leading axes."""
        return needle.ops.matmul(self, other)

    def astype(self, dtype: Any) -> Tensor:
        """This tensor with elements of another dtype; itself where it has that dtype. Gradients are cast back."""
        return needle.ops.cast(self, dtype)

    def sum(self, axes: Any = None, keepdims: bool = False, *, axis: Any = None) -> Tensor:
        """The sum over `axes`, or `axis` (None: all; an int or several), which go away or, kept, have size 1."""
        return needle.ops.summation(self, axes, keepdims, axis=axis)

    def mean(self, axes: Any = None, keepdims: bool = False, *, axis: Any = None) -> Tensor:
        """The mean over `axes`, or `axis` (None: all; an int or several)."""
        return needle.ops.mean(self, axes, keepdims, axis=axis)

    def var(self, axes: Any = None, keepdims: bool = False, correction: float = 0, *, axis: Any = None) -> Tensor:
        """The variance over `axes`, or `axis` (None: all; an int or several), divided by n - correction."""
        return needle.ops.var(self, axes, keepdims, correction, axis=axis)

    def max(self, axes: Any = None, keepdims: bool = False, *, axis: Any = None) -> Tensor:
        """The maximum over `axes`, or `axis` (None: all; an int or several)."""
        return needle.ops.max(self, axes, keepdims, axis=axis)

    def min(self, axes: Any = None, keepdims: bool = False, *, axis: Any = None) -> Tensor:
        """The minimum over `axes`, or `axis` (None: all; an int or several)."""
        return needle.ops.min(self, axes, keepdims, axis=axis)

    def argmax(self, axis: int | None = None) -> Tensor:
        """Where the first maximum along `axis` is (None: in all the elements in order), without gradient."""
        return needle.ops.argmax(self, axis)

    def argmin(self, axis: int | None = None) -> Tensor:
        """Where the first minimum along `axis` is (None: in all the elements in order), without gradient."""
        return needle.ops.argmin(self, axis)

    def __getitem__(self, index: Any) -> Tensor:
        return needle.ops.getitem(self, index)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(needle.ops.split(self, 0))

    def broadcast_to(self, shape: Any, *sizes: int) -> Tensor:
        """This tensor repeated to a shape by numpy's rules: `broadcast_to((2, 3))` or `broadcast_to(2, 3)`."""
        return needle.ops.BroadcastTo(attributes.sizes("broadcast_to", (shape, *sizes)))(self)

    def reshape(self, shape: Any, *sizes: int) -> Tensor:
        """The same elements, in order, as another shape: `reshape((2, -1))` or `reshape(2, -1)`; -1 is what is left."""
        return needle.ops.Reshape(attributes.sizes("reshape", (shape, *sizes)))(self)

    def flatten(self, start: int = 0) -> Tensor:
        """The axes from `start` on as one: `flatten()` is a row of all elements, `flatten(1)` one for each sample."""
        axis = attributes.axis_of("flatten", start, max(1, self.ndim))
        return self.reshape((*self.shape[:axis], prod(self.shape[axis:])))

    def permute(self, axes: Any, *more: int) -> Tensor:
        """This tensor with its axes in another order: `permute((0, 2, 1))` or `permute(0, 2, 1)`."""
        return needle.ops.permute(self, attributes.sizes("permute", (axes, *more)))

    def transpose(self, axes: Any = None, *more: int) -> Tensor:
        """This tensor with two axes exchanged (the last two by default): `transpose((0, 1))` or `transpose(0, 1)`."""
        return needle.ops.transpose(self, None if axes is None else attributes.sizes("transpose", (axes, *more)))

    @property
    def T(self) -> Tensor:
        """This tensor with its axes in reverse order, as numpy has it: the transpose of a matrix."""
        return needle.ops.permute(self, range(self.ndim)[::-1])

    def clone(self) -> Tensor:
        """The same elements in memory of their own; gradients pass through."""
        same: Tensor = needle.ops.Permute(tuple(range(self.ndim)))(self)
        if same.cached_data is not None:  # else it is traced, and what a graph computes is never written to
            same.cached_data = array_compat.copied(same.cached_data)
        return same


def _array_from_numpy(source: Any, device: Any, dtype: Any) -> Any:
    """`source` as an array of the chosen backend."""
    if BACKEND == "np":
        values = numbers(source)
        return values.astype(values.dtype if dtype is None else dtype_rules.known_dtype("Tensor", dtype))
    if dtype is None:
        source, dtype = numbers(source), "float32"
        _check_exact(source)
    return array_api.array(source, device=device, dtype=dtype)


def _check_exact(values: numpy.ndarray) -> None:
    """Raise DTypeError for integers that float32 would change: those with more than 24 bits from first to last one."""
    if values.size:  # of what is repeated, one
        values = values[tuple(slice(1) if step == 0 else slice(None) for step in values.strides)]
    if values.dtype.kind not in "iu" or -(2**24) <= values.min(initial=0) <= values.max(initial=0) <= 2**24:
        return
    bits = values.astype("uint64").reshape(-1)
    magnitude = numpy.where(values.reshape(-1) < 0, -bits, bits)  # (uint64 wraps around: that of -2**63 is 2**63)
    odd = magnitude // numpy.maximum(magnitude & -magnitude, 1)
    if odd.max() > 2**24:
        wrong = values.reshape(-1)[odd.argmax()]
        raise DTypeError(f'[Tensor] {wrong} would change in float32, the default: give a dtype, such as dtype="int64"')
