"""A graph as the text of a C++ program: calls of kernels whose source is pasted in, constants, and a C interface."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from needle.types import Dim

from ..errors import EmitError
from ..headers import inline, system_headers
from ..ir import Graph, Node
from ..nd import dumps
from ..plan import REGIONS, Plan
from .lower import Lowering, lower

TEMPLATES = Path(__file__).parent / "templates"
KERNELS = ("direct_conv.h", "map.h", "strided.h", "reduce.h", "softmax.h", "group_norm.h", "rms_norm.h", "pooling.h")


@dataclass(frozen=True)
class Program:
    """The files of a generated program, and what its memory plan promises."""

    name: str
    hash: str  # of the graph: 32 hexadecimal digits that tie program and weights file together
    files: dict[str, bytes]
    plan: Plan
    weight_bytes: int


def emit(graph: Graph, name: str) -> Program:
    """`name.cpp`, `name.h`, `name_weights.S` and `name.weights` for an optimized graph.

    Raises EmitError for a name that is no C identifier, and for an op or a shape that programs cannot hold.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise EmitError(f"[emit] a program's name must be a lower-case C identifier, got {name!r}")
    low = lower(graph)
    plan = low.plan()
    digest = hashlib.sha256(dumps(graph)).hexdigest()[:32]
    block = low.weights.bytes()
    words: dict[str, Any] = {
        "name": name,
        "NAME": name.upper(),
        "hash": digest,
        "weight_bytes": len(block),
        "inputs": len(graph.inputs),
        "outputs": len(graph.outputs),
        **plan.totals,
        "describe": _text(json.dumps(_description(graph, name, digest))),
        "body": _body(low, plan),
    }
    seen: set[str] = set()
    words |= {"pool": inline(["pool.h"], seen), "kernels": inline(KERNELS, seen)}
    words["pool_impl"] = inline(["pool_impl.h"], seen)
    words["interface"] = _fill("interface.cpp", words)
    words["system"] = "\n".join(
        f"#include <{x}>" for x in system_headers(words["kernels"] + words["pool"] + words["interface"])
    )
    files = {
        f"{name}.cpp": _fill("program.cpp", words).encode(),
        f"{name}.h": _fill("program.h", words).encode(),
        f"{name}_weights.S": _fill("weights.S", words).encode(),
        f"{name}.weights": (b"needle-w" + digest.encode()).ljust(64, b"\0") + block,
    }
    return Program(name, digest, files, plan, len(block))


def _fill(template: str, words: dict[str, Any]) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)


def _text(value: str) -> str:
    """A C string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _description(graph: Graph, name: str, digest: str) -> dict[str, Any]:
    """What `name_describe` returns."""

    def tensor(key: str, node: Node) -> dict[str, Any]:
        shape = [-1 if isinstance(size, Dim) else size for size in node.shape]
        return {"name": key, "dtype": node.type.dtype, "shape": shape}

    return {
        "name": name,
        "graph": digest,
        "inputs": [tensor(x.op.name, x) for x in graph.inputs],
        "outputs": [tensor(key, x) for key, x in graph.outputs],
    }


def _body(low: Lowering, plan: Plan) -> str:
    """The statements of `forward`: a pointer for every buffer, then the calls."""
    lines = [f"const float* const x{i} = inputs[{i}];  // {x!r}" for i, x in enumerate(low.graph.inputs)]
    lines += [f"float* const y{i} = outputs[{i}];  // {name}" for i, (name, _) in enumerate(low.graph.outputs)]
    units = dict(zip(REGIONS, (" * batch", "", " * threads"), strict=True))
    for buffer, offset in zip(low.arena, plan.offsets, strict=True):
        lines.append(
            f"float* const {buffer.name} = {buffer.region} + {offset}{units[buffer.region]};  // {buffer.note}"
        )
    return "\n".join("    " + line for line in [*lines, "", *low.lines])
