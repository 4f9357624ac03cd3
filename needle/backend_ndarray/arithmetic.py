"""The operators of NDArray: elementwise arithmetic, comparisons (1.0 and 0.0), reductions, matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from needle.errors import DeviceError, ShapeError

from .kernels import kernels
from .layout import is_dense, reduction

if TYPE_CHECKING:
    from .ndarray import NDArray

Axes = int | Sequence[int] | None


class Arithmetic:
    """Operators on arrays of equal shapes, or on an array and a number; results are new, compact arrays."""

    __slots__ = ()

    def ewise_or_scalar(self: Any, other: Any, ewise_func: Callable[..., None], scalar_func: Callable[..., None]) -> NDArray:
        """out = ewise_func(self, other) for an array of the same shape and device, scalar_func(self, other) for a number.

        Both write to the handle that is their last argument.
        """
        out = self.make(self._shape, device=self._device)
        if isinstance(other, Arithmetic):
            self._same_kind(other)
            ewise_func(self.compact()._handle, other.compact()._handle, out._handle)
        else:
            scalar_func(self.compact()._handle, other, out._handle)
        return out

    def _same_kind(self: Any, other: Any) -> None:
        """Refuse operands of different shapes or devices."""
        if self._shape != other._shape:
            raise ShapeError(f"[elementwise] shapes must be equal, got {self._shape} and {other._shape}")
        if self._device != other._device:
            raise DeviceError(f"[elementwise] operands must be on one device, got {self._device} and {other._device}")

    def _map(self: Any, other: Any, op: str) -> NDArray:
        """ewise_<op> or scalar_<op>; the compiled backend reads operands that are not compact where they lie."""
        mod = self._device.mod
        array = isinstance(other, Arithmetic)
        compact = self._compact or self.is_compact()
        if array:
            self._same_kind(other)
            compact = compact and (other._compact or other.is_compact())  # type: ignore[attr-defined]
        strided = None if compact else getattr(mod, ("strided_" if array else "strided_scalar_") + op, None)
        if strided is None:
            return self.ewise_or_scalar(other, getattr(mod, "ewise_" + op, None), getattr(mod, "scalar_" + op, None))
        out = self.make(self._shape, device=self._device)
        second = (other._handle, other._strides, other._offset) if array else (other,)  # type: ignore[attr-defined]
        strided(self._shape, self._handle, self._strides, self._offset, *second, out._handle, out._strides)
        return out

    def _map1(self: Any, op: str) -> NDArray:
        out = self.make(self._shape, device=self._device)
        getattr(self._device.mod, "ewise_" + op)(self.compact()._handle, out._handle)
        return out

    def __add__(self, other: Any) -> NDArray:
        return self._map(other, "add")

    __radd__ = __add__

    def __mul__(self, other: Any) -> NDArray:
        return self._map(other, "mul")

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> NDArray:
        return self._map(other, "sub") if isinstance(other, Arithmetic) else self._map(-other, "add")

    def __rsub__(self, other: Any) -> NDArray:
        return (-self)._map(other, "add")

    def __truediv__(self, other: Any) -> NDArray:
        return self._map(other, "div")

    def __rtruediv__(self: Any, other: Any) -> NDArray:
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

    def __matmul__(self: Any, other: Any) -> NDArray:
        """Matrix product over the last two axes; leading axes broadcast as in numpy."""
        if not hasattr(kernels(self), "matmul"):
            return type(self)(self.numpy() @ other.numpy(), device=self._device)
        return kernels(self).matmul(self, other)

    # -- reductions --------------------------------------------------------------------------------------------------

    def _axes(self: Any, where: str, axes: Axes) -> tuple[int, ...]:
        """Axes as distinct numbers 0..ndim-1; None is all of them."""
        ndim = len(self._shape)
        given = range(ndim) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        found = tuple(sorted({axis % ndim for axis in given if -ndim <= axis < ndim}))
        if len(found) != len(given):
            raise ShapeError(f"[{where}] axes must be distinct and lie in {-ndim}..{ndim - 1}, got {axes}")
        return found

    def reduce_view_out(self: Any, axis: Axes, keepdims: bool = False) -> tuple[NDArray, NDArray]:
        """A compact array whose last axis is to be reduced, and the array for the result."""
        if isinstance(axis, tuple | list) and not axis:
            raise ShapeError("[reduce] needs at least one axis, got an empty tuple")
        axes = self._axes("reduce", axis)
        kept = tuple(a for a in range(self.ndim) if a not in axes)
        sizes = tuple(self._shape[a] for a in kept)
        view = self.permute(kept + axes).compact().reshape((*sizes, prod(self._shape[a] for a in axes)))
        shape = tuple(1 if a in axes else n for a, n in enumerate(self._shape)) if keepdims else sizes
        if axis is None and not keepdims:
            shape = (1,)
        return view, self.make(shape, device=self._device)

    def _reduce(self: Any, name: str, axis: Axes, keepdims: bool) -> NDArray:
        by_axis = getattr(self._device.mod, name + "_axis", None)
        if by_axis is None or not is_dense(self._shape, self._strides):
            view, out = self.reduce_view_out(axis, keepdims)
            getattr(self._device.mod, name)(view._handle, out._handle, view._shape[-1])
            return out
        return reduce_dense(self, by_axis, axis, keepdims).compact()

    def sum(self, axis: Axes = None, keepdims: bool = False) -> NDArray:
        """Sum over the given axes; over all of them the shape is (1,), or all ones with keepdims."""
        return self._reduce("reduce_sum", axis, keepdims)

    def max(self: Any, axis: Axes = None, keepdims: bool = False) -> NDArray:
        """Maximum over the given axes; over all of them the shape is (1,), or all ones with keepdims."""
        if 0 in (self._shape[a] for a in self._axes("max", axis)):
            raise ShapeError(f"[max] needs at least one element to reduce, got {self._shape} over axes {axis}")
        return self._reduce("reduce_max", axis, keepdims)


def reduce_dense(x: Any, by_axis: Callable[..., None], axis: Axes, keepdims: bool) -> NDArray:
    """A reduction of a dense array in the order of its memory; what remains keeps that order."""
    if isinstance(axis, tuple | list) and not axis:
        raise ShapeError("[reduce] needs at least one axis, got an empty tuple")
    axes = x._axes("reduce", axis)
    passes, strides = reduction(x._shape, x._strides, axes)
    handle, offset = x._handle, x._offset
    for outer, k, inner in passes or ((prod(x._shape), 1, 1),):
        out = x._device.mod.Array(outer * inner)
        by_axis(handle, offset, outer, k, inner, out)
        handle, offset = out, 0
    shape = tuple(1 if a in axes else n for a, n in enumerate(x._shape))
    if not keepdims:
        shape = tuple(n for a, n in enumerate(shape) if a not in axes)
        strides = tuple(n for a, n in enumerate(strides) if a not in axes)
        if axis is None:
            shape, strides = (1,), (1,)
    return x.make(shape, strides, x._device, handle)
