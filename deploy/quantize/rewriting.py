"""A graph in float32 to one whose products are sums of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from needle import ops

from ..fused_ops import FusedConv
from ..interpreter import values_of
from ..ir import Graph, Input, Node, Weight, apply, constant, weight
from ..quantized_ops import (
    ByteTable,
    Dequantize,
    Quantize,
    QuantizedConv,
    QuantizedMatMul,
    to_bytes,
)  # fmt: skip
from .eligible import MULTIPLE, added, is_product, moves, native, table_of, wanted
from .scales import Scale, column_scales

ROOM = 2.0**23  # the largest bias, in steps of the sums


class Rewriting:
    """Each value of an optimised graph anew, as floats and, where it is read so, as bytes of the scales given."""

    def __init__(self, graph: Graph, scales: Mapping[Node, Scale]) -> None:
        self.graph, self.scales = graph, dict(scales)
        self.wanted = wanted(graph)
        self.names: set[str] = set()
        self._floats: dict[Node, Node] = {}
        self._bytes: dict[Node, Node] = {}

    def graph_of_bytes(self) -> Graph:
        """The graph with the outputs that it had, in float32."""
        return self.graph.of({node: self._float(node) for node in self.graph.order()})

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Each value whose numbers were made bytes, and what its bytes stand for."""
        for node, found in list(self._bytes.items()):
            scale = self._scale(node)
            if not moves(node):
                yield node, self._cut(node, apply(Dequantize(scale.step, scale.zero), found))

    def _float(self, node: Node) -> Node:
        if node.known or isinstance(node.op, Input):
            return node
        if node not in self._floats:
            self._floats[node] = self._computed(node)
        return self._floats[node]

    def _computed(self, node: Node) -> Node:
        if node in self.wanted and native(node):
            scale = self._scale(node)
            return self._cut(node, apply(Dequantize(scale.step, scale.zero), self._byte(node)))
        if is_product(node):
            return self._product(node, None)
        return apply(node.op, *map(self._float, node.inputs))

    def _byte(self, node: Node) -> Node:
        """The bytes of a value, whose last axis is filled up to a multiple of four."""
        if node not in self._bytes:
            self._bytes[node] = self._as_bytes(node)
        return self._bytes[node]

    def _as_bytes(self, node: Node) -> Node:
        scale = self._scale(node)
        if is_product(node):
            return self._product(node, scale)
        if native(node):
            if moves(node):
                return apply(node.op, self._byte(node.inputs[0]))
            return self._table(node, scale)
        return apply(Quantize(scale.step, scale.zero, MULTIPLE), self._float(node))

    def _scale(self, node: Node) -> Scale:
        return self.scales[deciding(node)]

    def _table(self, node: Node, scale: Scale) -> Node:
        """What a chain of functions makes of each of the 256 bytes; of each channel, where they differ."""
        inner, apart = node, False
        while (further := table_of(inner)) is not None and native(inner):
            inner, apart = further, apart or isinstance(inner.op, ops.BatchNormInference)
        before, channels = self._scale(inner), inner.shape[-1] if apart else 1
        numbers = (numpy.arange(256) - before.zero).astype(numpy.float32) * numpy.float32(before.step)

        def values(x: Node) -> Any:
            if x is inner:
                return numpy.repeat(numbers[:, None], channels, axis=1)
            return values_of([x])[0] if x.known else x.op.compute(*map(values, x.inputs))

        table = to_bytes(numpy.asarray(values(node), numpy.float32) * numpy.float32(1 / scale.step), scale.zero).T
        return apply(ByteTable(), self._byte(inner), constant(table if channels > 1 else table[0]))

    def _product(self, node: Node, scale: Scale | None) -> Node:
        """Sums of bytes; of a result in floats where there is no scale."""
        x, w = self._byte(node.inputs[0]), node.inputs[1]
        before, step = self._scale(node.inputs[0]), scale.step if scale else 1.0
        bias = node.op.epilogue[:1] == ("bias",)
        arrays = values_of([w, *node.inputs[2 : 2 + bias]])
        taps, bias_values = arrays[0].astype(numpy.float64), arrays[1].astype(numpy.float64) if bias else 0.0
        more = -taps.shape[-1] % MULTIPLE if scale else 0
        fill = [(0, 0)] * (taps.ndim - 2) + [(0, -taps.shape[-2] % MULTIPLE), (0, more)]
        taps, start = numpy.pad(taps, fill), numpy.zeros(taps.shape[-1] + more)
        start[: w.shape[-1]] = bias_values
        steps = column_scales(taps, numpy.abs(start) / (before.step * ROOM))
        whole = numpy.rint(taps / steps).astype(numpy.int8)
        sums = whole.astype(numpy.int64).reshape(-1, whole.shape[-1]).sum(axis=0)
        start = numpy.rint(start / (before.step * steps)).astype(numpy.int64) - before.zero * sums
        name = self._name(w)
        given = [
            weight(whole, name), weight(start.astype(numpy.int32), f"{name}.start"),
            weight((before.step * steps / step).astype(numpy.float32), f"{name}.scale"),
        ]  # fmt: skip
        settings: dict[str, Any] = {"epilogue": node.op.epilogue[bias:], "result": scale.zero if scale else 0}
        settings["dtype"] = "uint8" if scale else "float32"
        if (other := added(node)) is not None:
            of = self._scale(other)
            settings |= {"ratio": float(numpy.float32(of.step / step)), "other": of.zero}
            given.append(self._cut(other, self._byte(other)) if scale is None else self._byte(other))
        if isinstance(node.op, FusedConv):
            op: Any = QuantizedConv(node.op.stride, node.op.padding, before.zero, **settings)
        else:
            op = QuantizedMatMul(**settings)
        return apply(op, x, *given)

    def _cut(self, node: Node, found: Node) -> Node:
        """What was found for a node without what its channels were filled up with."""
        channels = node.shape[-1]
        if channels % MULTIPLE == 0:
            return found
        return apply(ops.GetItem((*[(None, None, 1)] * (len(node.shape) - 1), (0, channels, 1))), found)

    def _name(self, w: Node) -> str:
        """That of the first weight that the array is made of, if it has one."""
        while w.inputs:
            w = w.inputs[0]
        name = plain = w.op.name if isinstance(w.op, Weight) else "weight"
        count = 1
        while name in self.names:
            count += 1
            name = f"{plain}.{count}"
        self.names.add(name)
        return name


def deciding(node: Node) -> Node:
    """The value whose numbers decide the scale of a node's bytes: what moves bytes has that of its input."""
    while moves(node) and native(node):
        node = node.inputs[0]
    return node
