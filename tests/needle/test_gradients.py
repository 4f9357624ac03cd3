"""Clipping of gradients, and gradients summed over several backwards."""

import math

import numpy as np
import pytest

import needle as ndl
from needle import nn, ops, optim
from needle.errors import NeedleError, SettingError

pytestmark = pytest.mark.both_modes


def graded(*grads):
    """Parameters with these gradients; None is a parameter without one."""
    params = [nn.Parameter(ndl.Tensor(np.zeros(3 if g is None else np.shape(g)))) for g in grads]
    for param, g in zip(params, grads, strict=True):
        param.grad = None if g is None else ndl.Tensor(np.asarray(g, "float32"), dtype="float32")
    return params


@pytest.mark.parametrize("max_norm", [0.25, 100.0])
def test_the_norm_is_that_of_all_gradients_together(max_norm):
    rng = np.random.default_rng(0)
    grads = [rng.normal(size=(300, 70)), None, rng.normal(size=5)]
    params = graded(*grads)
    norm = math.sqrt(sum((g**2).sum() for g in grads if g is not None))
    for found in (ndl.clip_grad_norm(params, max_norm), optim.SGD(graded(*grads)).clip_grad_norm(max_norm)):
        assert found == pytest.approx(norm, rel=1e-6)
    for param, g in zip(params, grads, strict=True):
        if g is not None:
            np.testing.assert_allclose(param.grad.numpy(), g * min(1, max_norm / (norm + 1e-6)), rtol=1e-5)
    assert params[1].grad is None
    assert ndl.clip_grad_norm(params, max_norm) <= max(max_norm, norm) * (1 + 1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_that_is_not_finite_is_refused_and_changes_nothing(bad):
    params = graded([1.0, 2.0], None, [3.0, bad])
    with pytest.raises(NeedleError, match=r"\[clip_grad_norm\] .* is (nan|inf): that of the parameter at index 2"):
        ndl.clip_grad_norm(params, 0.1)
    assert params[0].grad.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("size", [1e19, 5e37, 1e-19, 1e-30, 1e-37])
def test_norms_whose_squares_float32_does_not_hold(size):
    params = graded([3 * size], [[0.0, 4 * size]])
    assert ndl.clip_grad_norm(params, 1e39) == pytest.approx(5 * size, rel=1e-6)
    assert ndl.clip_grad_norm(params, 1.0) == pytest.approx(5 * size, rel=1e-6)
    found = [params[0].grad.numpy()[0], *params[1].grad.numpy()[0]]
    np.testing.assert_allclose(found, [0.6, 0, 0.8] if size > 1 else [3 * size, 0, 4 * size], rtol=1e-6)


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_norms_whose_squares_float64_does_not_hold(size):
    param = nn.Parameter(ndl.Tensor(np.zeros(2), dtype="float64"))
    param.grad = ndl.Tensor([3 * size, 4 * size], dtype="float64")
    assert ndl.clip_grad_norm([param], 1.0) == pytest.approx(5 * size, rel=1e-12)
    np.testing.assert_allclose(param.grad.numpy(), [0.6, 0.8] if size > 1 else [3 * size, 4 * size], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")
def test_a_step_with_a_loss_or_a_norm_that_is_not_finite_changes_no_weights():
    layer = nn.Linear(2, 1)
    before = layer.weight.numpy().copy()
    step = ndl.TrainStep(layer, nn.MSELoss(), optim.SGD(layer.parameters(), lr=0.1), clip_norm=1.0)
    assert math.isnan(step(ndl.Tensor([[1.0, np.nan]]), ndl.Tensor([[0.0]]))["loss"])
    step.loss = lambda x: ops.sqrt(ops.summation(layer(x) * 0))  # the loss is 0, its slope infinite
    with pytest.raises(NeedleError, match="norm of the gradients is nan"):
        step(ndl.Tensor([[1.0, 2.0]]))
    np.testing.assert_array_equal(layer.weight.numpy(), before)


def test_clipping_nothing_and_by_nothing():
    assert ndl.clip_grad_norm(graded(None), 1.0) == 0.0 == ndl.clip_grad_norm(graded([0.0, 0.0]), 1.0)
    with pytest.raises(SettingError, match=r"\[clip_grad_norm\] max_norm must be greater than 0, got 0"):
        ndl.clip_grad_norm(graded([1.0]), 0)


def test_clipping_each_element():
    params = graded([1.0, -3.0, 0.5], None)
    ndl.clip_grad_value(params, 0.75)
    assert params[0].grad.numpy().tolist() == [0.75, -0.75, 0.5] and params[1].grad is None
    with pytest.raises(SettingError, match=r"\[clip_grad_value\] max_value must be greater than 0, got -1"):
        ndl.clip_grad_value(params, -1)


@pytest.mark.parametrize("take", [
    lambda params: ndl.clip_grad_norm(params, 1.0), lambda params: ndl.clip_grad_value(params, 1.0),
    ndl.GradientAccumulator, optim.WeightAverage,
])  # fmt: skip
def test_what_is_no_list_of_tensors_is_refused(take):
    with pytest.raises(NeedleError, match=r"needs a list of parameters, got a Linear: is it module.parameters\(\) you"):
        take(nn.Linear(2, 2))
    with pytest.raises(NeedleError, match="needs Tensors as parameters, got a float at index 0"):
        take([1.0])


def model_and_data():
    np.random.seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, np.random.randn(12, 4).astype("float32"), (np.arange(12) % 3).astype("float32")


def gradients(model, x, y):
    nn.SoftmaxLoss()(model(ndl.Tensor(x)), ndl.Tensor(y)).backward()
    return [np.array(p.grad.numpy()) for p in model.parameters()]


@pytest.mark.parametrize("cuts", [[4, 8], [3, 6, 9], [5, 6]])
def test_micro_batches_are_one_large_batch(cuts):
    model, x, y = model_and_data()
    expected = gradients(model, x, y)
    total = ndl.GradientAccumulator(model.parameters())
    for part in np.split(np.arange(12), cuts):
        gradients(model, x[part], y[part])
        total.add(len(part))
        assert all(p.grad is None for p in model.parameters())
    total.assign()
    for p, e in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), e, rtol=1e-4, atol=1e-7)
    with pytest.raises(NeedleError, match="nothing to assign: call add"):
        total.assign()


