"""Activation checkpointing: the same gradients and statistics, less memory."""

import gc
import tracemalloc

import numpy as np
import pytest

import needle as ndl
from needle import autograd, nn, ops
from needle.errors import NeedleError

pytestmark = pytest.mark.both_modes


def block(width=6):
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3))


def trained(wrap, blocks=3):
    """Outputs, gradients, statistics and the generator after a backward through blocks that `wrap` wraps."""
    np.random.seed(2)
    inner = [block() for _ in range(blocks)]
    model = nn.Sequential(*[wrap(b) for b in inner], nn.Linear(6, 3))
    x = ndl.Tensor(np.random.randn(5, 6))
    loss = nn.SoftmaxLoss()(model(x), ndl.Tensor([0, 1, 2, 0, 1]))
    loss.backward()
    arrays = [loss.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]
    return arrays + list(nn.Sequential(*inner).state_dict().values()) + [np.random.rand()]


@pytest.mark.parametrize("wrap", [
    nn.Recompute,
    lambda b: nn.Sequential(*b.modules[:1], nn.Recompute(nn.Sequential(*b.modules[1:]))),
    lambda b: nn.Recompute(nn.Sequential(nn.Recompute(nn.Sequential(*b.modules[:2])), *b.modules[2:])),
    lambda b: nn.Residual(nn.Recompute(b)),
], ids=["blocks", "parts", "nested", "residual"])  # fmt: skip
def test_gradients_statistics_and_draws_are_the_same_to_the_bit(wrap):
    plain = nn.Residual if isinstance(wrap(block()), nn.Residual) else lambda b: b
    for a, b in zip(trained(wrap), trained(plain), strict=True):
        np.testing.assert_array_equal(a, b)


def test_outside_training_it_is_the_module_itself():
    model = nn.Recompute(block())
    model.eval()
    x = ndl.Tensor(np.random.randn(5, 6))
    np.testing.assert_array_equal(model(x).numpy(), model.module(x).numpy())
    assert list(model.state_dict()) == [f"module.{name}" for name in model.module.state_dict()]


