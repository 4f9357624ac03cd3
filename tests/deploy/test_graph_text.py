"""A graph as text: a line for each node, shortened in the middle."""

from __future__ import annotations

from typing import Any

import numpy as np

from deploy import Graph, freeze
from deploy.ir import Input, Node, apply, listing, weight
from needle import nn, ops
from needle.sizes import dim
from needle.types import Type


def chain(length: int) -> Graph:
    """x + 1 + 1 + ..."""
    x = node = Node(Input("x"), (), Type((dim("batch", 7), 3)))
    for _ in range(length):
        node = apply(ops.AddScalar(1.0), node)
    return Graph((x,), (("y", node),))


def test_a_small_graph_is_listed_in_full() -> None:
    x = Node(Input("x"), (), Type((dim("batch", 7), 3)))
    w = weight(np.ones((3, 2), dtype="float32"), "w")
    graph = Graph((x,), (("y", apply(ops.ReLU(), apply(ops.MatMul(), x, w))),), {"name": "small"})
    assert repr(graph).splitlines() == [
        "Graph of 4 nodes, 6 weights",
        "%0  Input(name='x')         float32(batch, 3)",
        "%1  Weight(w)               float32(3, 2)",
        "%2  MatMul()         %0 %1  float32(batch, 2)",
        "%3  ReLU()           %2     float32(batch, 2)",
        "output y = %3",
    ]


def test_a_big_graph_is_shortened_in_the_middle() -> None:
    lines = repr(chain(1000)).splitlines()
    assert lines[0] == "Graph of 1,001 nodes, 0 weights" and len(lines) == 43
    assert lines[21] == "... 961 more nodes" and lines[20].startswith("%19 ") and lines[22].startswith("%981 ")
    assert lines[-1] == "output y = %1000" and len(listing(chain(1000))) == 1002


def test_no_graph_fails_to_show_itself() -> None:
    assert repr(Graph.__new__(Graph)) == "Graph(<no nodes yet>)"
    graph: Any = chain(1)
    last = graph.outputs[0][1]
    object.__setattr__(last, "inputs", (last,))
    assert repr(graph) == "Graph(<[graph] AddScalar(scalar=1.0): float32(batch, 3) depends on itself>)"
    assert repr(Graph((), ())) == "Graph of 0 nodes, 0 weights"


def test_a_frozen_model() -> None:
    text = repr(freeze(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), np.ones((1, 3), dtype="float32")))
    assert "Weight(modules.0.weight)" in text and "0x" not in text and "output output" in text
