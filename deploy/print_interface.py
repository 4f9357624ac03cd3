"""The C interface of a program as text: named sizes and named, typed pointers are the parameters of its functions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from needle.types import TYPES, Type

from . import attributes
from .cpp_text import number
from .errors import EmitError
from .ir import Graph, Node, describe, dims, interface
from .program import Program
from .rows import rows_apart

ABI = 2
UNBOUND = 2**62  # the most of a size without a largest value
# What C and C++ keep for themselves, and what the functions call their own parameters.
C_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do
        double else enum explicit export extern false float for friend goto if inline int long mutable namespace new
        noexcept not nullptr operator or private protected public register restrict return short signed sizeof static
        struct switch template this throw true try typedef typeid typename union unsigned using virtual void volatile
        while xor model weights threads error error_size sizes operands arena on item fixed thread
        """,
    )
)


def checked_names(graph: Graph) -> None:
    """EmitError for a named size that C++ code cannot have as a variable."""
    for name in dims(graph):
        if name in C_WORDS or re.fullmatch(r"[txyw]\d+\w*|region\d+|nd", name):
            raise EmitError(f"[emit] a size of a C++ program cannot be called '{name}'; freeze it with another name")


def ports(graph: Graph) -> list[tuple[str, Node, str]]:
    """The pointers of a call, in order: name, node and what it is, an "input", a "state" or an "output"."""
    given = {x.op.name: x for x in graph.inputs}
    return [
        *((x.op.name, x, "input") for x in graph.given),
        *((name, given[name], "state") for name, _ in graph.state),
        *((name, node, "output") for name, node in graph.results),
    ]


def words_of(program: Program) -> dict[str, str]:
    """What the templates say of sizes and pointers."""
    graph = program.graph
    checked_names(graph)
    names, bounds = list(dims(graph)), list(dims(graph).values())
    taken = set(names)
    pointers = [(_free(name, taken), node, kind) for name, node, kind in ports(graph)]
    plan = program.plan()
    return {
        "sizes": "".join(f"int64_t {name}, " for name in names),
        "most": "".join(f"int64_t max_{name}, " for name in names),
        "size_names": ", ".join(names) or "0",
        "most_names": ", ".join(f"max_{name}" for name in names) or "0",
        "each_size": "".join(f"{name}, " for name in names),
        "pointer_names": ", ".join(name for name, _, _ in pointers),
        "each_most": "".join(f"max_{name}, " for name in names),
        "size_words": ", ".join(f'"{name}"' for name in names) or "nullptr",
        "least": ", ".join(str(dim.low) for dim in bounds) or "0",
        "highest": ", ".join(str(dim.high or UNBOUND) for dim in bounds) or "0",
        "size_count": str(len(names)),
        "take_sizes": "".join(f"const int64_t {name} = sizes[{i}];\n    " for i, name in enumerate(names)),
        "arena_sizes": "".join(f"T {name}, " for name in names),
        "pointers": ", ".join(f"{pointer_type(node, kind)} {name}" for name, node, kind in pointers),
        "operands": ", ".join(f"const_cast<void*>(static_cast<const void*>({name}))" for name, _, _ in pointers),
        "bytes": ", ".join(bytes_of(node.type) for _, node, _ in pointers),
        "operand_count": str(len(pointers)),
        "documented": "\n".join(_documented(name, node, kind) for name, node, kind in pointers),
        "arena": number(plan.floats),
    }


def description(program: Program) -> dict[str, Any]:
    """What `NAME_describe` gives beside name and hash: sizes and tensors, and what callers must keep to."""
    graph = program.graph

    def axes(ports: list[dict[str, Any]], nodes: Iterable[Node]) -> list[dict[str, Any]]:
        return [port | {"axes": attributes.encode(node.shape)} for port, node in zip(ports, nodes, strict=True)]

    found = interface(graph)
    kept = {x.op.name: x for x in graph.inputs}
    return {
        "abi": ABI,
        "sizes": [{"name": name, "least": dim.low, "most": dim.high} for name, dim in dims(graph).items()],
        "inputs": axes(found["inputs"], graph.given),
        "outputs": axes(found["outputs"], [node for _, node in graph.results]),
        "state": [_tensor(name, kept[name]) for name, _ in graph.state],
        "limits": {name: attributes.encode(below) for name, below in program.limits.items()},
        "apart": rows_apart(graph),
    }


def _tensor(name: str, node: Node) -> dict[str, Any]:
    return {"name": name, "dtype": node.type.dtype, "axes": attributes.encode(node.shape)}


def bytes_of(type: Type) -> str:
    """The size of a tensor in bytes, as an expression."""
    return number(TYPES[type.dtype].bytes * math.prod(type.shape))


def pointer_type(node: Node, kind: str) -> str:
    """The type of a parameter."""
    return f"{'const ' if kind == 'input' else ''}{TYPES[node.type.dtype].c}*"


def _free(name: str, taken: set[str]) -> str:
    """A name for a parameter that no other has."""
    while name in taken or name in C_WORDS:
        name += "_"
    taken.add(name)
    return name


def _documented(name: str, node: Node, kind: str) -> str:
    also = ", which is read and written: zeros at first, then as the call before left it" if kind == "state" else ""
    return f" *   {name}: {kind}, {describe(node.type)}{also}"

