"""Ops of quantized networks: a byte q of a map stands for the number (q - zero) step.

Sums of products are whole numbers and exact; what comes after is float32, rounded operation by operation as written
here, so that every engine, instruction set, batch and number of threads gives the same bits. Made after training, they
have no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.autograd import TensorOp
from needle.errors import DTypeError, ShapeError
from needle.types import Type

from .arrays import as_numpy, like, of_kind

GROUP = 4  # bytes of the depth that kernels multiply at once
MOST_PRODUCTS = (2**31 - 2**25) // (2 * 255 * 127)  # whose sum and what it begins with stay within an int32


@dataclass(frozen=True)
class Quantize(TensorOp):
    """q = min(max(round(x / step) + zero, 0), 255), half to even; NaN is the smallest

    Behind the last axis come bytes `zero` until its size is a multiple of `multiple`.
    """

    step: float
    zero: int = 0
    multiple: int = 1

    def infer(self, x: Type) -> Type:
        """Shaped like x but for the last axis, uint8."""
        _check_zero("quantize", self.zero)
        if x.dtype != "float32" or not x.shape:
            raise DTypeError(f"[quantize] needs float32 of one axis or more, got {x.dtype}{x.shape}")
        if not 0 < self.step < float("inf") or self.multiple < 1:
            raise ShapeError(f"[quantize] needs step > 0 and multiple >= 1, got {self.step}, {self.multiple}")
        return Type((*x.shape[:-1], -(-x.shape[-1] // self.multiple) * self.multiple), "uint8")

    def compute(self, x: Any) -> Any:
        array = as_numpy(x).astype(numpy.float32, copy=False)
        found = to_bytes(array * numpy.float32(1 / self.step), self.zero)
        more = -found.shape[-1] % self.multiple
        return of_kind(x, numpy.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, more)], constant_values=self.zero))


@dataclass(frozen=True)
class Dequantize(TensorOp):
    """y = (q - zero) step"""

    step: float
    zero: int = 0

    def infer(self, q: Type) -> Type:
        """Shaped like q, float32."""
        _check_zero("dequantize", self.zero)
        _check_dtypes("dequantize", (q,), ("uint8",))
        return Type(q.shape, "float32")

    def compute(self, q: Any) -> Any:
        return of_kind(q, floats_of(as_numpy(q), self.zero) * numpy.float32(self.step))


class QuantizedProduct(TensorOp):
    """v = scale (start + x * w), relu, + (r - other) ratio, relu, as the epilogue says; then bytes round(v) + result

    Inputs are x uint8, w int8, start int32 (Co,), scale float32 (Co,), and for "add" r, uint8 shaped like the result.
    With dtype "float32" the result is v itself. `scale` and `ratio` are in steps of the result.
    """

    epilogue: tuple[str, ...]
    ratio: float
    other: int
    result: int
    dtype: str

    def _result(self, out: Type, depth: int, start: Type, scale: Type, more: tuple[Type, ...]) -> Type:
        """The type of the result, if everything fits."""
        where = "quantized product"
        for zero in (self.other, self.result):
            _check_zero(where, zero)
        if self.epilogue not in EPILOGUES or self.dtype not in ("uint8", "float32"):
            raise ShapeError(
                f"[{where}] needs an epilogue of {EPILOGUES} and a result of uint8 or float32, got {self.epilogue} and "
                f"{self.dtype}"
            )
        if depth > MOST_PRODUCTS:
            raise ShapeError(f"[{where}] sums at most {MOST_PRODUCTS} products in 32 bits, got {depth}")
        _check_dtypes(where, (start, scale, *more), ("int32", "float32", *["uint8"] * len(more)))
        needed = [out.shape[-1:], out.shape[-1:], *[out.shape] * ("add" in self.epilogue)]
        if [tuple(x.shape) for x in (start, scale, *more)] != needed:
            given = [x.shape for x in (start, scale, *more)]
            raise ShapeError(f"[{where}] needs start, scale and what is added of shapes {needed}, got {given}")
        return Type(out.shape, self.dtype)

    def _finish(self, x: Any, sums: numpy.ndarray, start: Any, scale: Any, more: tuple[Any, ...]) -> Any:
        """Float32, one operation after the other, as csrc/nd/byte_conv.h."""
        v = (sums + as_numpy(start)).astype(numpy.int32).astype(numpy.float32) * as_numpy(scale)
        for step in self.epilogue:
            v = v + floats_of(as_numpy(more[0]), self.other) * numpy.float32(self.ratio) if step == "add" else _relu(v)
        return of_kind(x, v if self.dtype == "float32" else to_bytes(v, self.result))


EPILOGUES = ((), ("relu",), ("add",), ("relu", "add"), ("add", "relu"), ("relu", "add", "relu"))


@dataclass(frozen=True)
class QuantizedConv(QuantizedProduct):
    """The convolution of x (N, H, W, Ci), around which bytes `zero` lie, with w (K, K, Ci, Co), as `QuantizedProduct`

    Ci is a multiple of 4.
    """

    stride: int = 1
    padding: int = 0
    zero: int = 0
    epilogue: tuple[str, ...] = ()
    ratio: float = 1.0
    other: int = 0
    result: int = 0
    dtype: str = "uint8"

    def infer(self, x: Type, w: Type, start: Type, scale: Type, *more: Type) -> Type:
        """(N, Ho, Wo, Co) with Ho = (H + 2 padding - K) // stride + 1."""
        _check_zero("quantized conv", self.zero)
        _check_dtypes("quantized conv", (x, w), ("uint8", "int8"))
        if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[0] != w.shape[1] or x.shape[3] != w.shape[2]:
            raise ShapeError(f"[quantized conv] needs x (N, H, W, Ci), w (K, K, Ci, Co), got {x.shape} and {w.shape}")
        if self.stride < 1 or self.padding < 0 or w.shape[2] % GROUP or not w.shape[2]:
            given = f"{self.stride}, {self.padding} and {w.shape[2]}"
            raise ShapeError(f"[quantized conv] needs stride >= 1, padding >= 0 and Ci of 4, 8, 12, ..., got {given}")
        rows, columns = ((size + 2 * self.padding - w.shape[0]) // self.stride + 1 for size in x.shape[1:3])
        if rows < 1 or columns < 1:
            given = f"{w.shape} does not fit into {x.shape}, padded {self.padding}"
            raise ShapeError(f"[quantized conv] the kernel {given}")
        out = Type((x.shape[0], rows, columns, w.shape[3]), "uint8")
        return self._result(out, w.shape[0] * w.shape[1] * w.shape[2], start, scale, more)

    def compute(self, x: Any, w: Any, start: Any, scale: Any, *more: Any) -> Any:
        array, taps, p = as_numpy(x), as_numpy(w), self.padding
        padded = numpy.pad(array, ((0, 0), (p, p), (p, p), (0, 0)), constant_values=self.zero).astype(numpy.float64)
        rows, columns = ((n + 2 * p - taps.shape[0]) // self.stride + 1 for n in array.shape[1:3])
        sums = numpy.zeros((len(array), rows, columns, taps.shape[3]))  # of whole numbers, which float64 holds exactly
        for i, j in numpy.ndindex(taps.shape[:2]):
            stop = i + (rows - 1) * self.stride + 1, j + (columns - 1) * self.stride + 1
            sums += padded[:, i : stop[0] : self.stride, j : stop[1] : self.stride] @ taps[i, j].astype(numpy.float64)
        return self._finish(x, sums.astype(numpy.int64), start, scale, more)


@dataclass(frozen=True)
class QuantizedMatMul(QuantizedProduct):
    """x @ w of x (M, K) and w (K, N), K a multiple of 4, as `QuantizedProduct`"""

    epilogue: tuple[str, ...] = ()
    ratio: float = 1.0
    other: int = 0
    result: int = 0
    dtype: str = "uint8"

    def infer(self, x: Type, w: Type, start: Type, scale: Type, *more: Type) -> Type:
        """(M, N)."""
        _check_dtypes("quantized matmul", (x, w), ("uint8", "int8"))
        if len(x.shape) != 2 or len(w.shape) != 2 or x.shape[1] != w.shape[0]:
            raise ShapeError(f"[quantized matmul] inner sizes must agree, got {x.shape} @ {w.shape}")
        if w.shape[0] % GROUP or not w.shape[0]:
            raise ShapeError(f"[quantized matmul] needs K of 4, 8, 12, ..., got {w.shape[0]}")
        return self._result(Type((x.shape[0], w.shape[1]), "uint8"), w.shape[0], start, scale, more)

    def compute(self, x: Any, w: Any, start: Any, scale: Any, *more: Any) -> Any:
        sums = as_numpy(x).astype(numpy.float64) @ as_numpy(w).astype(numpy.float64)
        return self._finish(x, sums.astype(numpy.int64), start, scale, more)


@dataclass(frozen=True)
class ByteTable(TensorOp):
    """y = table[q], or y[..., c] = table[c][q[..., c]]: any function of one number, on bytes

    The table is uint8, (256,) or (C, 256) for the channels of the last axis.
    """

    def infer(self, q: Type, table: Type) -> Type:
        """Shaped like q, uint8."""
        _check_dtypes("byte table", (q, table), ("uint8", "uint8"))
        if not q.shape or table.shape not in ((256,), (q.shape[-1], 256)):
            given = f"{table.shape} for {q.shape}"
            raise ShapeError(f"[byte table] needs a table (256,) or (C, 256) for bytes (..., C), got {given}")
        return q

    def compute(self, q: Any, table: Any) -> Any:
        array, found = as_numpy(q), as_numpy(table)
        return of_kind(q, found[array] if found.ndim == 1 else found[numpy.arange(array.shape[-1]), array])


@dataclass(frozen=True)
class PackBytes(TensorOp):
    """(K, N) as [ceil(N / 16)][K / 4][16][4], zeros behind column N: the layout of weights in csrc/nd/byte_dots.h"""

    def infer(self, w: Type) -> Type:
        """(ceil(N / 16), K / 4, 16, 4)."""
        _check_dtypes("pack bytes", (w,), ("int8",))
        if len(w.shape) != 2 or w.shape[0] % GROUP:
            raise ShapeError(f"[pack bytes] needs a matrix of 4, 8, 12, ... rows, got {w.shape}")
        return Type((-(-w.shape[1] // 16), w.shape[0] // GROUP, 16, GROUP), "int8")

    def compute(self, w: Any) -> Any:
        rows, columns = w.shape
        padded = numpy.zeros((rows, -(-columns // 16) * 16), dtype=numpy.int8)
        padded[:, :columns] = as_numpy(w)
        return like(w, padded.reshape(rows // GROUP, GROUP, -1, 16).transpose(2, 0, 3, 1))


def to_bytes(v: numpy.ndarray, zero: int) -> numpy.ndarray:
    """round(v) + zero within 0..255: what is outside becomes the nearest of them, NaN 0."""
    low, high = numpy.float32(-zero), numpy.float32(255 - zero)
    within = numpy.where(v > low, v, low)
    within = numpy.where(within < high, within, high)
    return (numpy.rint(within).astype(numpy.int32) + zero).astype(numpy.uint8)


def floats_of(q: numpy.ndarray, zero: int) -> numpy.ndarray:
    """q - zero as float32."""
    return (q.astype(numpy.int32) - zero).astype(numpy.float32)


def _relu(v: numpy.ndarray) -> numpy.ndarray:
    return numpy.where(v > 0, v, numpy.float32(0))


def _check_zero(where: str, zero: int) -> None:
    if not 0 <= zero <= 255:
        raise ShapeError(f"[{where}] what stands for zero must be 0..255, got {zero}")


def _check_dtypes(where: str, given: tuple[Type, ...], needed: tuple[str, ...]) -> None:
    if tuple(x.dtype for x in given) != needed:
        raise DTypeError(f"[{where}] needs {', '.join(needed)}, got {', '.join(x.dtype for x in given)}")
