"""Samples of the kernels that work along rows of elements of any type, and of those that write by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.needle.program_cases import Arrays, Case, N, Times, integers, normal


def scattered(n: int) -> tuple[Arrays, dict[int, Any]]:
    """Rows added where ids say: of the same one twice, from the end, and one outside, which is nowhere."""
    x, ids, y = normal(4, n), np.array([1, -1, 1, 7]), normal(5, n)
    expected = y.copy()
    np.add.at(expected, [1, 4, 1], x[:3])
    return [x, ids, y], {2: expected}


def running(n: int) -> tuple[Arrays, dict[int, Any]]:
    """Products that wrap around."""
    x = integers("int64", -(2**40), 2**40, n, 9)
    return [x, np.zeros((n, 9), "int64")], {1: np.multiply.accumulate(x, axis=1)}


def ordered(n: int) -> tuple[Arrays, dict[int, Any]]:
    """The places of the three largest: of equal ones the first, NaN in front."""
    x = integers("int64", 0, 6, n, 20).astype("float32")
    x[:, 5] = np.nan
    places = np.argsort(np.where(np.isnan(x), -np.inf, -x), axis=1, kind="stable")[:, :3]
    return [x, np.zeros((n, 3), "int64")], {1: places}


def products(n: int) -> tuple[Arrays, dict[int, Any]]:
    a, b = integers("int64", -(2**62), 2**62, n, 3, 7), integers("int64", -9, 9, n, 7, 5)
    return [a, b, np.zeros((n, 3, 5), "int64")], {2: a @ b}


def bits(n: int) -> tuple[Arrays, dict[int, Any]]:
    x = integers("int32", -(2**31), 2**31, n)
    return [x, np.zeros(n, "uint32")], {1: x.view("uint32")}


ELEMENT_CASES = [
    Case("scatter_elements", "Add float32 float32", [5, 4, N], [], scattered),
    Case("scan_elements", "Multiply int64", [N, 9], [], running),
    Case("order_elements", "Greater float32", [N, 20, 3, 1], [], ordered),
    Case("matmul_elements", "int64", [N, 3, 5, 7], [], products),
    Case("copy_bits", "", [Times(4)], [], bits),
]
