"""Numbers, sizes, strides and loop nests as C++ text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from needle.size_terms import Dim, Extreme, Factor, Terms
from needle.sizes import Size

from .program import View


def number(size: int) -> str:
    """A size: `128`, `batch`, `4 * batch`."""
    return _sum(size.terms) if isinstance(size, Size) else str(int(size))


def _sum(terms: Terms) -> str:
    """`4 * batch + 1`; quotients of sizes, which are not negative, round down in C++ too."""
    parts = [" * ".join([str(c)] * (c != 1 or not m) + [_factor(x) for x in m]) for m, c in terms]
    return " + ".join(parts).replace("+ -", "- ")


def _factor(factor: Factor) -> str:
    match factor:
        case Dim(name):
            return name
        case Extreme(kind, a, b):
            return f"{kind}<int64_t>({_sum(a)}, {_sum(b)})"
    return f"(({_sum(factor.terms)}) / {factor.by})"


def constant(size: int) -> str:
    """A size as a template argument where it is known: `Const<128>{}`."""
    return number(size) if isinstance(size, Size) else f"Const<{int(size)}>{{}}"


def braces(sizes: Sequence[int]) -> str:
    """`{batch, 3, 32}`."""
    return "{" + ", ".join(map(number, sizes)) + "}"


def nest(views: Sequence[View]) -> str:
    """A loop nest over views of one shape, the one that is written first."""
    shape = views[0].shape
    strides = ", ".join(braces(view.strides) for view in views)
    return f"Nest<{len(views)}>{{{len(shape)}, {braces(shape)}, {{{strides}}}}}"


def literal(value: float) -> str:
    """A float that reads back as the same float."""
    single = float(numpy.float32(value))
    if math.isinf(single):
        return "__builtin_inff()" if single > 0 else "-__builtin_inff()"
    if math.isnan(single):
        return '__builtin_nanf("")'
    text = f"{single:.9g}"
    return text + ("f" if any(c in text for c in ".e") else ".0f")