def test_several_outputs_other_arguments_and_captured_tensors():
    w, x = ndl.Tensor(np.random.randn(4, 4)), ndl.Tensor(np.random.randn(3, 4))

    def fn(x, power, scale, flip=True):
        y = ops.tanh(x @ w) ** power
        return y * scale, y.sum(), x

    def total(outputs):
        return outputs[0].sum() + outputs[1] * 2 + (outputs[2] * outputs[2]).sum()

    found = []
    for run in (fn, lambda *inputs: ndl.recompute(fn, *inputs)):
        scale = ndl.Tensor(2.0 * np.ones((3, 4)))
        total(run(x * 1.0, 3, scale)).backward()
        found.append([x.grad.numpy(), w.grad.numpy(), scale.grad.numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


CAPTURES = {  # of a function of z that uses h, computed before it, and what becomes of its result y
    "first": lambda h, v: (lambda z: (z @ v) * h, lambda y: y + h),
    "last": lambda h, v: (lambda z: (z @ v) * h, lambda y: h + y),
    "inside": lambda h, v: (lambda z: ops.tanh(z @ (h.T @ h)) * (h * 2), lambda y: y * h),
    "itself": lambda h, v: (lambda z: (z @ v, h), lambda y: y[0] + y[1] * h),
    "nested": lambda h, v: (lambda z: ndl.recompute(lambda t: ops.tanh(t) * h, z @ v) + h, lambda y: y * h),
}


@pytest.mark.parametrize("keep_graph", [True, False])
@pytest.mark.parametrize("name", CAPTURES)
def test_what_was_computed_before_may_be_used_inside_and_outside(name, keep_graph):
    """It is an input too: backward comes to it after the segment, whatever lets go of its graph."""
    found = []
    for run in (lambda fn, x: fn(x), ndl.recompute):
        x, w, v = (ndl.Tensor(np.random.RandomState(i).randn(4, 4), dtype="float64") for i in range(3))
        h = x @ w
        fn, after = CAPTURES[name](h, v)
        y = after(run(fn, x))
        y.sum().backward(keep_graph=keep_graph)
        found.append([t.grad.numpy() for t in (x, w, v) if t.grad is not None])
        if keep_graph:
            (x.grad * w.grad).sum().backward()
            found[-1] += [x.grad.numpy(), w.grad.numpy()]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_an_output_that_is_not_used_and_an_input_that_has_no_gradient():
    x, ids = ndl.Tensor(np.random.randn(3, 4)), ndl.Tensor([1.0, 2.0], requires_grad=False)
    y, _ = ndl.recompute(lambda x, ids: (x * x, (ids * ids)), x, ids)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy(), rtol=1e-6)
    assert ids.grad is None
    fixed = ndl.recompute(lambda ids: ids * 2, ids)
    assert fixed.op is None and not fixed.requires_grad


def test_second_gradients():
    x, w = ndl.Tensor(np.random.randn(3, 4)), ndl.Tensor(np.random.randn(4, 4))

    def fn(x):
        return ops.tanh(x @ w) * x

    found = []
    for run in (fn, lambda x: ndl.recompute(fn, x)):
        run(x).sum().backward()
        (x.grad * x.grad).sum().backward()
        found.append((x.grad.numpy(), w.grad.numpy()))
        (w.grad * w.grad).sum().backward()
        found[-1] += (x.grad.numpy(), w.grad.numpy())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_second_gradients_draw_the_same_numbers():
    dropout, found = nn.Dropout(0.5), []
    for run in (lambda x: dropout(x) * x * x, lambda x: ndl.recompute(lambda x: dropout(x) * x * x, x)):
        np.random.seed(1)
        x = ndl.Tensor(np.random.RandomState(0).randn(20))
        run(x).sum().backward()
        x.grad.sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_what_is_no_tensor_is_refused():
    with pytest.raises(NeedleError, match=r"\[recompute\] the function must give Tensors, one or a tuple, got a dict"):
        ndl.recompute(lambda x: {"y": x}, ndl.ones(2))


def deep(wrap, layers=16, width=64):
    np.random.seed(0)
    parts = [nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(width, width), nn.ReLU())])
             for _ in range(layers // 4)]  # fmt: skip
    return nn.Sequential(*[wrap(part) for part in parts])


def held(wrap):
    """How many Tensors live between forward and backward."""
    model, x = deep(wrap), ndl.Tensor(np.ones((256, 64)), requires_grad=False)
    gc.collect()
    before = autograd.TENSOR_COUNTER
    y = model(x).sum()
    after = autograd.TENSOR_COUNTER
    y.backward()
    return after - before


def test_fewer_tensors_live_between_forward_and_backward():
    assert held(nn.Recompute) < 15 and held(lambda m: m) >= 32


def peak(wrap):
    """The most bytes that forward and backward needed at one time, beyond the model's."""
    model, x = deep(wrap), ndl.Tensor(np.ones((2048, 64)), requires_grad=False)
    gc.collect()
    tracemalloc.start()
    try:
        model(x).sum().backward()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(ndl.BACKEND != "np", reason="tracemalloc sees the memory of numpy's arrays alone")
def test_the_peak_of_memory_falls():
    assert peak(nn.Recompute) < 0.6 * peak(lambda m: m)


def test_memory_stays_bounded_over_training_steps():
    model = nn.Sequential(nn.Recompute(block()), nn.Recompute(block()), nn.Linear(6, 3))
    step = ndl.TrainStep(model, nn.SoftmaxLoss(), ndl.optim.Adam(model.parameters()))
    alive = []
    for _ in range(6):
        step(ndl.Tensor(np.ones((4, 6))), ndl.Tensor([0, 1, 2, 0]))
        gc.collect()
        alive.append(autograd.TENSOR_COUNTER)
    assert alive[1] == alive[-1]
