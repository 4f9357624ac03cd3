"""From a program to the files of a C++ library: the kernels' source pasted in, the calls, a C interface around them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from .errors import EmitError
from .headers import inline, system_headers
from .ir import interface
from .nd import dumps
from .plan import Plan
from .print_cpp import Body
from .program import Program

TEMPLATES = Path(__file__).parent / "templates"
KERNELS = ("direct_conv.h", "map.h", "strided.h", "reduce.h", "softmax.h", "group_norm.h", "rms_norm.h", "pooling.h")
@dataclass(frozen=True)
class Generated:
    """The files of a program, and what its memory plan promises."""

    name: str
    hash: str  # of the graph: 32 hexadecimal digits that tie program and weights file together
    files: dict[str, bytes]
    plan: Plan
    weight_bytes: int


def generate(program: Program, name: str) -> Generated:
    """`name.cpp`, `name.h`, `name_weights.S` and `name.weights`.

    Raises EmitError for a name that is no C identifier.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise EmitError(f"[emit] a program's name must be a lower-case C identifier, got {name!r}")
    graph, plan = program.graph, program.plan()
    digest = hashlib.sha256(dumps(graph)).hexdigest()[:32]
    words: dict[str, Any] = {
        "name": name,
        "NAME": name.upper(),
        "hash": digest,
        "weight_bytes": len(program.weights),
        "inputs": len(graph.inputs),
        "outputs": len(graph.outputs),
        **plan.totals,
        "describe": _text(json.dumps({"name": name, "graph": digest, **interface(graph)})),
        "body": Body(program, plan).text(),
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
        f"{name}.weights": (b"needle-w" + digest.encode()).ljust(64, b"\0") + program.weights,
    }
    return Generated(name, digest, files, plan, len(program.weights))


def _fill(template: str, words: dict[str, Any]) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)


def _text(value: str) -> str:
    """A C string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
