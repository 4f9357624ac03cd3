"""The tensor: a node of the graph that holds one array, and the operators on it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy

import needle  # for needle.ops and needle.init, which are written in Tensors

from .autograd import Value, compute_gradient_of_variables, differentiable
from .backend_ndarray.ndarray import numbers
from .backend_selection import BACKEND, NDArray, array_api, default_device
from .errors import DTypeError, ShapeError
from .interop import Interop
from .types import FLOATS, number_of


class Tensor(Interop, Value):
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
                source, dtype = array.shared(), array.dtype if dtype is None else dtype
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
        return Tensor.make_const(self.realize_cached_data())

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

    def backward(self, out_grad: Tensor | None = None) -> None:
        """d self / d x into `x.grad` of every x this tensor was computed from (overwriting what was there).

        `out_grad` is the adjoint of this tensor, ones by default. Raises ShapeError if it has another
        shape, DTypeError if this tensor does not hold floats.
        """
        if not differentiable(self.type, [self]):
            raise DTypeError(f"[backward] only floats have gradients, this tensor is {self.dtype}")
        if out_grad is None:
            out_grad = needle.init.ones(*self.shape, dtype=self.dtype, device=self.device)
        elif not isinstance(out_grad, Tensor):
            raise DTypeError(f"[backward] out_grad must be a Tensor, got {type(out_grad).__name__}")
        elif tuple(out_grad.shape) != tuple(self.shape):
            raise ShapeError(f"[backward] out_grad must have the tensor's shape {self.shape}, got {out_grad.shape}")
        compute_gradient_of_variables(self, out_grad)

    def __repr__(self) -> str:
        return f"needle.Tensor({self})"

    def __str__(self) -> str:
        return f"<{self._type}>" if self.cached_data is None and self._type else str(self.realize_cached_data())

    def __add__(self, other: Any) -> Tensor:
        return needle.ops.EWiseAdd()(self, other) if isinstance(other, Tensor) else needle.ops.AddScalar(other)(self)

    def __mul__(self, other: Any) -> Tensor:
        return needle.ops.EWiseMul()(self, other) if isinstance(other, Tensor) else needle.ops.MulScalar(other)(self)

    def __pow__(self, other: Any) -> Tensor:
        return needle.ops.EWisePow()(self, other) if isinstance(other, Tensor) else needle.ops.PowerScalar(other)(self)

    def __sub__(self, other: Any) -> Tensor:
        return self + needle.ops.Negate()(other) if isinstance(other, Tensor) else self + negative(other)

    def __rsub__(self, other: Any) -> Tensor:
        return needle.ops.AddScalar(other)(needle.ops.Negate()(self))

    def __truediv__(self, other: Any) -> Tensor:
        return needle.ops.EWiseDiv()(self, other) if isinstance(other, Tensor) else needle.ops.DivScalar(other)(self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return needle.ops.EWiseDiv()(constant_like("divide", self, other), self)

    def __rpow__(self, other: Any) -> Tensor:
        return needle.ops.EWisePow()(constant_like("power", self, other), self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return needle.ops.MatMul()(self, other)

    def matmul(self, other: Tensor) -> Tensor:
        """self @ other, with numpy's broadcasting of the leading axes."""
        return needle.ops.MatMul()(self, other)

    def astype(self, dtype: Any) -> Tensor:
        """This tensor with elements of another dtype; itself where it has that dtype. Gradients are cast back."""
        return needle.ops.cast(self, dtype)

    def sum(self, axes: Any = None) -> Tensor:
        """The sum over `axes` (None: all; an int or a tuple)."""
        return needle.ops.Summation(axes)(self)

    def mean(self, axes: Any = None, keepdims: bool = False) -> Tensor:
        """The mean over `axes` (None: all; an int or a tuple)."""
        return needle.ops.mean(self, axes, keepdims)

    def var(self, axes: Any = None, keepdims: bool = False, correction: float = 0) -> Tensor:
        """The variance over `axes` (None: all; an int or a tuple), divided by n - correction."""
        return needle.ops.var(self, axes, keepdims, correction)

    def max(self, axes: Any = None, keepdims: bool = False) -> Tensor:
        """The maximum over `axes` (None: all; an int or a tuple)."""
        return needle.ops.max(self, axes, keepdims)

    def min(self, axes: Any = None, keepdims: bool = False) -> Tensor:
        """The minimum over `axes` (None: all; an int or a tuple)."""
        return needle.ops.min(self, axes, keepdims)

    def __getitem__(self, index: Any) -> Tensor:
        return needle.ops.getitem(self, index)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(needle.ops.split(self, 0))

    def __lt__(self, other: Any) -> Tensor:
        return needle.ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return needle.ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return needle.ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return needle.ops.greater_equal(self, other)

    def __eq__(self, other: object) -> bool:
        """Whether both are one object, as keys need it; warns where elements may be meant: `equal` compares them."""
        if self is other:
            return True
        if not isinstance(other, COMPARED):
            return NotImplemented
        _warn_of_identity("==", "equal")
        return False

    def __ne__(self, other: object) -> bool:
        """Whether these are two objects; warns where elements may be meant: `not_equal` compares them."""
        if self is other:
            return False
        if not isinstance(other, COMPARED):
            return NotImplemented
        _warn_of_identity("!=", "not_equal")
        return True

    __hash__ = Value.__hash__

    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        """This tensor repeated to `shape` by numpy's rules."""
        return needle.ops.BroadcastTo(tuple(shape))(self)

    def reshape(self, shape: Sequence[int]) -> Tensor:
        """The same elements, in order, as `shape`."""
        return needle.ops.Reshape(tuple(shape))(self)

    def __neg__(self) -> Tensor:
        return needle.ops.Negate()(self)

    def transpose(self, axes: Any = None) -> Tensor:
        """This tensor with two axes exchanged (the last two by default)."""
        return needle.ops.Transpose(axes)(self)

    __radd__ = __add__
    __rmul__ = __mul__


