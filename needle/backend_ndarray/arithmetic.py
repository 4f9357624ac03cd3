"""The operators of NDArray: elementwise arithmetic, comparisons (1.0 and 0.0), reductions, matrix products."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from needle.errors import DeviceError, DTypeError, ShapeError
from needle.types import number_of, promote, promote_number, summed

from . import ndarray_backend_cpu
from .kernels import extension_of, kernels, of_elements, pointwise
from .layout import Axes as Axes
from .layout import as_axes, distinct_axes, is_dense, reduced_shape
from .plain.pointwise import floats
from .views import Views

if TYPE_CHECKING:
    from .ndarray import NDArray

Function = Callable[..., None]


class Arithmetic(Views):
    """Operators on arrays of equal shapes, or on an array and a number; results are new, compact arrays.

    Operands of different dtypes meet by the rule of needle.types; comparisons give 1.0 and 0.0 in float32.
    """

    __slots__ = ()

    def ewise_or_scalar(self, other: Any, ewise_func: Function, scalar_func: Function) -> NDArray:
        """ewise_func(self, other) for an array of the same shape and device, scalar_func(self, other) for a number.

        Both take handles, and write to the one that is their last argument.
        """
        out = self.make(self._shape, device=self._device, dtype=self._handle.dtype)
        if isinstance(other, Arithmetic):
            self._same_kind(other)
            ewise_func(self.compact()._handle, other.compact()._handle, out._handle)
        else:
            scalar_func(self.compact()._handle, other, out._handle)
        return out

    def _same_kind(self, other: Arithmetic) -> None:
        """Refuse operands of different shapes or devices."""
        if self._shape != other._shape:
            raise ShapeError(f"[elementwise] shapes must be equal, got {self._shape} and {other._shape}")
        if self._device != other._device:
            raise DeviceError(f"[elementwise] operands must be on one device, got {self._device} and {other._device}")

    def _combine(self, kernel: str, scalar: str, plain: Any, other: Any) -> NDArray:
        """A function of two operands, of which the second may be a number, in row-major order."""
        if isinstance(other, Arithmetic):
            if self._shape != other._shape or self._device is not other._device:
                self._same_kind(other)
            compiled = extension_of(self)
            if compiled is not None and self._handle.__class__ is other._handle.__class__:
                result: NDArray
                if self._strides == other._strides:  # of one layout, which the result is brought out of
                    result = getattr(compiled, kernel)(self, other)
                    return result if result._compact else result.compact()
                result = getattr(compiled, kernel)(_rows(self), _rows(other))
                return result
            dtype = promote(self.dtype, other.dtype)
            return _computed(kernel, plain, self.astype(dtype), other.astype(dtype))
        elif scalar or extension_of(self) is None:
            other = other if isinstance(other, float) else number_of(kernel, other, self.dtype)
            return _computed(scalar, plain, self.astype(promote_number(self.dtype, other)), other)
        else:  # a comparison that kernels know of two arrays
            other = self._device.full((1,) * len(self._shape), other, self.dtype).broadcast_to(self._shape)
            return _computed(kernel, plain, self, other)

    def _map(self, kernel: str, plain: Any) -> NDArray:
        """A function of one operand."""
        return _computed(kernel, plain, self)

    def __add__(self, other: Any) -> NDArray:
        return self._combine("add", "add_scalar", np.add, other)

    __radd__ = __add__

    def __mul__(self, other: Any) -> NDArray:
        return self._combine("multiply", "mul_scalar", np.multiply, other)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> NDArray:
        return self._combine("subtract", "subtract_scalar", np.subtract, other)

    def __rsub__(self, other: Any) -> NDArray:
        dtype = self._handle.dtype
        if dtype[0] == "f":
            return -self + other
        other = number_of("subtract", other, dtype)
        return -self.astype(promote_number(dtype, other)) + other

    def __truediv__(self, other: Any) -> NDArray:
        return self._combine("divide", "divide_scalar", np.divide, other)

    def __rtruediv__(self, other: Any) -> NDArray:
        dtype = self._handle.dtype
        return self._device.full(self._shape, other, dtype if dtype == "float64" else "float32") / self

    def __neg__(self) -> NDArray:
        return self._map("negate", np.negative)

    def __pow__(self, other: Any) -> NDArray:
        return self._combine("power", "power_scalar", np.power, other)

    def maximum(self, other: Any) -> NDArray:
        """The larger of the two, element by element; NaN where either is NaN."""
        return self._combine("maximum", "maximum_scalar", np.maximum, other)

    def __eq__(self, other: Any) -> NDArray:  # type: ignore[override]
        return self._combine("equal", "equal_scalar", np.equal, other).astype("float32")

    def __ne__(self, other: Any) -> NDArray:  # type: ignore[override]
        return self._combine("not_equal", "", np.not_equal, other).astype("float32")

    def __ge__(self, other: Any) -> NDArray:
        return self._combine("greater_equal", "greater_equal_scalar", np.greater_equal, other).astype("float32")

    def __gt__(self, other: Any) -> NDArray:
        return self._combine("greater", "", np.greater, other).astype("float32")

    def __le__(self, other: Any) -> NDArray:
        return self._combine("less_equal", "", np.less_equal, other).astype("float32")

    def __lt__(self, other: Any) -> NDArray:
        return self._combine("less", "", np.less, other).astype("float32")

    __hash__ = None  # type: ignore[assignment]

    def log(self) -> NDArray:
        """Natural logarithm."""
        return self._map("log", lambda x: np.log(floats(x)))

    def exp(self) -> NDArray:
        """e to the power of each element."""
        return self._map("exp", lambda x: np.exp(floats(x)))

    def tanh(self) -> NDArray:
        """Hyperbolic tangent."""
        return self._map("tanh", lambda x: np.tanh(floats(x)))

    def __matmul__(self, other: Any) -> NDArray:
        """Matrix product over the last two axes; leading axes broadcast as in numpy."""
        dtype = promote(self._handle.dtype, other._handle.dtype)
        a = self.astype(dtype)
        return kernels(a).matmul(a, other.astype(dtype))

    # -- reductions --------------------------------------------------------------------------------------------------

    def reduce_view_out(self, axis: Axes, keepdims: bool = False) -> tuple[NDArray, NDArray]:
        """A compact array whose last axis is to be reduced, and the array for the result."""
        axis = as_axes(axis)
        shape = reduced_shape(self._shape, axis, keepdims)
        axes = distinct_axes("reduce", len(self._shape), axis)
        others = tuple(a for a in range(len(self._shape)) if a not in axes)
        view = self.permute(others + axes).compact()
        sizes = (*(self._shape[a] for a in others), prod(self._shape[a] for a in axes))
        return view.reshape(sizes), self.make(shape, device=self._device, dtype=self._handle.dtype)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> NDArray:
        """Sum over the given axes; over all of them the shape is (1,), or all ones with keepdims."""
        return reduce(self, "sum", axis, keepdims).compact()

    def max(self, axis: Axes = None, keepdims: bool = False) -> NDArray:
        """Maximum over the given axes; over all of them the shape is (1,), or all ones with keepdims."""
        return reduce(self, "max", axis, keepdims).compact()


def _rows(x: Arithmetic) -> Arithmetic:
    """x, but a copy in row-major order where its memory has another one, which kernels would keep."""
    return x if x._compact or not is_dense(x._shape, x._strides) else x.compact()


def _computed(kernel: str, plain: Any, first: Arithmetic, *more: Any) -> NDArray:
    try:
        rest = [_rows(x) if isinstance(x, Arithmetic) else x for x in more]
        result: NDArray = pointwise(kernel, plain, _rows(first), *rest)
        return result
    except (TypeError, ValueError) as refusal:  # numpy's, of -bool, bool - bool, int ** -1
        raise DTypeError(f"[{kernel}] is not defined for {first.dtype}: {refusal}; astype('float32') casts") from None


def reduce(x: Arithmetic, name: str, axis: Axes, keepdims: bool) -> NDArray:
    """A "sum", "max" or "min" over the axes; of compiled arrays what remains keeps its order in memory."""
    axis = as_axes(axis)
    extension = extension_of(x)
    if extension is not None:
        result: NDArray = getattr(extension, name)(x, axis, keepdims)
        return result
    if name != "sum" and 0 in x._shape and 0 not in reduced_shape(x._shape, axis, False):
        raise ShapeError(f"[{name}] needs at least one element to reduce, got {x._shape} over axes {axis}")
    compiled = x._device.mod is ndarray_backend_cpu or not x._device.shares_memory
    if compiled and of_elements().whole(x.dtype):
        folded: NDArray = of_elements().folded(name, *x.reduce_view_out(axis, keepdims))
        return folded
    x = x.astype(summed(x.dtype)) if name == "sum" else x
    view, result = x.reduce_view_out(axis, keepdims)
    getattr(x._handle.module, "reduce_" + name)(view._handle, result._handle, view._shape[-1])
    return result
