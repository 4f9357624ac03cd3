"""From a program to the files of a C++ library: the kernels' source pasted in, the calls, a C interface around them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy

from .errors import EmitError
from .headers import inline, system_headers
from .kernels import KERNELS
from .plan import Plan
from .print_cpp import Body
from .print_interface import ABI, description, words_of
from .program import FLOAT, Program

TEMPLATES = Path(__file__).parent / "templates"
HEADERS = ("direct_conv.h", "map.h", "strided.h", "reduce.h", "softmax.h", "group_norm.h", "rms_norm.h", "pooling.h")


@dataclass(frozen=True)
class Generated:
    """The files of a program, and what its memory plan promises."""

    name: str
    hash: str  # of the structure: 32 hexadecimal digits that tie program and weights file together
    files: dict[str, bytes]
    plan: Plan
    levels: tuple[str, ...] = ()  # the instruction sets that it is compiled for, where there are several


def generate(program: Program, name: str, levels: tuple[str, ...] = ()) -> Generated:
    """`name.cpp`, `name.h`, `name.hpp` and `name_weights.S`: none of them depends on the weights' values.

    Raises EmitError for a name that is no C identifier.
    """
    checked_name(name)
    plan, digest = program.plan(), program.structure
    words: dict[str, Any] = words_of(program) | {
        "name": name,
        "NAME": name.upper(),
        "abi": ABI,
        "hash": digest,
        "weight_bytes": FLOAT * program.block_floats,
        "describe": text(json.dumps({"name": name, "graph": digest, **description(program)})),
        "body": Body(program, plan).text(),
    }
    seen: set[str] = set()
    headers = [*HEADERS, *sorted({KERNELS[call.kernel].header for call in program.calls} - {""})]
    words |= {"pool": inline(["pool.h"], seen), "kernels": inline(headers, seen)}
    words["pool_impl"] = inline(["pool_impl.h"], seen)
    words |= {"device_functions": "", "device_declarations": "", "engine": fill("engine_host.cpp", words)}
    words["interface"] = fill("interface.cpp", words)
    words["system"] = "\n".join(
        f"#include <{x}>" for x in system_headers(words["kernels"] + words["pool"] + words["interface"])
    )
    files = {
        f"{name}.cpp": fill("program.cpp", words).encode(),
        f"{name}.h": fill("program.h", words).encode(),
        f"{name}.hpp": fill("program.hpp", words).encode(),
        f"{name}_weights.S": fill("weights.S", words).encode(),
    }
    return Generated(name, digest, files, plan, levels)


def checked_name(name: str) -> None:
    """EmitError for what is no name of a program."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise EmitError(f"[emit] a program's name must be a lower-case C identifier, got {name!r}")


def weights_file(program: Program, arrays: Mapping[str, numpy.ndarray] | None = None) -> bytes:
    """`NAME.weights`: 64 bytes that name the structure, then the block of the graph's weights, or of `arrays`."""
    return (b"needle-w" + program.structure.encode()).ljust(64, b"\0") + program.block(arrays).tobytes()


def fill(template: str, words: dict[str, Any]) -> str:
    """The text of a template with its words."""
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)


def text(value: str) -> str:
    """A C string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
