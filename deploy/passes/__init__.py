"""The passes, in the order in which they run. Each keeps the numbers; the verifier runs after every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from needle.sizes import for_every_size, watched

from ..expand import expand, expand_convolution
from ..ir import Graph, Node
from ..verify import verify
from .activation import fuse_activation
from .below_reshape import below_reshape
from .cancel_tuples import cancel_tuples
from .convolution import conv_as_matmul, conv_nd_as_conv, cut_padding_taps
from .fuse import fold_batch_norm, fuse_add, fuse_bias, fuse_relu, open_epilogues
from .layout import compose_permutes, permute_as_reshape, permute_rows, sink_permutes, transpose_as_permute
from .rewrite import Rule, rewrite
from .share_common import share_common
from .without_empty import without_empty

LAYOUT: tuple[Rule, ...] = (transpose_as_permute, compose_permutes, sink_permutes, compose_permutes, permute_as_reshape)

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


def run_passes(graph: Graph) -> Iterator[tuple[str, Graph]]:
    """(name, graph) after every pass of the pipeline, verified."""
    checked: set[Node] = set()
    for rule in PIPELINE:
        before, graph = graph, rule(graph) if rule is share_common else rewrite(graph, rule)  # type: ignore[arg-type]
        yield rule.__name__, graph if graph is before else verify(graph, checked)


def optimize(graph: Graph) -> Graph:
    """The graph after the whole pipeline, in which no pass asks for the value of an open size."""
    with watched(for_every_size):
        return list(run_passes(graph))[-1][1]
