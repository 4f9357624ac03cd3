"""The operators of NDArray: elementwise arithmetic, comparisons (1.0 and 0.0), reductions, matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from needle.errors import DeviceError, ShapeError

from .kernels import kernels
from .layout import as_axes, distinct_axes, is_dense, reduced_shape, reduction

if TYPE_CHECKING:
    from .devices import BackendDevice
    from .ndarray import NDArray

Axes = int | Sequence[int] | None
Function = Callable[..., None]


class Arithmetic:
    """Operators on arrays of equal shapes, or on an array and a number; results are new, compact arrays."""

    __slots__ = ()

    _shape: tuple[int, ...]
    _strides: tuple[int, ...]
    _offset: int
    _device: BackendDevice
    _handle: Any
    _compact: bool | None
    compact: Any
    is_compact: Any
    permute: Any
    numpy: Any
    make: Any
    _like: Any

    def ewise_or_scalar(self, other: Any, ewise_func: Function, scalar_func: Function) -> NDArray:
        """ewise_func(self, other) for an array of the same shape and device, scalar_func(self, other) for a number.

        Both take handles, and write to the one that is their last argument.
        """
        out = self.make(self._shape, device=self._device)
        if isinstance(other, Arithmetic):
            self._same_kind(other)
            ewise_func(self.compact()._handle, other.compact()._handle, out._handle)
        else:
            scalar_func(self.compact()._handle, other, out._handle)
        return out

    def _same_kind(self, other: Any) -> None:
        """Refuse operands of different shapes or devices."""
        if self._shape != other._shape:
            raise ShapeError(f"[elementwise] shapes must be equal, got {self._shape} and {other._shape}")
        if self._device != other._device:
            raise DeviceError(f"[elementwise] operands must be on one device, got {self._device} and {other._device}")

    def _map(self, other: Any, op: str) -> NDArray:
        """ewise_<op>(self, other) or scalar_<op>(self, other)."""
        if isinstance(other, Arithmetic):
            if not (self._compact or self.is_compact()) or not (other._compact or other.is_compact()):
                return self._map_strided(other, op)
            if self._shape != other._shape or self._device is not other._device:
                self._same_kind(other)
            out = self._like()
            getattr(out._device.mod, "ewise_" + op)(self._handle, other._handle, out._handle)
            return out
        if not (self._compact or self.is_compact()):
            return self._map_strided(other, op)
        out = self._like()
        getattr(out._device.mod, "scalar_" + op)(self._handle, other, out._handle)
        return out

    def _map_strided(self, other: Any, op: str) -> NDArray:
        """The same for operands that are not compact: the compiled backend reads them where they lie."""
        mod, array = self._device.mod, isinstance(other, Arithmetic)
        strided = getattr(mod, ("strided_" if array else "strided_scalar_") + op, None)
        if strided is None:
            return self.ewise_or_scalar(other, getattr(mod, "ewise_" + op), getattr(mod, "scalar_" + op))
        if array:
            self._same_kind(other)
        second = (other._handle, other._strides, other._offset) if array else (other,)
        out = self.make(self._shape, device=self._device)
        strided(self._shape, self._handle, self._strides, self._offset, *second, out._handle, out._strides)
        return out

    def _map1(self, op: str) -> NDArray:
        x = self.compact()
        out = x._like()
        getattr(out._device.mod, "ewise_" + op)(x._handle, out._handle)
        return out

    def __add__(self, other: Any) -> NDArray:
        return self._map(other, "add")

    __radd__ = __add__

    def __mul__(self, other: Any) -> NDArray:
        return self._map(other, "mul")

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> NDArray:
        return self._map(other, "sub")

    def __rsub__(self, other: Any) -> NDArray:
        return (-self)._map(other, "add")

    def __truediv__(self, other: Any) -> NDArray:
        return self._map(other, "div")

    def __rtruediv__(self, other: Any) -> NDArray:
        return self._device.full(self._shape, other) / self

    def __neg__(self) -> NDArray:
        return self._map1("neg")

    def __pow__(self, other: Any) -> NDArray:
        return self._map(other, "power")

    def maximum(self, other: Any) -> NDArray:
        """The larger of the two, element by element; NaN where either is NaN."""
        return self._map(other, "maximum")

    def __eq__(self, other: Any) -> NDArray:  # type: ignore[override]
        return self._map(other, "eq")

    def __ge__(self, other: Any) -> NDArray:
        return self._map(other, "ge")

    def __ne__(self, other: Any) -> NDArray:  # type: ignore[override]
        return 1 - (self == other)

    def __gt__(self, other: Any) -> NDArray:
        return (self >= other) * (self != other)

    def __lt__(self, other: Any) -> NDArray:
        return (-self) > (-other)

    def __le__(self, other: Any) -> NDArray:
        return (-self) >= (-other)

    __hash__ = None  # type: ignore[assignment]

    def log(self) -> NDArray:
        """Natural logarithm."""
        return self._map1("log")

    def exp(self) -> NDArray:
        """e to the power of each element."""
        return self._map1("exp")

    def tanh(self) -> NDArray:
        """Hyperbolic tangent."""
        return self._map1("tanh")

    def __matmul__(self, other: Any) -> NDArray:
        """Matrix product over the last two axes; leading axes broadcast as in numpy."""
        return kernels(self).matmul(self, other)

    # -- reductions --------------------------------------------------------------------------------------------------

    def reduce_view_out(self, axis: Axes, keepdims: bool = False) -> tuple[NDArray, NDArray]:
        """A compact array whose last axis is to be reduced, and the array for the result."""
        axis = as_axes(axis)
        shape = reduced_shape(self._shape, axis, keepdims)
        axes = distinct_axes("reduce", len(self._shape), axis)
        kept = tuple(a for a in range(len(self._shape)) if a not in axes)
        view = self.permute(kept + axes).compact()
        sizes = (*(self._shape[a] for a in kept), prod(self._shape[a] for a in axes))
        return view.reshape(sizes), self.make(shape, device=self._device)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> NDArray:
        """Sum over the given axes; over all of them the shape is (1,), or all ones with keepdims."""
        return reduce(self, "reduce_sum", axis, keepdims).compact()

    def max(self, axis: Axes = None, keepdims: bool = False) -> NDArray:
        """Maximum over the given axes; over all of them the shape is (1,), or all ones with keepdims."""
        return reduce(self, "reduce_max", axis, keepdims).compact()


def reduce(x: Any, name: str, axis: Axes, keepdims: bool) -> NDArray:
    """A reduction of the axes; the compiled backend works in the order of memory, and what remains keeps that order."""
    axis = as_axes(axis)
    if name != "reduce_sum" and 0 in x._shape and 0 not in reduced_shape(x._shape, axis, False):
        raise ShapeError(f"[{name[-3:]}] needs at least one element to reduce, got {x._shape} over axes {axis}")
    by_axis = getattr(x._device.mod, name + "_axis", None)
    if by_axis is None:
        view, result = x.reduce_view_out(axis, keepdims)
        getattr(x._device.mod, name)(view._handle, result._handle, view._shape[-1])
        return result
    if not is_dense(x._shape, x._strides):
        x = x.compact()
    passes, shape, strides = reduction(x._shape, x._strides, axis, keepdims)
    handle, offset = x._handle, x._offset
    for outer, k, inner in passes:
        out = x._device.mod.Array(outer * inner)
        by_axis(handle, offset, outer, k, inner, out)
        handle, offset = out, 0
    return x.make(shape, strides, x._device, handle)
