"""The command that goes with a program: reads an image or numbers, prints labels or numbers, and can test itself."""

from __future__ import annotations

import json
from string import Template
from typing import Any

import numpy

from needle.sizes import size_at
from needle.types import TYPES, Type

from . import interpreter
from .card import image_of, labels_of
from .compare import TOLERANCE, sizes_of
from .cpp_text import literal
from .errors import EmitError
from .generate import TEMPLATES
from .ir import dims, with_sizes
from .print_interface import ports, words_of
from .program import Program

COMPARED = 1024  # numbers of each output that the self-test keeps


def main_program(program: Program, name: str) -> bytes:
    """The text of `name_main.c`."""
    graph = program.graph
    image, pointers, labels = image_of(graph.card), ports(graph), labels_of(graph.card)
    kinds = [_kind(x.type.dtype) for _, x, _ in pointers]
    words = words_of(program) | {
        "name": name,
        "labels": ", ".join(_c_string(x) for x in labels) or "NULL",
        "label_count": len(labels),
        "channels": len(image.mean) if image else 0,
        "mean": ", ".join(map(literal, image.mean if image else ())) or "0",
        "std": ", ".join(map(literal, image.std if image else ())) or "1",
        "height": image.height if image else 0,
        "width": image.width if image else 0,
        "inputs": len(graph.given),
        "states": len(graph.state),
        "outputs": len(graph.results),
        "kinds": ", ".join(f"'{kind}'" for kind in kinds),
        "element_bytes": ", ".join(str(TYPES[x.type.dtype].bytes) for _, x, _ in pointers),
        "arguments": " ".join([*(f"{n}=..." for n in dims(graph) if n != "batch"), *(x.op.name for x in graph.given)]),
        "size_values": "".join(f"sizes[{i}], " for i in range(len(dims(graph)))),
        "tolerance": literal(TOLERANCE),
    }
    words |= _self_test(program)
    if words["size_words"] == "nullptr":
        words["size_words"] = "NULL"
    return Template((TEMPLATES / "main.c").read_text(encoding="utf-8")).substitute(words).encode()


def _self_test(program: Program) -> dict[str, Any]:
    """What the model gives for the inputs that the command draws: one item, other sizes small but for a loop."""
    graph = program.graph
    sizes = sizes_of(graph, 1, others=3)
    below = {name: int(size_at(limit, sizes)) for name, limit in program.limits.items()}
    inputs = {}
    for port, node in enumerate(graph.given):
        name = node.op.name
        inputs[name] = drawn(with_sizes(node.type, sizes), port, below.get(name, 0))
    for node in graph.inputs:
        if node.op.name not in inputs:  # a state
            inputs[node.op.name] = numpy.zeros(with_sizes(node.shape, sizes), node.type.dtype)
    found = interpreter.run(graph, inputs)
    outputs = [found[name].reshape(-1)[:COMPARED].astype(float) for name, _ in graph.results]
    numbers = [f"{x:.17g}" if numpy.isfinite(x) else _not_finite(x) for y in outputs for x in y]
    return {
        "below": ", ".join(str(below.get(name, 0)) for name, _, _ in ports(graph)),
        "test_sizes": ", ".join(map(str, sizes.values())) or "0",
        "test_outputs": ", ".join(numbers) or "0",
        "test_counts": ", ".join(str(len(y)) for y in outputs),
    }


def drawn(type: Type, port: int, below: int = 0) -> numpy.ndarray:
    """The numbers that the self-test gives to an input (templates/main.c, `draw`)."""
    places = numpy.arange(numpy.prod(type.shape, dtype=int), dtype="uint64")
    mask = numpy.uint64(0xFFFFFFFF)
    h = (places * numpy.uint64(2654435761) + numpy.uint64(port * 40503)) & mask
    h = ((h ^ (h >> numpy.uint64(15))) * numpy.uint64(2246822519)) & mask
    h ^= h >> numpy.uint64(13)
    if type.dtype.startswith("float") and not below:
        return ((h >> numpy.uint64(8)) / 2.0**23 - 1).astype(type.dtype).reshape(type.shape)
    return (h % numpy.uint64(2 if type.dtype == "bool" else below or 100)).astype(type.dtype).reshape(type.shape)


def _not_finite(x: float) -> str:
    return "NAN" if numpy.isnan(x) else "INFINITY" if x > 0 else "-INFINITY"


def _kind(dtype: str) -> str:
    return "u" if dtype.startswith("u") else TYPES[dtype].kind[0]


def _c_string(text: str) -> str:
    """A C string literal in UTF-8; octal escapes keep what is not plain text from ending it."""
    if "\0" in text:
        raise EmitError(f"[emit] a label must not hold a zero character, got {json.dumps(text)}")
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{plain}"'
