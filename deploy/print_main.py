"""The command that goes with a program: reads an image or numbers, prints labels or numbers."""

from __future__ import annotations

import json
from itertools import count
from string import Template

from needle.types import TYPES

from .card import image_of, labels_of
from .cpp_text import literal
from .errors import EmitError
from .generate import TEMPLATES
from .ir import Node, dims
from .print_interface import bytes_of, pointer_type, ports, words_of
from .program import Program


def main_program(program: Program, name: str) -> bytes:
    """The text of `name_main.cpp`."""
    graph = program.graph
    image, pointers = image_of(graph.card), ports(graph)
    words = words_of(program) | {
        "name": name,
        "labels": ", ".join(_c_string(x) for x in labels_of(graph.card)),
        "mean": ", ".join(map(literal, image.mean if image else ())),
        "std": ", ".join(map(literal, image.std if image else ())),
        "height": image.height if image else 0,
        "width": image.width if image else 0,
        "inputs": len(graph.given),
        "outputs": len(graph.results),
        "output_kinds": ", ".join(f"'{_kind(x.type.dtype)}'" for _, x in graph.results),
        "output_element_bytes": ", ".join(str(TYPES[x.type.dtype].bytes) for _, x in graph.results),
        "bytes": ", ".join(f"size_t({bytes_of(x.type)})" for _, x, _ in pointers),
        "arguments": " ".join([*(f"{n}=..." for n in dims(graph) if n != "batch"), *(x.op.name for x in graph.given)]),
        "size_values": "".join(f"sizes[{i}], " for i in range(len(dims(graph)))),
        "call": ", ".join([*(f"sizes[{i}]" for i in range(len(dims(graph)))), *map(_pointer, count(), pointers)]),
    }
    return Template((TEMPLATES / "main.cpp").read_text(encoding="utf-8")).substitute(words).encode()


def _pointer(i: int, port: tuple[str, Node, str]) -> str:
    """The memory of a tensor, as what it is."""
    return f"reinterpret_cast<{pointer_type(*port[1:])}>(memory[{i}].data())"


def _kind(dtype: str) -> str:
    return "u" if dtype.startswith("u") else TYPES[dtype].kind[0]


def _c_string(text: str) -> str:
    """A C++ string literal in UTF-8; octal escapes keep what is not plain text from ending it."""
    if "\0" in text:
        raise EmitError(f"[emit] a label must not hold a zero character, got {json.dumps(text)}")
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{plain}"'
