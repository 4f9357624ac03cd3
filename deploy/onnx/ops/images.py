"""Images: other sizes, samples at given places, regions and boxes, deformed convolutions, files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy

from needle.errors import ShapeError
from needle.sizes import Size
from needle.types import Type

from .base import NumpyOp, counted

Ints = tuple[int, ...]
Numbers = tuple[float, ...]


def cubic(x: Any, a: float) -> Any:
    """Keys' cubic convolution kernel with parameter a."""
    x = numpy.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return numpy.where(x <= 1, near, numpy.where(x < 2, far, 0.0))


def tent(x: Any, a: float) -> Any:
    """1 - |x| on [-1, 1]"""
    return numpy.clip(1 - numpy.abs(x), 0, 1)


KERNELS: dict[str, tuple[Callable[[Any, float], Any], int]] = {"linear": (tent, 1), "cubic": (cubic, 2)}
ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda x: numpy.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: numpy.floor(x + 0.5),
    "floor": numpy.floor,
    "ceil": numpy.ceil,
}


@dataclass(frozen=True)
class Resize(NumpyOp):
    """y[i, ...] = sum_a k(a - place(i)) x[a, ...] / sum_a k(a - place(i)) along each of `axes`, edges held

    place(i) by `coordinates`: half_pixel (i + 1/2) / scale - 1/2, asymmetric i / scale, align_corners and the others of
    the standard; without scales they are the quotients of the sizes. k is the tent of "linear", Keys' kernel of
    "cubic"; "nearest" takes one element.
    """

    axes: Ints
    size: Ints
    scales: Numbers
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0
    roi: Numbers = ()

    def infer(self, x: Type) -> Type:
        if self.mode not in ("nearest", *KERNELS) or self.nearest not in ROUNDINGS:
            raise ShapeError(f"[resize] unknown mode {self.mode!r} or rounding {self.nearest!r}")
        shape = list(x.shape)
        for axis, n in zip(self.axes, self.size, strict=True):
            shape[axis] = n
        return Type(tuple(shape), x.dtype)

    def value(self, x: Any) -> Any:
        y = x
        for k, axis in enumerate(self.axes):
            n, out = y.shape[axis], int(self.size[k])
            scale = self.scales[k] if self.scales else out / n
            if n == out and scale == 1 and not self.roi:
                continue
            places = self.places_of(k, n, out, scale)
            if self.mode == "nearest":
                y = numpy.take(y, self.taken(places, n), axis)
            else:
                matrix = self.weights_of(places, n, scale)
                y = numpy.moveaxis(numpy.tensordot(matrix, y.astype("float64"), (1, axis)), 0, axis)
            if self.coordinates == "tf_crop_and_resize":
                beyond = (places < 0) | (places > n - 1)
                y = numpy.where(beyond.reshape([-1 if i == axis else 1 for i in range(y.ndim)]), self.extrapolation, y)
        if x.dtype.kind in "iu" and y.dtype.kind == "f":
            y = numpy.rint(y)
        return y.astype(x.dtype)

    def taken(self, places: Any, n: int) -> Any:
        """The nearest of n elements."""
        return numpy.clip(ROUNDINGS[self.nearest](places), 0, n - 1).astype("int64")

    def places_of(self, k: int, n: int, out: int, scale: float) -> Any:
        """Where on the axis of n elements the `out` elements lie."""
        i, wide = numpy.arange(out, dtype="float64"), scale * n
        match self.coordinates:
            case "half_pixel":
                return (i + 0.5) / scale - 0.5
            case "pytorch_half_pixel":
                return numpy.full(out, -0.5) if wide == 1 else (i + 0.5) / scale - 0.5
            case "half_pixel_symmetric":
                return n / 2 * (1 - out / wide) + (i + 0.5) / scale - 0.5
            case "tf_half_pixel_for_nn":
                return (i + 0.5) / scale
            case "asymmetric":
                return i / scale
            case "align_corners":
                return numpy.zeros(out) if out == 1 or wide == 1 else i * (n - 1) / (wide - 1)
            case "tf_crop_and_resize":
                half = len(self.roi) // 2
                start, end = self.roi[k], self.roi[half + k]
                if wide == 1:
                    return numpy.full(out, (start + end) * (n - 1) / 2)
                return start * (n - 1) + i * (end - start) * (n - 1) / (wide - 1)
        raise ShapeError(f"[resize] unknown coordinates {self.coordinates!r}")

    def weights_of(self, places: Any, n: int, scale: float) -> Any:
        """The matrix (out, n) of one axis."""
        kernel, reach = KERNELS[self.mode]
        squeeze = min(scale, 1.0) if self.antialias else 1.0
        reach = int(numpy.ceil(reach / squeeze)) + 1
        base = numpy.floor(places).astype("int64")
        near = base[:, None] + numpy.arange(-reach, reach + 2)
        weights = kernel((near - places[:, None]) * squeeze, self.cubic_a)
        if self.exclude_outside:
            weights = numpy.where((near >= 0) & (near < n), weights, 0.0)
        if self.antialias or self.exclude_outside:
            weights = weights / weights.sum(1, keepdims=True)
        matrix = numpy.zeros((len(places), n))
        numpy.add.at(matrix, (numpy.arange(len(places))[:, None], numpy.clip(near, 0, n - 1)), weights)
        return matrix


