"""The operators of NDArray: elementwise arithmetic, comparisons (1.0 and 0.0), reductions, matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from needle.errors import DeviceError, DTypeError, ShapeError
from needle.types import number_of, promote, promote_number, summed

from .kernels import kernels
from .layout import as_axes, distinct_axes, is_dense, reduced_shape, reduction
from .ndarray_backend_cpu import Array as FloatArray
from .ndarray_backend_numpy import FUNCTIONS

if TYPE_CHECKING:
    from .devices import BackendDevice
    from .ndarray import NDArray

Axes = int | Sequence[int] | None
Function = Callable[..., None]


class Arithmetic:
    """Operators on arrays of equal shapes, or on an array and a number; results are new, compact arrays.

    Operands of different dtypes meet by the rule of needle.types; comparisons give 1.0 and 0.0 in float32.
    """

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
    astype: Any
    shared: Any
    sharing: Any
    make: Any
    _like: Any

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

    def _same_kind(self, other: Any) -> None:
        """Refuse operands of different shapes or devices."""
        if self._shape != other._shape:
            raise ShapeError(f"[elementwise] shapes must be equal, got {self._shape} and {other._shape}")
        if self._device != other._device:
            raise DeviceError(f"[elementwise] operands must be on one device, got {self._device} and {other._device}")

    def _map(self, other: Any, op: str) -> NDArray:
        """ewise_<op>(self, other) or scalar_<op>(self, other)."""
        handle = self._handle
        if handle.__class__ is not FloatArray:
            return self._map_numpy(other, op)
        if isinstance(other, Arithmetic):
            if other._handle.__class__ is not FloatArray:
                return self._map_numpy(other, op)
            if not (self._compact or self.is_compact()) or not (other._compact or other.is_compact()):
                return self._map_strided(other, op)
            if self._shape != other._shape or self._device is not other._device:
                self._same_kind(other)
            out = self._like()
            getattr(handle.module, "ewise_" + op)(handle, other._handle, out._handle)
            return out
        if not isinstance(other, float):
            other = number_of(op, other, "float32")
        if not (self._compact or self.is_compact()):
            return self._map_strided(other, op)
        out = self._like()
        getattr(handle.module, "scalar_" + op)(handle, other, out._handle)
        return out

    def _map_strided(self, other: Any, op: str) -> NDArray:
        """The same for operands that are not compact: the compiled backend reads them where they lie."""
        mod, array = self._handle.module, isinstance(other, Arithmetic)
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
        if self._handle.__class__ is not FloatArray:
            return self._map_numpy(None, op)
        x = self.compact()
        out = x._like()
        getattr(x._handle.module, "ewise_" + op)(x._handle, out._handle)
        return out

    def _map_numpy(self, other: Any, op: str) -> NDArray:
        """The same by numpy's function, for every dtype."""
        function, dtype, operands = FUNCTIONS[op], self._handle.dtype, [self]
        if function.nin == 2 and isinstance(other, Arithmetic):
            self._same_kind(other)
            dtype = promote(dtype, other._handle.dtype)
            operands.append(other)
        elif function.nin == 2:
            other = number_of(op, other, dtype)
            dtype = promote_number(dtype, other)
        real = op in ("log", "exp", "tanh", "div") and not dtype.startswith("float")
        values = [x.shared().astype("float64" if real else dtype, copy=False) for x in operands]
        values += [other] * (function.nin - len(values))
        try:
            with np.errstate(all="ignore"):
                result = function(*values)
        except (TypeError, ValueError) as refusal:  # -bool, bool - bool, int ** -1
            raise DTypeError(f"[{op}] is not defined for {dtype}: {refusal}; astype('float32') casts") from None
        compared = op in ("eq", "ne", "ge", "gt", "le", "lt")
        return self.sharing(np.asarray(result, dtype="float32" if compared or real else dtype), self._device)

    def _compare(self, other: Any, op: str) -> NDArray | None:
        """A comparison by numpy, or None where both are compiled arrays, which know only == and >=."""
        handles = [x._handle for x in (self, other) if isinstance(x, Arithmetic)]
        return None if all(h.__class__ is FloatArray for h in handles) else self._map_numpy(other, op)

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
        dtype = self._handle.dtype
        return self._device.full(self._shape, other, dtype if dtype == "float64" else "float32") / self

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
        compared = self._compare(other, "ne")
        return 1 - (self == other) if compared is None else compared

    def __gt__(self, other: Any) -> NDArray:
        compared = self._compare(other, "gt")
        return (self >= other) * (self != other) if compared is None else compared

    def __lt__(self, other: Any) -> NDArray:
        compared = self._compare(other, "lt")
        return (-self) > (-other) if compared is None else compared

    def __le__(self, other: Any) -> NDArray:
        compared = self._compare(other, "le")
        return (-self) >= (-other) if compared is None else compared

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
        dtype = promote(self._handle.dtype, other._handle.dtype)
        a = self.astype(dtype)
        return kernels(a).matmul(a, other.astype(dtype))

    # -- reductions --------------------------------------------------------------------------------------------------

    def reduce_view_out(self, axis: Axes, keepdims: bool = False) -> tuple[NDArray, NDArray]:
        """A compact array whose last axis is to be reduced, and the array for the result."""
        axis = as_axes(axis)
        shape = reduced_shape(self._shape, axis, keepdims)
        axes = distinct_axes("reduce", len(self._shape), axis)
        kept = tuple(a for a in range(len(self._shape)) if a not in axes)
        view = self.permute(kept + axes).compact()
        sizes = (*(self._shape[a] for a in kept), prod(self._shape[a] for a in axes))
        return view.reshape(sizes), self.make(shape, device=self._device, dtype=self._handle.dtype)

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
    by_axis = getattr(x._handle.module, name + "_axis", None)
    if by_axis is None:
        x = x.astype(summed(x.dtype)) if name == "reduce_sum" else x
        view, result = x.reduce_view_out(axis, keepdims)
        getattr(x._handle.module, name)(view._handle, result._handle, view._shape[-1])
        return result
    if not is_dense(x._shape, x._strides):
        x = x.compact()
    passes, shape, strides = reduction(x._shape, x._strides, axis, keepdims)
    handle, offset, module = x._handle, x._offset, x._handle.module
    for outer, k, inner in passes:
        out = module.Array(outer * inner)
        by_axis(handle, offset, outer, k, inner, out)
        handle, offset = out, 0
    return x.make(shape, strides, x._device, handle)