COMPARED = (Tensor, NDArray, numpy.ndarray, numpy.generic, int, float)  # beside which == may mean the elements


def _warn_of_identity(operator: str, function: str) -> None:
    """Name the line that compares a Tensor; Python's default filter does so once for each."""
    warnings.warn(
        f"[Tensor] a {operator} b asks whether both are one object, which `is` says without this warning; "
        f"needle.{function}(a, b) compares their elements",
        stacklevel=3,
    )


def constant_like(where: str, x: Tensor, number: Any) -> Tensor:
    """A number as a Tensor on the device of x, of the dtype in which x meets it; DTypeError for what is no number."""
    return needle.ops.ops_compare.like(x, number_of(where, number, "float64"))


def negative(number: Any) -> Any:
    """-number, for a - number."""
    return -number_of("sub", number, "float64")


def _array_from_numpy(source: Any, device: Any, dtype: Any) -> Any:
    """`source` as an array of the chosen backend."""
    if BACKEND == "np":
        values = numbers(source)
        return values.astype(values.dtype if dtype is None else needle.ops.shapes.known_dtype("Tensor", dtype))
    if dtype is None:
        source, dtype = numbers(source), "float32"
        _check_exact(source)
    return array_api.array(source, device=device, dtype=dtype)


def _check_exact(values: numpy.ndarray) -> None:
    """Raise DTypeError for integers that float32 would change: those with more than 24 bits from first to last one."""
    if values.dtype.kind not in "iu" or -(2**24) <= values.min(initial=0) <= values.max(initial=0) <= 2**24:
        return
    bits = values.astype("uint64").reshape(-1)
    magnitude = numpy.where(values.reshape(-1) < 0, -bits, bits)  # (uint64 wraps around: that of -2**63 is 2**63)
    odd = magnitude // numpy.maximum(magnitude & -magnitude, 1)
    if odd.max() > 2**24:
        wrong = values.reshape(-1)[odd.argmax()]
        raise DTypeError(f'[Tensor] {wrong} would change in float32, the default: give a dtype, such as dtype="int64"')
