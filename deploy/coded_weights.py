"""Weights in fewer bits: functions of what is stored, as every weight of a program may be.

A product whose weights are one reads the codes, so that they are what memory has to bring; its numbers are those of the
product with the decoded weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from needle.autograd import TensorOp
from needle.errors import DTypeError, ShapeError
from needle.types import Type

from .arrays import as_numpy, of_kind


def _bf16(codes: numpy.ndarray) -> numpy.ndarray:
    return (codes.astype(numpy.uint32) << 16).view(numpy.float32)


def _fp16(codes: numpy.ndarray) -> numpy.ndarray:
    return codes.view(numpy.float16).astype(numpy.float32)


HALVES = {"bf16": _bf16, "fp16": _fp16}  # of 16 bits, without scales
FORMATS = ("int8", "int4", *HALVES)


@dataclass(frozen=True)
class DecodedWeight(TensorOp):
    """w[k, n] = code[k, n] scale[k // group, n], float32; of "bf16" the number whose upper half the code is, of "fp16"
    the number that it is as a float16

    Codes are (K, N) int8 of "int8"; (K / 2, N) uint8 of "int4", 8 above their numbers, the even row in the lower half;
    (K, N, 2) uint8 of halves, the lower byte first, without scales, which of the others are (K / group, N).
    """

    format: str
    group: int = 0

    def infer(self, codes: Type, *scales: Type) -> Type:
        """(K, N)."""
        where = "decoded weight"
        if self.format not in FORMATS:
            raise ShapeError(f"[{where}] needs a format of {', '.join(FORMATS)}, got {self.format}")
        dtypes = ("int8" if self.format == "int8" else "uint8", *["float32"] * (self.format not in HALVES))
        if (codes.dtype, *(x.dtype for x in scales)) != dtypes:
            raise DTypeError(f"[{where}] {self.format} needs {dtypes}, got {(codes.dtype, *(x.dtype for x in scales))}")
        rank = 3 if self.format in HALVES else 2
        if len(codes.shape) != rank or (rank == 3 and codes.shape[2] != 2):
            raise ShapeError(f"[{where}] {self.format} needs codes of {rank} axes, got {codes.shape}")
        depth = codes.shape[0] * (2 if self.format == "int4" else 1)
        if self.format == "int4" and self.group % 2:
            raise ShapeError(f"[{where}] groups of int4, of which two are a byte, need an even size, got {self.group}")
        if scales and (self.group < 1 or scales[0].shape != (-(-depth // self.group), codes.shape[1])):
            wanted = f"{-(-depth // max(self.group, 1))} x {codes.shape[1]} scales"
            raise ShapeError(f"[{where}] groups of {self.group} need {wanted}, got {scales[0].shape}")
        return Type((depth, codes.shape[1]), "float32")

    def compute(self, codes: Any, *scales: Any) -> Any:
        array = as_numpy(codes)
        if self.format in HALVES:
            decoded = HALVES[self.format](numpy.ascontiguousarray(array).view(numpy.uint16)[..., 0])
        else:
            numbers = _unpaired(array) if self.format == "int4" else array
            rows = numpy.arange(len(numbers)) // self.group
            decoded = numbers.astype(numpy.float32) * as_numpy(scales[0])[rows]
        return of_kind(codes, decoded)


def _unpaired(codes: numpy.ndarray) -> numpy.ndarray:
    """(K / 2, N) bytes as (K, N) numbers -8..7."""
    numbers = numpy.stack([codes & 15, codes >> 4], axis=1).astype(numpy.int8) - 8
    return numbers.reshape(-1, codes.shape[1])


@dataclass(frozen=True)
class PackCodes(TensorOp):
    """Codes (rows, N, ...) as [ceil(N / 16)][rows][16][...], zeros behind column N, for csrc/nd/coded_linear.h"""

    def infer(self, codes: Type) -> Type:
        """(ceil(N / 16), rows, 16, ...)."""
        if len(codes.shape) not in (2, 3):
            raise ShapeError(f"[pack codes] needs codes of two or three axes, got {codes.shape}")
        return Type((-(-codes.shape[1] // 16), codes.shape[0], 16, *codes.shape[2:]), codes.dtype)

    def compute(self, codes: Any) -> Any:
        array = as_numpy(codes)
        rows, columns, *rest = array.shape
        padded = numpy.zeros((rows, -(-columns // 16) * 16, *rest), dtype=array.dtype)
        padded[:, :columns] = array
        axes = (1, 0, 2, *range(3, 3 + len(rest)))
        return of_kind(codes, padded.reshape(rows, -1, 16, *rest).transpose(axes))