@dataclass(frozen=True)
class GridSample(NumpyOp):
    """y[n, c, i] = x[n, c, grid[n, i]], places in -1..1 along each axis, last one first, between elements by `mode`"""

    mode: str
    padding: str
    align: bool

    def infer(self, x: Type, grid: Type) -> Type:
        if grid.shape[-1] != len(x.shape) - 2:
            raise ShapeError(f"[grid_sample] needs {len(x.shape) - 2} numbers for each place, got {grid.shape}")
        return Type((*x.shape[:2], *grid.shape[1:-1]), x.dtype)

    def value(self, x: Any, grid: Any) -> Any:
        size, rank = x.shape[2:], x.ndim - 2
        places = [self._moved(grid[..., rank - 1 - k].astype("float64"), n) for k, n in enumerate(size)]
        if self.mode == "nearest":
            return self._at(x, [numpy.rint(p).astype("int64") for p in places]).astype(x.dtype)
        kernel, reach = KERNELS[self.mode]
        y: Any = 0.0
        base = [numpy.floor(p).astype("int64") for p in places]
        for step in product(range(1 - reach, 1 + reach), repeat=rank):
            near = [b + s for b, s in zip(base, step, strict=True)]
            share: Any = 1.0
            for at, p in zip(near, places, strict=True):
                share = share * kernel(at - p, -0.75)
            y = y + self._at(x, near) * share[:, None]
        return y.astype(x.dtype)

    def _moved(self, p: Any, n: int) -> Any:
        """A place in -1..1 as one among n elements, inside by `padding`."""
        p = (p + 1) / 2 * (n - 1) if self.align else ((p + 1) * n - 1) / 2
        if self.mode == "nearest":
            p = numpy.rint(p)
        if self.mode == "cubic":
            return p
        if self.padding == "border":
            return numpy.clip(p, 0, n - 1)
        return self._mirrored(p, n) if self.padding == "reflection" else p

    def _mirrored(self, p: Any, n: int) -> Any:
        low, high = (0.0, n - 1.0) if self.align else (-0.5, n - 0.5)
        span = high - low
        if span <= 0:
            return numpy.zeros_like(p)
        q = numpy.abs(p - low) % (2 * span)
        return low + numpy.where(q > span, 2 * span - q, q)

    def _at(self, x: Any, near: list[Any]) -> Any:
        """x (N, C, ...) at whole places, (N, C, *places)."""
        inside: Any = True
        taken = []
        for at, n in zip(near, x.shape[2:], strict=True):
            if self.padding == "zeros":
                inside = inside & (at >= 0) & (at < n)
            elif self.padding == "reflection":
                at = numpy.rint(self._mirrored(at.astype("float64"), n)).astype("int64")
            taken.append(numpy.clip(at, 0, n - 1))
        rows = numpy.arange(x.shape[0]).reshape(-1, *(1,) * (near[0].ndim - 1))
        found = numpy.moveaxis(numpy.moveaxis(x, 1, -1)[(rows, *taken)], -1, 1)
        return numpy.where(numpy.asarray(inside)[:, None], found, 0) if self.padding == "zeros" else found