def test_a_parameter_without_a_gradient_counts_as_zero():
    a, b = graded([2.0], None)
    total = ndl.GradientAccumulator([a, b])
    total.add()
    total.add()
    total.assign()
    assert a.grad.numpy().item() == 1.0 and b.grad is None
    with pytest.raises(SettingError, match="weight must be greater than 0, got 0"):
        total.add(0)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_step_that_accumulates_updates_as_one_of_large_batches(stop):
    def step(accumulate):
        model, x, y = model_and_data()
        opt = optim.Adam(model.parameters(), lr=0.1)
        return ndl.TrainStep(model, nn.SoftmaxLoss(), opt, optim.LinearSchedule(opt, 3), 0.5, accumulate), x, y

    large, x, y = step(1)
    small, _, _ = step(4)
    metrics = [large(ndl.Tensor(x), ndl.Tensor(y)) for _ in range(2)]
    parts = [(ndl.Tensor(x[i : i + 3]), ndl.Tensor(y[i : i + 3])) for i in (0, 3, 6, 9)] * 2
    seen = [small(*part) for part in parts[:stop]]
    resumed, _, _ = step(4)
    resumed.load_state_dict(small.state_dict())
    seen += [resumed(*part) for part in parts[stop:]]
    assert [list(m) for m in seen] == ([["loss"]] * 3 + [["loss", "lr", "grad_norm"]]) * 2
    assert seen[7]["grad_norm"] == pytest.approx(metrics[1]["grad_norm"], rel=1e-4)
    for a, b in zip(resumed.model.parameters(), large.model.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5)


def test_the_state_of_another_step_is_refused():
    model, _, _ = model_and_data()
    step = ndl.TrainStep(model, nn.SoftmaxLoss(), optim.SGD(model.parameters()))
    with pytest.raises(NeedleError, match=r"has 'schedule0.taken', but this step consists of model, optimizer0"):
        step.load_state_dict(step.state_dict() | {"schedule0.taken": np.array(1)})
    with pytest.raises(NeedleError, match=r"\[SGD\] the state lacks 't'"):
        step.load_state_dict({k: v for k, v in step.state_dict().items() if k != "optimizer0.t"})
    total = ndl.GradientAccumulator(model.parameters())
    with pytest.raises(NeedleError, match=r"sum 0 of shape \(2,\) fits no parameter"):
        total.load_state_dict({"0": np.zeros(2), "weight": np.array(1.0)})
