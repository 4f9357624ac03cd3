"""Why steps stay out of the epilogue of a product, in the words that `needle-deploy inspect --why` prints."""

from __future__ import annotations

from collections import Counter

from needle import ops

from ..fused_ops import Product
from ..ir import Node, same_type
from .rewrite import Kept


def no_sum(product: Node, other: Node, uses: Counter[Node]) -> Kept | None:
    """Why a sum cannot be the last step of the product."""
    if other is product or uses[product] > 1:
        return Kept(f"the product is read {uses[product]} times")
    if "add" in product.op.epilogue:
        return Kept("the product has a sum in its epilogue already")
    if isinstance(other.op, ops.BroadcastTo) or not same_type(other.type, product.type):
        return Kept("what is added to the product has another shape or dtype, or is repeated")
    return None


def only_read(product: Node, uses: Counter[Node]) -> Kept | None:
    """A product that others read too has to be stored as it is."""
    return Kept(f"the product is read {uses[product]} times") if uses[product] > 1 else None


def unfinished(op: Product) -> Kept | None:
    """A step that comes before all others."""
    return Kept(f"the product has an epilogue already: {', '.join(op.epilogue)}") if op.epilogue else None


def repeats_a_weight(x: Node) -> bool:
    """Whether it is known, or the repetition of something known."""
    return x.known or (isinstance(x.op, ops.BroadcastTo) and x.inputs[0].known)


def called(x: Node) -> str:
    """The op of a node, as text speaks of it; of what only moves with what it moves."""
    name = type(x.op).__name__
    return f"{name} of {called(x.inputs[0])}" if isinstance(x.op, ops.Reshape | ops.Permute) else name
