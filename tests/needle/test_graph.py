"""Tuples in the graph, lazy mode and tracing, memory and depth. In both array modes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import Tensor, TensorTuple, autograd, ops
from needle.errors import IndexRangeError, NeedleError, ShapeError
from needle.sizes import dim
from needle.types import Type

pytestmark = pytest.mark.both_modes
DEEP = 20_000  # nodes in a chain, far beyond Python's recursion limit


@pytest.fixture
def lazy() -> Iterator[None]:
    autograd.LAZY_MODE = True
    yield
    autograd.LAZY_MODE = False


def leaf(*values: Any) -> Tensor:
    return Tensor(np.array(values, dtype="float32"))


# -- tuples ------------------------------------------------------------------------------------------------------------


def test_an_item_of_a_made_tuple_is_the_very_tensor() -> None:
    a, b = leaf(1), leaf(2)
    made = ops.make_tuple(a, b)
    assert made[0] is a and made[-1] is b and len(made) == 2 and made.tuple() == (a, b)
    constant = Tensor(np.ones(2), requires_grad=False)
    assert ops.make_tuple(constant)[0] is constant
    with pytest.raises(IndexError):
        made[2]


def test_items_of_a_computed_tuple_are_nodes() -> None:
    parts = ops.fused_add_scalars(leaf(1.0, 2.0), 1, 2)
    assert isinstance(parts, TensorTuple) and parts[0].op == ops.TupleGetItem(0) and parts[0].inputs[0] is parts
    (parts[0] + parts[1] * 2).sum().backward()
    np.testing.assert_allclose(parts.inputs[0].grad.numpy(), [3.0, 3.0])
    assert len(parts.detach()) == 2 and parts.detach().op is None
    with pytest.raises(IndexRangeError, match=r"takes one index, got a slice: x.tuple\(\) makes a tuple that has them"):
        parts[:2]


def test_items_that_are_not_used_add_nothing() -> None:
    x = leaf(*range(40))
    parts = ops.split(x, 0)
    total = parts[3] * 2
    for k in range(5, 40, 2):
        total = total + parts[k]
    before = autograd.TENSOR_COUNTER
    total.backward()
    assert autograd.TENSOR_COUNTER - before < 200 * len(parts)
    expected = np.zeros(40)
    expected[5::2], expected[3] = 1, 2
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_stack_has_one_tuple_as_its_gradient() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = ops.stack([a, b], 1)
    (adjoint,) = y.op.gradient_as_tuple(ndl.ones(2, 2), y)
    assert isinstance(adjoint, TensorTuple) and len(adjoint) == 2


def test_tuples_add_item_by_item() -> None:
    a, b = leaf(1.0), leaf(2.0)
    total = ops.make_tuple(a, b) + ops.make_tuple(b, b)
    np.testing.assert_allclose([x.numpy()[0] for x in total], [3.0, 4.0])
    with pytest.raises(ShapeError, match="two tuples of one length"):
        ops.make_tuple(a) + ops.make_tuple(a, b)


# -- lazy mode and types -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lazy")
def test_lazy_mode_computes_when_asked() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2 + 1
    assert y.cached_data is None and y.inputs[0].cached_data is None and y.shape == (2,) and str(y.dtype) == "float32"
    np.testing.assert_allclose(y.numpy(), [3.0, 5.0])
    assert y.cached_data is not None and y.inputs[0].cached_data is not None
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [2.0, 2.0])


@pytest.mark.usefixtures("lazy")
def test_a_traced_graph_keeps_named_sizes() -> None:
    batch = dim("batch", 7)
    x = Tensor.make_placeholder(Type((batch, 4), "float32"))
    weight, bias = ndl.init.rand(4, 3), ndl.init.rand(3)
    y = ops.relu(ops.matmul(x, weight) + ops.broadcast_to(bias, (x.shape[0], 3)))
    assert y.type == Type((7, 3), "float32") and repr(y.shape) == "(batch, 3)"
    assert repr(ops.reshape(y, (-1,)).shape) == "(3*batch,)" and repr(ops.transpose(y).shape) == "(3, batch)"
    with pytest.raises(NeedleError, match="placeholder"):
        y.numpy()


@pytest.mark.usefixtures("lazy")
def test_a_wrong_shape_is_refused_while_tracing() -> None:
    x = Tensor.make_placeholder(Type((2, 3), "float32"))
    with pytest.raises(ShapeError, match="inner sizes must agree"):
        ops.matmul(x, x)


def test_a_long_lazy_chain_does_not_recurse(lazy: None) -> None:
    y = x = leaf(1.0)
    for _ in range(DEEP):
        y = y + 1
    np.testing.assert_allclose(y.numpy(), [1.0 + DEEP])
    assert x.requires_grad


# -- memory and depth --------------------------------------------------------------------------------------------------


def test_deep_graphs_are_walked_and_freed_without_recursion() -> None:
    gc.collect()  # what earlier tests left behind must not be freed in between
    start = autograd.TENSOR_COUNTER
    y = x = leaf(1.0)
    for _ in range(DEEP):
        y = y * 1.0
    assert len(autograd.find_topo_sort([y])) == DEEP + 1
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.0])
    del x, y
    gc.collect()
    assert autograd.TENSOR_COUNTER - start == 0


def test_the_number_of_live_tensors_stays_bounded_over_training() -> None:
    draw = np.random.default_rng(0)
    model = ndl.nn.Sequential(ndl.nn.Linear(4, 8), ndl.nn.ReLU(), ndl.nn.BatchNorm1d(8), ndl.nn.Linear(8, 3))
    optimizer = ndl.optim.Adam(model.parameters(), lr=0.01)
    x = Tensor(draw.standard_normal((6, 4)).astype("float32"), requires_grad=False)
    labels = Tensor(np.array([0, 1, 2, 0, 1, 2]), requires_grad=False)
    counts = []
    gc.disable()  # freed by reference counts alone: no cycles
    try:
        for _ in range(6):
            optimizer.reset_grad()
            ndl.nn.SoftmaxLoss()(model(x), labels).backward()
            optimizer.step()
            counts.append(autograd.TENSOR_COUNTER)
    finally:
        gc.enable()
    assert len(set(counts[1:])) == 1


def test_a_gradient_that_is_dropped_frees_its_graph() -> None:
    x = leaf(1.0, 2.0)
    gc.collect()
    start = autograd.TENSOR_COUNTER
    gc.disable()
    try:
        ops.tanh(x * x).sum().backward()
        x.grad = None
        assert autograd.TENSOR_COUNTER - start == 0
    finally:
        gc.enable()


def test_data_is_the_same_memory_without_the_graph() -> None:
    x = leaf(1.0, 2.0)
    assert x.data.op is None and not x.data.requires_grad and x.data.cached_data is x.cached_data
    x.data = leaf(5.0, 6.0)
    np.testing.assert_allclose(x.numpy(), [5.0, 6.0])
    with pytest.raises(TypeError, match="needs a Tensor"):
        x.data = np.ones(2)  # type: ignore[assignment]


def test_the_gradient_of_a_loop_over_slices_takes_as_many_nodes_as_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made, init = [], autograd.Value._init
    monkeypatch.setattr(autograd.Value, "_init", lambda *args, **options: made.append(init(*args, **options)))

    def nodes(steps: int) -> int:
        x = ndl.Tensor(np.ones((steps, 2)))
        h = ndl.Tensor(np.zeros(2), requires_grad=False)
        for part in ops.split(x, 0):
            h = h * 0.5 + part * part
        h.sum().backward()
        np.testing.assert_allclose(x.grad.numpy()[:, 0], [2 * 0.5**k for k in reversed(range(steps))], rtol=1e-5)
        count = len(made)
        made.clear()
        return count

    assert nodes(80) < 2.1 * nodes(40)


def test_items_of_a_tuple_add_up_with_each_other_and_with_whole_tuples() -> None:
    x = ndl.Tensor(np.arange(6.0).reshape(3, 2))
    parts = ops.split(x, 0)
    ((parts[0] * 2 + parts[2] * 3 + parts[0]) + ops.stack(list(parts), 0).sum((0,))).sum().backward()
    assert x.grad.numpy().tolist() == [[4, 4], [1, 1], [4, 4]]
