"""Weights of products in fewer bits; values stay float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy

from ..coded_weights import HALVES, DecodedWeight
from ..errors import DeployError
from ..fused_ops import FusedMatMul
from ..interpreter import values_of
from ..ir import Graph, Node, Weight, apply, weight
from ..passes import optimize

GROUP = 32  # weights of a column that share a scale


def code_weights(graph: Graph, format: str, group: int = GROUP) -> Graph:
    """The optimised graph whose products read weights in "int8", "int4", "bf16" or "fp16".

    Integers have a scale for `group` weights that follow each other along the input, for each column. A depth that int4
    cannot pair, an odd one, stays float32, as do weights beyond what float16 holds, 65,504. Raises DeployError where
    there is no product with weights.
    """
    prepared = optimize(graph)
    read = _read_by_products(prepared)
    if not read:
        raise DeployError("[quantize] the graph has no product with weights that could be stored in fewer bits")
    return _coded(prepared, read, format, group)


def halve_exact(graph: Graph) -> Graph:
    """The optimised graph whose products read those weights in "fp16" that are float16 numbers already: half the bytes
    and the same bits of every result. Weights that were published as float16 are.
    """
    prepared = optimize(graph)
    return _coded(prepared, [w for w in _read_by_products(prepared) if _is_float16(*values_of([w]))], "fp16", GROUP)


def _is_float16(array: numpy.ndarray) -> bool:
    with numpy.errstate(over="ignore"):
        return numpy.array_equal(array.astype(numpy.float16).astype(numpy.float32), array)


def _read_by_products(graph: Graph) -> list[Node]:
    read = {node.inputs[1] for node in graph.order() if isinstance(node.op, FusedMatMul) and not node.known}
    return [node for node in graph.order() if node in read]


def _coded(prepared: Graph, read: Sequence[Node], format: str, group: int) -> Graph:
    """The graph whose products read the codes of these weights."""
    taken, found = set(prepared.weights()), {}
    for i, w in enumerate(read):
        name = f"{_name(w) or f'weight.{i}'}.{format}"
        name = f"{name}.{i}" if name in taken else name  # several functions of one weight may be read
        taken.add(name)
        found[w] = _code(w, format, group, name)
    new: dict[Node, Node] = {}
    for node in prepared.order():
        inputs = tuple(new[x] for x in node.inputs)
        if isinstance(node.op, FusedMatMul) and node.inputs[1] in found:
            inputs = (inputs[0], found[node.inputs[1]], *inputs[2:])
        new[node] = node if inputs == node.inputs else Node(node.op, inputs, node.type)
    return prepared.of(new)


def _code(w: Node, format: str, group: int, name: str) -> Node:
    """The weight as a function of its codes; as it is where the format does not fit."""
    (array,) = values_of([w])
    if (format == "int4" and len(array) % 2) or (format == "fp16" and not numpy.abs(array).max(initial=0) <= 65504):
        return w
    given = [weight(x, name + suffix) for suffix, x in encode(array, format, group).items()]
    return apply(DecodedWeight(format, 0 if format in HALVES else group), *given)


def _name(w: Node) -> str:
    """That of the weight that the array is a view of."""
    while w.inputs:
        w = w.inputs[0]
    return w.op.name if isinstance(w.op, Weight) else ""


def encode(w: numpy.ndarray, format: str, group: int = GROUP) -> Mapping[str, numpy.ndarray]:
    """The codes of w (K, N) under "", and their scales under ".scale"; `DecodedWeight` says what they mean."""
    if format == "fp16":
        return {"": w.astype(numpy.float16)[..., None].view(numpy.uint8)}
    if format == "bf16":
        bits = w.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
        upper = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16  # to the nearest, half to even
        return {"": numpy.stack([upper & 255, upper >> 8], axis=-1).astype(numpy.uint8)}
    most = 127 if format == "int8" else 7
    groups = -(-len(w) // group)
    filled = numpy.zeros((groups * group, w.shape[1]))
    filled[: len(w)] = w
    parts = filled.reshape(groups, group, -1)
    scale = numpy.abs(parts).max(axis=1) / most
    scale = numpy.where(scale > 0, scale, 1.0).astype(numpy.float32)
    numbers = numpy.clip(numpy.rint(parts / scale[:, None]), -most, most).astype(numpy.int8)
    codes = numbers.reshape(len(filled), -1)[: len(w)]
    if format == "int8":
        return {"": codes, ".scale": scale}
    paired = (codes + 8).astype(numpy.uint8)
    return {"": paired[::2] | paired[1::2] << 4, ".scale": scale}
