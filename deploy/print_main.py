"""The command that goes with a program: reads an image or numbers, prints labels or numbers."""

from __future__ import annotations

import json
import math
from string import Template

from needle.sizes import unit

from .card import image_of, labels_of
from .cpp_text import literal
from .errors import EmitError
from .generate import TEMPLATES
from .ir import Graph, Node


def main_program(graph: Graph, name: str) -> bytes:
    """The text of `name_main.cpp`."""
    image = image_of(graph.card)
    words = {
        "name": name,
        "labels": ", ".join(_c_string(x) for x in labels_of(graph.card)),
        "mean": ", ".join(map(literal, image.mean if image else ())),
        "std": ", ".join(map(literal, image.std if image else ())),
        "height": image.height if image else 0,
        "width": image.width if image else 0,
        "inputs": len(graph.inputs),
        "outputs": len(graph.outputs),
        "input_floats": ", ".join(str(_floats(x)) for x in graph.inputs),
        "output_floats": ", ".join(str(_floats(x)) for _, x in graph.outputs),
        "arguments": " ".join(x.op.name for x in graph.inputs),
    }
    return Template((TEMPLATES / "main.cpp").read_text(encoding="utf-8")).substitute(words).encode()


def _floats(node: Node) -> int:
    """Floats for each item of the batch."""
    return unit(math.prod(node.shape))[0]


def _c_string(text: str) -> str:
    """A C++ string literal in UTF-8; octal escapes keep what is not plain text from ending it."""
    if "\0" in text:
        raise EmitError(f"[emit] a label must not hold a zero character, got {json.dumps(text)}")
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{plain}"'
