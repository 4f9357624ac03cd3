"""Every pass keeps the numbers, and does what its equation says."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from deploy import Graph, GraphError, interpreter
from deploy.compare import random_inputs, relative_error
from deploy.fused_ops import FusedConv, FusedMatMul, FusedTransposedConv
from deploy.generate import generate
from deploy.ir import Input, Node, apply, constant, weight
from deploy.lower import lower
from deploy.nd import structure
from deploy.passes import PIPELINE, optimize, run_passes
from deploy.passes.below_reshape import below_reshape
from deploy.passes.cancel_tuples import cancel_tuples
from deploy.passes.convolution import conv_as_matmul, cut_padding_taps
from deploy.passes.fuse import fold_batch_norm, fuse_add, fuse_bias, fuse_relu
from deploy.passes.layout import (
    compose_permutes,
    permute_as_reshape,
    permute_rows,
    sink_permutes,
    split_before_permute,
    transpose_as_permute,
)
from deploy.passes.open_epilogues import open_epilogues
from deploy.passes.rewrite import rewrite
from deploy.passes.share_common import share_common
from needle import ops
from needle.sizes import dim
from needle.types import Type

draw = np.random.default_rng(0)
count = itertools.count()
BATCH = dim("batch", 7)


def x(*shape: int) -> Node:
    return Node(Input("x"), (), Type((BATCH, *shape)))


def c(*shape: int) -> Node:
    return weight(draw.uniform(0.5, 1.5, shape).astype("float32"), f"w{next(count)}")


def graph_of(*outputs: Node) -> Graph:
    nodes = Graph((), tuple((f"y{i}", node) for i, node in enumerate(outputs)))
    inputs = tuple(dict.fromkeys(node for node in nodes.order() if isinstance(node.op, Input)))
    return Graph(inputs, nodes.outputs)


def kinds(graph: Graph) -> Counter[str]:
    """How many nodes of each op there are, but for those that make weights of weights."""
    return Counter(type(node.op).__name__ for node in graph.order() if not (node.known and node.inputs))


def assert_same_numbers(before: Graph, after: Graph) -> None:
    inputs = random_inputs(before, 3)
    expected, found = interpreter.run(before, inputs), interpreter.run(after, inputs)
    for name in expected:
        assert relative_error(found[name], expected[name]) < 2e-6, name


def test_every_pass_of_the_pipeline_keeps_the_numbers(graph: Graph) -> None:
    inputs = random_inputs(graph, 3)
    expected = interpreter.run(graph, inputs)["logits"]
    passed = list(run_passes(graph))
    assert len(passed) == len(PIPELINE)
    for name, after in passed:
        assert relative_error(interpreter.run(after, inputs)["logits"], expected) < 2e-6, name


def test_a_residual_network_becomes_convolutions_and_products_only(graph: Graph) -> None:
    found = kinds(optimize(graph))
    del found["Weight"], found["Input"]
    assert found == {"Permute": 1, "FusedConv": 3, "Reshape": 1, "FusedMatMul": 4}


def norm(y: Node) -> Node:
    return apply(ops.BatchNormInference(1e-3), y, *(c(y.shape[-1]) for _ in range(4)))


def product(y: Node) -> Node:
    return apply(FusedConv(1, 1), y, c(3, 3, y.shape[-1], 4))


def plus(a: Node, b: Node) -> Node:
    return apply(ops.EWiseAdd(), a, b)


def swapped(y: Node, *axes: int) -> Node:
    return apply(ops.Permute(axes), y)


def spread(y: Node, *shape: int) -> Node:
    """Something of `shape` that depends on y."""
    return apply(
        ops.BroadcastTo((BATCH, *shape)), apply(ops.Reshape((BATCH, 1, 1, 1)), apply(ops.Summation((1, 2, 3)), y))
    )


IMAGE, SQUARE = x(3, 5, 2), x(2, 2, 3)

# name: (rule, an expression it applies to, op classes that must be gone, classes that must be there)
RULES: dict[str, tuple[Any, Node, tuple[type, ...], tuple[type, ...]]] = {
    "tuples": (
        cancel_tuples,
        apply(ops.TupleGetItem(1), apply(ops.MakeTensorTuple(), c(2), apply(ops.ReLU(), x(2)))),
        (ops.TupleGetItem, ops.MakeTensorTuple), (ops.ReLU,),
    ),
    "transpose": (transpose_as_permute, apply(ops.Transpose((-1, 1)), IMAGE), (ops.Transpose,), (ops.Permute,)),
    "negative axes": (transpose_as_permute, swapped(IMAGE, 0, -1, -3, -2), (), (ops.Permute,)),
    "two permutes": (compose_permutes, swapped(swapped(IMAGE, 0, 2, 3, 1), 0, 3, 1, 2), (ops.Permute,), ()),
    "no permute": (compose_permutes, swapped(IMAGE, 0, 1, 2, 3), (ops.Permute,), ()),
    "sink": (sink_permutes, swapped(apply(ops.ReLU(), swapped(IMAGE, 0, 3, 1, 2)), 0, 2, 3, 1), (), (ops.ReLU,)),
    "sink two": (
        sink_permutes,
        plus(swapped(IMAGE, 0, 3, 1, 2), swapped(apply(ops.Exp(), IMAGE), 0, 3, 1, 2)), (), (ops.Permute,),
    ),
    "sink broadcast": (
        sink_permutes,
        plus(apply(ops.BroadcastTo((BATCH, 2, 3, 5)), c(2, 1, 1)), swapped(IMAGE, 0, 3, 1, 2)), (), (ops.Permute,),
    ),
    "moved ones": (permute_as_reshape, swapped(x(1, 1, 6), 0, 3, 1, 2), (ops.Permute,), (ops.Reshape,)),
    "split": (
        split_before_permute,
        apply(ops.Reshape((3, BATCH, 2, 4)), swapped(apply(ops.Reshape((2 * BATCH, 3, 4)), x(6, 4)), 1, 0, 2)),
        (), (ops.Permute,),
    ),
    "rows": (
        permute_rows,
        apply(ops.MatMul(), apply(ops.Reshape((BATCH, 30)), swapped(IMAGE, 0, 3, 1, 2)), c(30, 4)), (ops.Permute,), (),
    ),
    "open": (open_epilogues, apply(ops.Conv(2, 1), IMAGE, c(3, 3, 2, 4)), (ops.Conv,), (FusedConv,)),
    "open rows": (open_epilogues, apply(ops.MatMul(), IMAGE, c(2, 4)), (ops.MatMul,), (FusedMatMul,)),
    "open transposed": (
        open_epilogues, apply(ops.ConvInputGradient(2, 1, 6, 10), IMAGE, c(4, 4, 3, 2)),
        (ops.ConvInputGradient,), (FusedTransposedConv,),
    ),
    "norm of transposed": (
        fold_batch_norm, norm(apply(FusedTransposedConv(2, 1, 6, 10), IMAGE, c(4, 4, 2, 4))),
        (ops.BatchNormInference,), (FusedTransposedConv,),
    ),
    "bias": (
        fuse_bias,
        plus(product(IMAGE), apply(ops.BroadcastTo((BATCH, 3, 5, 4)), c(4))), (ops.EWiseAdd, ops.BroadcastTo), (),
    ),
    "bias first": (fuse_bias, plus(c(4), product(IMAGE)), (ops.EWiseAdd,), ()),
    "norm": (fold_batch_norm, norm(product(IMAGE)), (ops.BatchNormInference,), (FusedConv,)),
    "norm of linear": (
        fold_batch_norm, norm(apply(FusedMatMul(("bias",)), x(3), c(3, 4), c(4))), (ops.BatchNormInference,), (),
    ),
    "relu": (fuse_relu, apply(ops.ReLU(), product(IMAGE)), (ops.ReLU,), (FusedConv,)),
    "add": (fuse_add, plus(product(IMAGE), apply(ops.Exp(), product(IMAGE))), (ops.EWiseAdd,), (ops.Exp,)),
    "small map": (conv_as_matmul, apply(FusedConv(1, 0, ("bias",)), IMAGE, c(1, 1, 2, 4), c(4)), (FusedConv,), ()),
    "whole map": (
        conv_as_matmul,
        apply(FusedConv(2, 0, ("relu", "add")), SQUARE, c(2, 2, 3, 4), spread(SQUARE, 1, 1, 4)), (FusedConv,), (),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "expression", "gone", "there"), RULES.values(), ids=RULES)
def test_rule(rule: Any, expression: Node, gone: tuple[type, ...], there: tuple[type, ...]) -> None:
    before = graph_of(expression)
    after = rewrite(before, rule)
    found = kinds(after)
    assert kinds(before) != found or [str(n) for n in before.order()] != [str(n) for n in after.order()]
    assert not any(found[op.__name__] for op in gone) and all(found[op.__name__] for op in there)
    assert_same_numbers(before, after)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "left"),
    [
        (1, 3, 1, 1, 1),
        (2, 3, 2, 1, 2),
        (1, 7, 1, 3, 1),
        (2, 5, 1, 2, 3),
        (4, 3, 1, 1, 3),
        (3, 7, 2, 3, 5),
        (4, 4, 4, 0, 4),
    ],
)
def test_taps_that_only_meet_padding_are_cut(size: int, kernel: int, stride: int, padding: int, left: int) -> None:
    before = graph_of(apply(FusedConv(stride, padding), x(size, size, 2), c(kernel, kernel, 2, 3)))
    after = rewrite(before, cut_padding_taps)
    assert after.outputs[0][1].inputs[1].shape[0] == left
    assert_same_numbers(before, after)


def test_taps_stay_where_a_kernel_without_them_does_not_fit() -> None:
    before = graph_of(apply(FusedConv(2, 1), x(3, 4, 2), c(5, 5, 2, 3)))
    assert_same_numbers(before, rewrite(before, cut_padding_taps))


def test_a_convolution_of_nothing_but_padding_keeps_its_taps() -> None:
    before = graph_of(apply(FusedConv(3, 1), x(1, 1, 2), c(1, 1, 2, 3)))
    assert rewrite(before, cut_padding_taps) is before


@pytest.mark.parametrize(
    "other",
    [
        apply(ops.BroadcastTo((4, 4)), apply(ops.Reshape((4, 1)), c(4))),  # a number for each row
        apply(ops.Reshape((1, 1, 4)), c(4)),  # the sum has an axis more
        constant(np.arange(4, dtype="int32")),
        constant(np.arange(4, dtype="float64")),  # the sum is of float64
        constant(np.ones((4, 4))),
    ],
    ids=str,
)
def test_what_is_no_bias_of_the_channels_stays_a_sum(other: Node) -> None:
    rows = Node(Input("x"), (), Type((4, 3)))
    before = graph_of(apply(ops.ReLU(), plus(apply(ops.MatMul(), rows, c(3, 4)), other)))
    after = optimize(before)
    assert kinds(after)["EWiseAdd"] == 1
    assert_same_numbers(before, after)


def test_a_number_for_each_row_stays_behind_a_reshape() -> None:
    rows = apply(ops.BroadcastTo((2, 4, 4)), apply(ops.Reshape((4, 1)), c(4)))
    view = apply(ops.Reshape((2, 4, 4)), apply(FusedMatMul(), Node(Input("x"), (), Type((8, 3))), c(3, 4)))
    before = graph_of(plus(view, rows))
    after = rewrite(before, below_reshape)
    assert kinds(after) == kinds(before)
    assert_same_numbers(before, after)


def test_permutes_of_what_is_read_with_strides_come_to_rest() -> None:
    pixel = x(1, 1, 1)
    repeated = apply(ops.BroadcastTo((BATCH, 2, 3, 5)), pixel)
    for other in (c(1, 5, 2), pixel):
        before = graph_of(plus(swapped(repeated, 0, 2, 3, 1), apply(ops.BroadcastTo((BATCH, 3, 5, 2)), other)))
        assert_same_numbers(before, rewrite(before, sink_permutes))


def test_rules_leave_alone_what_is_used_twice() -> None:
    y = product(IMAGE)
    for rule, user in ((fuse_relu, apply(ops.ReLU(), y)), (fold_batch_norm, norm(y)), (fuse_add, plus(y, y))):
        before = graph_of(user, y)
        assert kinds(rewrite(before, rule)) == kinds(before)


def test_equal_nodes_are_shared() -> None:
    a, b = (apply(ops.MulScalar(2.0), IMAGE) for _ in range(2))
    other = apply(ops.MulScalar(3.0), IMAGE)
    one, same = (constant(np.arange(2, dtype="float32")) for _ in range(2))
    before = graph_of(plus(plus(a, one), plus(plus(b, same), other)))
    after = share_common(before)
    assert kinds(after) == {"Input": 1, "MulScalar": 2, "Constant": 1, "EWiseAdd": 3}
    assert_same_numbers(before, after)


def test_large_broadcasts_are_read_with_stride_0() -> None:
    graph = graph_of(plus(Node(Input("x"), (), Type((300, 300))), apply(ops.BroadcastTo((300, 300)), c(300))))
    assert lower(optimize(graph)).block_floats < 400


def test_no_pass_looks_at_the_values_of_weights(graph: Graph) -> None:
    equal = graph.with_weights({name: np.ones_like(array) for name, array in graph.weights().items()})
    assert structure(equal) == structure(graph) and structure(optimize(equal)) == structure(optimize(graph))
    assert generate(lower(optimize(equal)), "m").files == generate(lower(optimize(graph)), "m").files


def test_a_pass_that_changes_a_type_or_never_ends_is_an_error() -> None:
    graph = graph_of(apply(ops.ReLU(), IMAGE))

    def changes(node: Node, uses: Counter[Node]) -> Node | None:
        return apply(ops.Reshape((BATCH, 30)), IMAGE) if isinstance(node.op, ops.ReLU) else None

    def again(node: Node, uses: Counter[Node]) -> Node | None:
        return apply(ops.ReLU(), node.inputs[0]) if isinstance(node.op, ops.ReLU) else None

    with pytest.raises(GraphError, match=r"changes replaced .* differs in type"):
        rewrite(graph, changes)
    with pytest.raises(GraphError, match="did not end"):
        rewrite(graph, again)


def test_what_follows_a_product_through_a_reshape_is_its_epilogue() -> None:
    x = Node(Input("x"), (), Type((dim("batch", 7), 5, 4)))
    w, b = (weight(np.ones(shape, "float32"), name) for name, shape in (("w", (4, 4)), ("b", (4,))))
    product = apply(ops.MatMul(), x, w)
    biased = apply(ops.EWiseAdd(), product, apply(ops.BroadcastTo(product.shape), apply(ops.Reshape((1, 1, 4)), b)))
    y = apply(ops.EWiseAdd(), apply(ops.SiLU(), biased), x)
    optimised = optimize(Graph((x,), (("y", y),)))
    assert [n.op.epilogue for n in optimised.order() if isinstance(n.op, FusedMatMul)] == [("bias", "silu", "add")]
    given = {"x": np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")}
    expected = interpreter.run(Graph((x,), (("y", y),)), given)["y"]
    np.testing.assert_allclose(interpreter.run(optimised, given)["y"], expected, rtol=1e-6)


def test_activations_are_steps_of_the_product() -> None:
    x = Node(Input("x"), (), Type((3, 4)))
    product = apply(ops.MatMul(), x, weight(np.ones((4, 4), "float32"), "w"))
    gate = apply(ops.Clip(0.0, 1.0), apply(ops.AddScalar(0.5), apply(ops.MulScalar(1 / 6), product)))
    for y in (
        apply(ops.Clip(0.0, 6.0), product), apply(ops.SiLU(), product), gate, apply(ops.EWiseMul(), product, gate),
        apply(ops.EWiseMul(), apply(ops.Sigmoid(), product), product),
    ):  # fmt: skip
        graph = Graph((x,), (("y", y),))
        together = optimize(graph)
        (fused,) = [n for n in together.order() if isinstance(n.op, FusedMatMul)]
        assert len(fused.op.epilogue) == 1 and together.outputs[0][1] is fused
        given = {"x": np.linspace(-3, 3, 12, dtype="float32").reshape(3, 4)}
        values = [interpreter.run(each, given)["y"] for each in (graph, together)]
        np.testing.assert_allclose(values[1], values[0], rtol=1e-6, atol=1e-6)


def test_equal_permutes_move_behind_what_joins_them() -> None:
    maps = [x(4, 5, n) for n in (2, 3)]
    inputs = tuple(Node(Input(f"x{i}"), (), each.type) for i, each in enumerate(maps))
    turned = [apply(ops.Permute((0, 3, 1, 2)), each) for each in inputs]
    joined = apply(ops.Concat(1), apply(ops.MakeTensorTuple(), *turned))
    gate = apply(ops.Permute((0, 3, 1, 2)), apply(ops.Mean((1, 2), True), inputs[0]))
    back = [apply(ops.Permute((0, 2, 3, 1)), y) for y in (joined, apply(ops.EWiseMul(), turned[0], gate))]
    graph = Graph(inputs, tuple((f"y{i}", y) for i, y in enumerate(back)))
    optimised = optimize(graph)
    assert not any(isinstance(n.op, ops.Permute) for n in optimised.order())
    given = random_inputs(graph, 3)
    for name, y in interpreter.run(graph, given).items():
        np.testing.assert_array_equal(interpreter.run(optimised, given)[name], y)
