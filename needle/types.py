"""Types of values: shape and dtype, known without any data.

An op's `infer` maps the types of its inputs to the type of its output. Shapes are tuples of ints; while a graph is
being traced an int may be a `Dim`, an integer that remembers its name, so that `batch` stays symbolic.
"""

from __future__ import annotations

from typing import NamedTuple


class Type(NamedTuple):
    """Shape (a tuple of ints or `Dim`s) and dtype (a string such as "float32") of one tensor."""

    shape: tuple[int, ...]
    dtype: str = "float32"


class Dim(int):
    """scale * name, an integer with a name: `Dim("batch", 7) * 4` is 28 and still knows that it is `4*batch`.

    `size` is the stand-in value of the name while tracing. Products with ints and exact quotients keep the name; any
    other arithmetic gives a plain int (which tracing at two sizes then detects as a baked-in size).
    """

    name: str
    scale: int

    def __new__(cls, name: str, size: int, scale: int = 1) -> Dim:
        dim = super().__new__(cls, size * scale)
        dim.name, dim.scale = name, scale
        return dim

    def _scaled(self, scale: int) -> Dim:
        return Dim(self.name, int(self) // self.scale, scale)

    def __mul__(self, other: int) -> int:
        if isinstance(other, Dim):
            return int(self) * int(other)
        return self._scaled(self.scale * other) if isinstance(other, int) and other > 0 else NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> int:
        if isinstance(other, Dim):
            same = other.name == self.name and self.scale % other.scale == 0
            return self.scale // other.scale if same else int(self) // int(other)
        return self._scaled(self.scale // other) if other > 0 and self.scale % other == 0 else int(self) // other

    def __repr__(self) -> str:
        return self.name if self.scale == 1 else f"{self.scale}*{self.name}"

    __str__ = __repr__
    __hash__ = int.__hash__
