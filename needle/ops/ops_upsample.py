"""Images of another size: each output pixel is the nearest input pixel, or lies between the four around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend_ndarray.bands import Bands, linear, nearest
from ..backend_ndarray.kernels import kernels
from ..errors import DTypeError, ShapeError
from ..types import Type
from .attributes import Pair, pair
from .dtype_rules import real
from .ops_pool import Resample

__all__ = ["Upsample", "upsample"]

Scales = tuple[float, float]
MODES = {"nearest": nearest, "bilinear": linear}


@dataclass(frozen=True)
class Upsample(TensorOp):
    """y[n,i,j,c] = x[n, i / scale, j / scale, c], rounded down, or between neighbours at (i + 1/2) / scale - 1/2

    x (N, H, W, C), y (N, H', W', C) with (H', W') = size, larger or smaller; scale (rows, columns) is H' / H and W' / W
    where it is not given. `mode` is "nearest" or "bilinear" (linear along both axes, edges held; PyTorch's
    align_corners=False).
    """

    size: Pair
    mode: str = "nearest"
    scale: Scales | None = None

    def infer(self, x: Type) -> Type:
        if len(x.shape) != 4 or 0 in x.shape[1:3]:
            raise ShapeError(f"[upsample] needs images (N, H, W, C) with H, W > 0, got {x.shape}")
        if min(self.size) < 1 or self.mode not in MODES:
            needs = f"a size of 1 or more each way and a mode of {', '.join(MODES)}"
            raise ShapeError(f"[upsample] needs {needs}, got {self.size} and {self.mode!r}")
        if self.scale is not None and not all(0 < s < float("inf") for s in self.scale):
            raise ShapeError(f"[upsample] needs positive, finite scales, got {self.scale}")
        return real(Type((x.shape[0], *self.size, x.shape[3]), x.dtype))

    def compute(self, x: Any) -> Any:
        return kernels(x).resample(x, *self.bands(x))

    def gradient(self, out_grad: Tensor, node: Any) -> Any:
        rows, columns = self.bands(node.inputs[0])
        return Resample(rows.transposed, columns.transposed)(out_grad)

    def bands(self, x: Any) -> tuple[Bands, Bands]:
        """What the rows and the columns of the output read of those of x (N, H, W, C)."""
        steps = self.scale or (None, None)
        rows, columns = (MODES[self.mode](int(x.shape[1 + i]), self.size[i], steps[i]) for i in range(2))
        return rows, columns


def upsample(
    x: Tensor, scale: float | Sequence[float] | None = None, mode: str = "nearest", size: int | Pair | None = None
) -> Tensor:
    """Images x (N, H, W, C) `scale` times as large (rounded down), or of the given `size`; see `Upsample`.

    Scale and size are a number, or (rows, columns). Raises ShapeError unless exactly one of them is given, DTypeError
    for what is no Tensor.
    """
    if (scale is None) == (size is None):
        raise ShapeError(f"[upsample] needs either a scale or a size, got {scale} and {size}")
    if not isinstance(x, Tensor):
        raise DTypeError(f"[upsample] needs a Tensor, got {type(x).__name__}")
    if size is not None:
        return Upsample(pair(size), mode)(x)
    scales = (scale, scale) if isinstance(scale, int | float) else tuple(scale or ())
    if len(scales) != 2 or len(x.shape) != 4:
        given = f"{tuple(x.shape)} and {scale}"
        raise ShapeError(f"[upsample] needs images (N, H, W, C) and one or two scales, got {given}")
    across = float(scales[0]), float(scales[1])
    if not all(0 <= s < 2**31 for s in across):
        raise ShapeError(f"[upsample] scales must be numbers from 0 on, got {scale}")
    height, width = (int(n * s) for n, s in zip(x.shape[1:3], across, strict=True))
    return Upsample((height, width), mode, across)(x)
