"""How calls on elements of any type, and products of any matrices, are worded; print_cpp.py words the other calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .cpp_text import nest, number
from .program import Call

if TYPE_CHECKING:
    from .print_cpp import Body


def elements(body: Body, call: Call) -> str:
    """y = f(x...) of any types over a loop nest."""
    pointers = ", ".join(map(body.pointer, call.operands))
    return f"map_elements(on, {nest(call.operands)}, {call.functor}{{}}, {pointers})"


def fold(body: Body, call: Call) -> str:
    """Rows of whole numbers, each folded to one."""
    (x,), (y,) = call.reads, call.writes
    outer, count = map(number, call.sizes)
    return f"fold_elements(on, {outer}, {count}, {call.functor}{{}}, {body.pointer(x)}, {body.pointer(y)})"


def scatter(body: Body, call: Call) -> str:
    """Rows added to others, or in their place."""
    sizes, functor = ", ".join(map(number, call.sizes)), f"{call.functor}{{}}"
    return f"scatter_elements(on, {sizes}, {functor}, {', '.join(map(body.pointer, (*call.reads, *call.writes)))})"


def scan(body: Body, call: Call) -> str:
    """Running folds of rows."""
    (x,), (y,) = call.reads, call.writes
    sizes = ", ".join(map(number, call.sizes))
    return f"scan_elements(on, {sizes}, {call.functor}{{}}, {body.pointer(x)}, {body.pointer(y)})"


def order(body: Body, call: Call) -> str:
    """The places of the best of each row."""
    (x,), (y,) = call.reads, call.writes
    *sizes, nan_first = map(number, call.sizes)
    settings = f"{', '.join(sizes)}, {nan_first} != 0, {call.functor}{{}}"
    return f"order_elements(on, {settings}, {body.pointer(x)}, {body.pointer(y)})"


def bits(body: Body, call: Call) -> str:
    """The bytes of memory that is read as another dtype."""
    (x,), (y,) = call.reads, call.writes
    return f"std::memcpy({body.pointer(y)}, {body.pointer(x)}, size_t({number(call.sizes[0])}))"


def matmul(body: Body, call: Call) -> str:
    """A batch of products of matrices with any strides."""
    a, b = (
        f"Matrices{{{{{body.pointer(x)}, {number(x.strides[1])}, {number(x.strides[2])}}}, {number(x.strides[0])}}}"
        for x in call.reads
    )
    assert call.scratch is not None
    memory = f"{body.pointer(call.writes[0])}, {body.names[call.scratch]}"
    return f"batched_matmul(on, {', '.join(map(number, call.sizes))}, {a}, {b}, {memory})"


ELEMENTS: dict[str, Callable[[Any, Call], str]] = {
    "map_elements": elements,
    "fold_elements": fold,
    "scatter_elements": scatter,
    "scan_elements": scan,
    "order_elements": order,
    "copy_bits": bits,
    "batched_matmul": matmul,
}
