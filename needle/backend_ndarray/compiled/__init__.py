"""The composite kernels on arrays of an extension, cpu()'s or cuda()'s: its own, and what surrounds them here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

from ..kernels import EXACT, NAMES, twins
from . import grouped, reduce

# Of what looks numbers up: how long the table is.
TABLES: dict[str, Callable[..., int]] = {
    "cache_write": lambda cache, *_: cache.shape[0] * cache.shape[1],
    "cached_attention": lambda q, keys, *_: keys.shape[0] * keys.shape[1],
    "cross_entropy": lambda logits, *_: logits.shape[-1],
    "cross_entropy_gradient": lambda g, logits, *_: logits.shape[-1],
    "embedding": lambda ids, weight: weight.shape[0],
    "embedding_gradient": lambda g, ids, n: n,
    "gather": lambda x, index, axis: x.shape[axis],
    "gather_gradient": lambda g, index, axis, size: size,
    "take": lambda x, ids, axis: x.shape[axis],
    "take_gradient": lambda g, ids, axis, size: size,
}


def _by_number(extension: Any, name: str) -> Callable[..., Any]:
    """A kernel of the extension, which reads numbers as float32; numpy's where that would not tell them apart."""
    compiled, size = getattr(extension, name), TABLES[name]

    def kernel(first: Any, *more: Any) -> Any:
        if size(first, *more) > EXACT:
            return getattr(twins(first), name)(first, *more)
        return compiled(first, *more)

    return kernel


def _kernel(extension: Any, name: str) -> Callable[..., Any]:
    for module in (grouped, reduce):
        if hasattr(module, name):
            return getattr(module, name)
    return _by_number(extension, name) if name in TABLES else getattr(extension, name)


@cache
def of(extension: Any) -> Any:
    """The kernels by name, for arrays that an extension holds."""
    return SimpleNamespace(**{name: _kernel(extension, name) for name in NAMES})
