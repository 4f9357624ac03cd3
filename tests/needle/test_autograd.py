"""The graph and its gradients: order, identity, sums over paths, gradients of gradients. In both array modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import Tensor, autograd, ops
from needle.errors import DTypeError, NeedleError, ShapeError

pytestmark = pytest.mark.both_modes


def leaf(*values: Any) -> Tensor:
    return Tensor(np.array(values, dtype="float32"))


# -- the graph ---------------------------------------------------------------------------------------------------------


def test_a_node_remembers_its_op_and_its_very_inputs() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    y = a * b
    assert y.op == ops.EWiseMul() and y.inputs[0] is a and y.inputs[1] is b
    assert not y.is_leaf() and a.is_leaf() and a.op is None and list(a.inputs) == []


def test_operators_build_the_ops_of_the_course() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    difference = a - b
    assert difference.op == ops.EWiseAdd() and difference.inputs[1].op == ops.Negate()
    assert (a - 2).op == ops.AddScalar(-2) and (3 * a).op == ops.MulScalar(3) and (a**2).op == ops.PowerScalar(2)
    assert (a / b).op == ops.EWiseDiv() and (a / 2).op == ops.DivScalar(2) and (-a).op == ops.Negate()
    np.testing.assert_allclose((5 - a).numpy(), [4, 3])
    assert "needle.ops.ops_mathematic.AddScalar" in f"{type((a + 1).op).__module__}.{type((a + 1).op).__qualname__}"


def test_constants_leave_no_graph() -> None:
    a = Tensor(np.ones((2, 2)), requires_grad=False)
    y = a @ a + a
    assert y.op is None and list(y.inputs) == [] and not y.requires_grad


def test_topological_order_is_a_post_order_walk_over_the_inputs() -> None:
    a, b = leaf(1), leaf(2)
    product = a * b
    total = product + a
    result = total / product
    assert autograd.find_topo_sort([result]) == [a, b, product, total, result]
    assert autograd.find_topo_sort([b, result]) == [b, a, product, total, result]
    order: list[autograd.Value] = []
    autograd.topo_sort_dfs(total, {b}, order)
    assert order == [a, product, total]


def test_sum_of_adjoints_adds_no_zero() -> None:
    a, b = leaf(1), leaf(2)
    assert autograd.sum_node_list([a]) is a
    total = autograd.sum_node_list([a, b, a])
    assert total.inputs[0].inputs[0] is a and total.inputs[1] is a


def test_one_op_object_equals_another_with_the_same_attributes() -> None:
    assert ops.Summation([0, 1]) == ops.Summation((0, 1)) and len({ops.Reshape([2]), ops.Reshape((2,))}) == 1
    assert ops.Summation(0) != ops.Summation(1)


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_gradients_add_up_over_all_paths() -> None:
    x = leaf(3.0)
    y = x * x + x * 2 + x
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [9.0])


def test_each_backward_overwrites_the_gradients() -> None:
    x = leaf(1.0, 2.0)
    for _ in range(3):
        (x * x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [2.0, 4.0])


def test_inner_nodes_get_gradients_too() -> None:
    x = leaf(1.0, 2.0)
    inner = x * 3
    y = (inner * inner).sum()
    y.backward()
    np.testing.assert_allclose(inner.grad.numpy(), [6.0, 12.0])
    np.testing.assert_allclose(y.grad.numpy(), np.ones(y.shape))


def test_a_graph_that_need_not_be_kept_is_let_go_of_on_the_way() -> None:
    x = leaf(1.0, 2.0)
    inner = x * 3
    y = (inner * inner + inner).sum()
    y.backward()
    kept = x.grad.numpy()
    y.backward(keep_graph=False)
    assert (x.grad.numpy() == kept).all()
    assert not any(node.inputs for node in (inner, y))
    np.testing.assert_allclose(inner.numpy(), [3.0, 6.0])
    for again in (y, (inner * 2).sum()):
        with pytest.raises(NeedleError, match=r"\[backward\] leads through a graph that .* let go"):
            (again + x.sum()).backward()
        np.testing.assert_array_equal(x.grad.numpy(), kept)
    (inner.detach() * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3.0, 6.0])


def test_what_nobody_holds_is_free_once_its_gradient_was_passed_on() -> None:
    x = leaf(1.0, 2.0)
    counts: list[int] = []

    class Twice(autograd.TensorOp):
        def compute(self, a: Any) -> Any:
            return a + a

        def gradient(self, out_grad: Tensor, node: Any) -> Any:
            counts.append(autograd.TENSOR_COUNTER)
            return (out_grad + out_grad,)

    y = x
    for _ in range(50):
        y = Twice()(y)
    y = y.sum()
    with ndl.no_grad():
        y.backward(keep_graph=False)
    assert counts[0] - counts[-1] > 40


def test_gradients_of_gradients() -> None:
    x = leaf(2.0, -3.0)
    (x**4).sum().backward()
    for expected in ([4 * 8, 4 * -27], [12 * 4, 12 * 9], [24 * 2, 24 * -3], [24, 24]):
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-5)
        x.grad.backward()


def test_gradient_of_a_gradient_through_one_tensor_used_thrice() -> None:
    draw = np.random.default_rng(0)
    x = Tensor.make_const(draw.standard_normal((1, 1, 3, 2)), requires_grad=True)
    seed = Tensor.make_const(np.ones((1, 1, 3, 2)))

    def slope() -> Tensor:
        return autograd.vjp({ops.attention(x, x, x, 1.0)[0]: seed}, [x])[0]

    (second,) = autograd.vjp({slope(): seed}, [x])
    values, eps = x.realize_cached_data(), 1e-6
    values[0, 0, 1, 0] += eps
    above = slope().numpy().sum()
    values[0, 0, 1, 0] -= 2 * eps
    difference = (above - slope().numpy().sum()) / (2 * eps)
    np.testing.assert_allclose(second.numpy()[0, 0, 1, 0], difference, rtol=1e-6)


def test_backward_starts_from_a_given_adjoint_of_the_same_shape() -> None:
    x = leaf(1.0, 2.0)
    (x * x).backward(leaf(10.0, 100.0))
    np.testing.assert_allclose(x.grad.numpy(), [20.0, 400.0])
    with pytest.raises(ShapeError, match=r"\[backward\] out_grad must have the tensor's shape \(2,\), got \(1,\)"):
        (x * x).backward(leaf(1.0))
    if ndl.BACKEND == "nd":  # numpy mode promotes
        message = r'out_grad must have the tensor\'s dtype float32, got float64; out_grad.astype\("float32"\) casts'
        for dtype in ("float64", "int32", "bool"):
            with pytest.raises(DTypeError, match=message.replace("float64", dtype)):
                (x * x).backward(Tensor([1, 1], dtype=dtype))


def test_what_requires_no_gradient_gets_none_and_costs_none() -> None:
    x, constant = leaf(1.0, 2.0), Tensor(np.array([3.0, 4.0], dtype="float32"), requires_grad=False)
    y = x * constant
    assert y.op.gradient_as_tuple(leaf(1.0, 1.0), y)[1] is None
    y.sum().backward()
    assert constant.grad is None and x.grad is not None


def test_a_parameter_that_is_replaced_still_receives_its_gradient() -> None:
    layer = ndl.nn.Linear(2, 2)
    layer.weight = Tensor(np.eye(2, dtype="float32"))
    layer(Tensor(np.ones((1, 2), dtype="float32"))).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), np.ones((2, 2)))


def test_vjp_leaves_grad_alone_and_stops_at_its_inputs() -> None:
    x, unused = leaf(2.0), leaf(5.0)
    inner = x * x
    outer = inner * 3 + inner
    adjoints = autograd.vjp({outer: leaf(1.0)}, [inner, unused])
    assert adjoints[1] is None and x.grad is None and inner.grad is None
    np.testing.assert_allclose(adjoints[0].numpy(), [4.0])
    several = autograd.vjp({outer: leaf(1.0), inner: leaf(10.0)}, [x, inner])
    np.testing.assert_allclose(several[1].numpy(), [14.0])


class Cube(ndl.autograd.TensorOp):
    """A user's op: no type rule, a gradient in a list."""

    def compute(self, a: Any) -> Any:
        return a * a * a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Any:
        return [out_grad * 3 * node.inputs[0] ** 2]


def test_a_users_op_needs_only_a_value_and_a_gradient() -> None:
    x = leaf(2.0)
    y = Cube()(x)
    y.backward()
    np.testing.assert_allclose(y.numpy(), [8.0])
    np.testing.assert_allclose(x.grad.numpy(), [12.0])
