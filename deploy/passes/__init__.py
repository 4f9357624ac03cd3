"""The passes, in the order in which they run. Each keeps the numbers; the verifier runs after every one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from needle.sizes import for_every_size, watched

from ..expand import expand, expand_convolution
from ..ir import Graph, Node
from ..verify import verify
from .activation import fuse_activation
from .below_reshape import below_reshape
from .cancel_tuples import cancel_tuples
from .convolution import conv_as_matmul, conv_nd_as_conv, cut_padding_taps
from .fuse import fold_batch_norm, fuse_add, fuse_bias, fuse_relu
from .layout import (
    compose_permutes,
    permute_as_reshape,
    permute_rows,
    sink_equal_permutes,
    sink_permutes,
    split_before_permute,
    transpose_as_permute,
)
from .open_epilogues import open_epilogues
from .rewrite import Kept, Rule, Watch, rewrite
from .share_common import share_common
from .without_empty import without_empty

LAYOUT: tuple[Rule, ...] = (
    transpose_as_permute, compose_permutes, sink_permutes, sink_equal_permutes, split_before_permute,
    compose_permutes, permute_as_reshape,
)  # fmt: skip

PIPELINE: tuple[Rule | Callable[[Graph], Graph], ...] = (
    cancel_tuples,
    without_empty,
    expand,
    cancel_tuples,
    conv_nd_as_conv,
    expand_convolution,
    *LAYOUT,
    permute_rows,
    open_epilogues,
    below_reshape,
    fuse_bias,
    fold_batch_norm,
    fuse_relu,
    below_reshape,
    fuse_activation,
    below_reshape,
    fuse_add,
    fuse_relu,
    cut_padding_taps,
    conv_as_matmul,
    *LAYOUT,
    fuse_relu,
    fuse_activation,
    fuse_add,
    share_common,
)


def run_passes(
    graph: Graph, watch: Watch | None = None, without: Collection[Rule] = ()
) -> Iterator[tuple[str, Graph]]:
    """(name, graph) after every pass of the pipeline but those left out, verified; `watch` is told of every change."""
    checked: set[Node] = set()
    for rule in (x for x in PIPELINE if x not in without):
        before = graph
        graph = share_common(graph, watch) if rule is share_common else rewrite(graph, rule, watch)  # type: ignore[arg-type]
        yield rule.__name__, graph if graph is before else verify(graph, checked)


def optimize(graph: Graph, watch: Watch | None = None, without: Collection[Rule] = ()) -> Graph:
    """The graph after the whole pipeline, in which no pass asks for the value of an open size."""
    with watched(for_every_size):
        return list(run_passes(graph, watch, without))[-1][1]


def kept(graph: Graph) -> Iterator[tuple[Node, str, str]]:
    """(node, pass, reason) for each node of an optimised graph that a pass looked at and left as it is."""
    uses = graph.uses()
    rules = [rule for rule in dict.fromkeys(PIPELINE) if rule is not share_common]
    with watched(for_every_size):
        for node in graph.order():
            for rule in rules if not node.known else ():
                found = rule(node, uses)  # type: ignore[call-arg, arg-type]
                if isinstance(found, Kept):
                    yield node, rule.__name__, found.reason