@dataclass(frozen=True)
class RoiAlign(NumpyOp):
    """y[r, c, i, j] = the mean (or maximum) of x[batch[r], c] at points of cell (i, j) of box r, between pixels linear

    x (N, C, H, W), boxes (R, 4) as x1, y1, x2, y2 in units of `scale`, batch (R,), y (R, C, *size).
    """

    size: Ints
    samples: int
    scale: float
    mode: str
    half_pixel: bool

    def infer(self, x: Type, boxes: Type, batch: Type) -> Type:
        if len(x.shape) != 4 or len(boxes.shape) != 2 or boxes.shape[1] != 4:
            raise ShapeError(f"[roi_align] needs x (N, C, H, W) and boxes (R, 4), got {x.shape} and {boxes.shape}")
        return Type((boxes.shape[0], x.shape[1], *self.size), x.dtype)

    def value(self, x: Any, boxes: Any, batch: Any) -> Any:
        y = numpy.zeros((len(boxes), x.shape[1], *self.size), dtype=x.dtype)
        offset = 0.5 if self.half_pixel else 0.0
        for r, box in enumerate(boxes.astype("float64") * self.scale - offset):
            start, span = box[[1, 0]], box[[3, 2]] - box[[1, 0]]
            span = span if self.half_pixel else numpy.maximum(span, 1.0)
            cell = span / numpy.array(self.size)
            counts = [self.samples or max(0, int(numpy.ceil(c))) for c in cell]
            if 0 in counts:  # an empty box
                continue
            places = [
                start[k] + (numpy.arange(self.size[k])[:, None] + (numpy.arange(c) + 0.5) / c) * cell[k]
                for k, c in enumerate(counts)
            ]
            seen = self._between(x[int(batch[r])], places)  # (C, rows, samples, columns, samples)
            y[r] = seen.mean((2, 4)) if self.mode == "avg" else seen.max((2, 4))
        return y

    def _between(self, image: Any, places: list[Any]) -> Any:
        """Each point between its four pixels: their mean, or for maxima the largest of their weighted shares."""
        sides = []
        for at, n in zip(places, image.shape[1:], strict=True):
            outside = (at < -1) | (at > n)
            p = numpy.clip(at, 0, None)
            low = numpy.minimum(p.astype("int64"), n - 1)
            high = numpy.minimum(low + 1, n - 1)
            share = numpy.where(low >= n - 1, 0.0, p - low)
            sides.append((((low, 1 - share), (high, share)), ~outside))
        (rows, in_rows), (columns, in_columns) = sides
        parts = [
            image[:, i[:, :, None, None], j[None, None]] * (a[:, :, None, None] * b[None, None])
            for i, a in rows for j, b in columns
        ]  # fmt: skip
        inside = in_rows[:, :, None, None] & in_columns[None, None]
        found = numpy.maximum.reduce(parts) if self.mode == "max" else sum(parts)
        return numpy.where(inside, found, 0)


def _differ(a: int, b: int) -> bool:
    """Whether two sizes are known to: of open ones with other names it shows when they are."""
    return not isinstance(a, Size) and not isinstance(b, Size) and a != b


