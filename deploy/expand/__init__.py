"""Ops without kernels of their own as graphs of ops that have them: what an op is, said once for both engines.

Each family is a table, of the class of an op to the function that makes its graph. A function that needs a size which
is open, or a number that is no constant, raises `Unsupported`; the op then stays, and who lowers it says that it has no
kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from needle import ops

from ..ir import Node, apply
from ..onnx.make import Unsupported
from . import convolutions, images, learned, places, quantized, recurrent, signals, steps, trees, windows

Expansion = Callable[[Node], Any]
TABLE: dict[type, Expansion] = {
    **windows.TABLE, **convolutions.TABLE, **images.TABLE, **learned.TABLE, **places.TABLE, **quantized.TABLE,
    **recurrent.TABLE, **signals.TABLE, **steps.TABLE, **trees.TABLE,
}  # fmt: skip


def expand(node: Node, uses: Counter[Node]) -> Node | None:
    """f(x)  =>  the graph that f stands for; several results as a tuple"""
    return _by(TABLE, node)


def expand_convolution(node: Node, uses: Counter[Node]) -> Node | None:
    """conv_nd(x, w)  =>  windows(x) @ w: what is left of them when those that images' kernels take are gone"""
    return _by(convolutions.AS_PRODUCTS, node)


def _by(table: dict[type, Expansion], node: Node) -> Node | None:
    found = table.get(type(node.op))
    if found is None:
        return None
    try:
        made = found(node)
    except Unsupported:
        return None
    return apply(ops.MakeTensorTuple(), *made) if isinstance(made, tuple) else made