@dataclass(frozen=True)
class NonMaxSuppression(NumpyOp):
    """y = (batch, class, box) of boxes taken greedily by score, none sharing more than `overlap` with one before

    boxes (N, B, 4), scores (N, C, B); overlap is intersection over union. How many there are, data decide.
    """

    most: int
    overlap: float
    least: float | None
    centred: bool
    count: str

    def infer(self, boxes: Type, scores: Type) -> Type:
        if len(boxes.shape) != 3 or len(scores.shape) != 3 or boxes.shape[2] != 4 or _differ(
            boxes.shape[0], scores.shape[0]) or _differ(boxes.shape[1], scores.shape[2]):  # fmt: skip
            got = f"got {boxes.shape} and {scores.shape}"
            raise ShapeError(f"[non_max_suppression] needs boxes (N, B, 4) and scores (N, C, B), {got}")
        return Type((counted(self.count), 3), "int64")

    def value(self, boxes: Any, scores: Any) -> Any:
        found = []
        for n, c in product(range(scores.shape[0]), range(scores.shape[1])):
            corners, rank = self._corners(boxes[n].astype("float64")), scores[n, c]
            left = numpy.argsort(-rank, kind="stable")
            left = left if self.least is None else left[rank[left] > self.least]
            taken = 0
            while len(left) and taken < self.most:
                best, left = left[0], left[1:]
                found.append((n, c, best))
                left = left[self._shared(corners[best], corners[left]) <= self.overlap]
                taken += 1
        return numpy.array(found, dtype="int64").reshape(-1, 3)

    def _corners(self, boxes: Any) -> Any:
        if self.centred:
            middle, half = boxes[:, :2], boxes[:, 2:] / 2
            return numpy.concatenate([middle - half, middle + half], 1)
        return numpy.concatenate([numpy.minimum(boxes[:, :2], boxes[:, 2:]),
                                  numpy.maximum(boxes[:, :2], boxes[:, 2:])], 1)  # fmt: skip

    @staticmethod
    def _shared(a: Any, others: Any) -> Any:
        """Intersection over union of one box with others."""
        sides = numpy.maximum(numpy.minimum(a[2:], others[:, 2:]) - numpy.maximum(a[:2], others[:, :2]), 0)
        both = sides.prod(1)
        union = (a[2:] - a[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - both
        return numpy.where(union > 0, both / numpy.where(union > 0, union, 1), 0)


@dataclass(frozen=True)
class DeformConv(NumpyOp):
    """y[n, o, i, j] = sum_{c, u, v} w[o, c, u, v] x[n, c, (i, j) stride + (u, v) dilation - pad + offset] mask + b

    x is taken between pixels, 0 outside. offset (N, 2 G K K, H', W'), mask (N, G K K, H', W') for G groups.
    """

    stride: Ints
    padding: tuple[tuple[int, int], ...]
    dilation: Ints
    groups: int
    offset_groups: int

    def infer(self, x: Type, w: Type, offset: Type, *more: Type) -> Type:
        return Type((x.shape[0], w.shape[0], *offset.shape[2:]), x.dtype)

    def value(self, x: Any, w: Any, offset: Any, *more: Any) -> Any:
        bias = next((m for m in more if m.ndim == 1), None)
        mask = next((m for m in more if m.ndim == 4), None)
        n, channels, kernel, out = x.shape[0], x.shape[1], w.shape[2:], offset.shape[2:]
        g = self.offset_groups
        taps = kernel[0] * kernel[1]
        moved = offset.reshape(n, g, taps, 2, *out).astype("float64")
        weight = numpy.ones((n, g, taps, *out)) if mask is None else mask.reshape(n, g, taps, *out)
        grid = [numpy.arange(c) * s - p[0] for c, s, p in zip(out, self.stride, self.padding, strict=True)]
        columns = numpy.zeros((n, channels, taps, *out))
        for t, (u, v) in enumerate(product(range(kernel[0]), range(kernel[1]))):
            rows = grid[0][:, None] + u * self.dilation[0] + moved[:, :, t, 0]
            places = grid[1][None, :] + v * self.dilation[1] + moved[:, :, t, 1]
            seen = self._between(x.reshape(n, g, channels // g, *x.shape[2:]), rows, places)
            columns[:, :, t] = (seen * weight[:, :, None, t]).reshape(n, channels, *out)
        parts = columns.reshape(n, self.groups, channels // self.groups * taps, -1)
        filters = w.reshape(self.groups, w.shape[0] // self.groups, -1).astype("float64")
        y = (filters[None] @ parts).reshape(n, w.shape[0], *out)
        return (y if bias is None else y + bias.reshape(1, -1, 1, 1)).astype(x.dtype)

    @staticmethod
    def _between(x: Any, rows: Any, columns: Any) -> Any:
        """x (N, G, C, H, W) at places (N, G, H', W')."""
        height, width = x.shape[3:]
        y0, x0 = numpy.floor(rows).astype("int64"), numpy.floor(columns).astype("int64")
        ns, gs = numpy.ogrid[: x.shape[0], : x.shape[1]]
        total: Any = 0.0
        for dy, dx in product((0, 1), repeat=2):
            i, j = y0 + dy, x0 + dx
            share = (1 - numpy.abs(rows - i)) * (1 - numpy.abs(columns - j))
            share = numpy.where((i >= 0) & (i < height) & (j >= 0) & (j < width), share, 0)
            wide = numpy.moveaxis(x, 2, -1)
            seen = wide[ns[..., None, None], gs[..., None, None], numpy.clip(i, 0, height - 1),
                        numpy.clip(j, 0, width - 1)]  # fmt: skip
            total = total + numpy.moveaxis(seen, -1, 2) * share[:, :, None]
        return total


@dataclass(frozen=True)
class ImageDecoder(NumpyOp):
    """y (H, W, C) = the pixels of an image file given as bytes, in RGB, BGR or grey"""

    pixels: str
    rows: str
    columns: str

    def infer(self, x: Type) -> Type:
        return Type((counted(self.rows), counted(self.columns), 1 if self.pixels == "Grayscale" else 3), "uint8")

    def value(self, x: Any) -> Any:
        from PIL import Image

        with Image.open(io.BytesIO(x.tobytes())) as image:
            picture = numpy.array(image.convert("L" if self.pixels == "Grayscale" else "RGB"))
        if self.pixels == "Grayscale":
            return picture[:, :, None]
        return numpy.ascontiguousarray(picture[:, :, ::-1]) if self.pixels == "BGR" else picture
