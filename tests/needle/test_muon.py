"""Muon, and the state that every optimizer keeps between steps."""

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.errors import NeedleError, ShapeError
from needle.optim.muon import orthogonalized

pytestmark = pytest.mark.both_modes


def array(values: np.ndarray):
    return ndl.Tensor(values, dtype="float32").realize_cached_data()


def as_numpy(values) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.numpy()


@pytest.mark.parametrize("shape", [(5, 5), (40, 12), (12, 40), (30, 1), (1, 30)])
def test_orthogonalized_keeps_the_directions_and_evens_out_the_sizes(shape: tuple[int, int]) -> None:
    g = np.random.default_rng(0).normal(size=shape)
    u, _, vt = np.linalg.svd(g, full_matrices=False)
    result = as_numpy(orthogonalized(array(g)))
    core = u.T @ result @ vt.T  # diagonal with entries near one where the directions are those of g
    np.testing.assert_allclose(core, np.diag(np.diag(core)), atol=2e-3)
    assert np.diag(core).min() > 0.6 and np.diag(core).max() < 1.3
    np.testing.assert_allclose(result, u @ core @ vt, atol=2e-3)


def test_the_step_is_the_formula_for_matrices_and_convolutions() -> None:
    rng = np.random.default_rng(1)
    for shape in ((6, 4), (4, 6), (3, 3, 2, 5)):
        start, gradients = rng.normal(size=shape), rng.normal(size=(3, *shape))
        p = ndl.Tensor(start, dtype="float32")
        optimizer = optim.Muon([p], lr=0.1, momentum=0.9, decay=0.01)
        theta, u = start.reshape(-1, shape[-1]), 0.0
        for g in gradients:
            p.grad = ndl.Tensor(g, dtype="float32")
            optimizer.step()
            g = g.reshape(theta.shape)
            u = 0.9 * u + 0.1 * g
            update = as_numpy(orthogonalized(array(0.1 * g + 0.9 * u)))
            theta = 0.99 * theta - 0.1 * max(1, theta.shape[1] / theta.shape[0]) ** 0.5 * update
        np.testing.assert_allclose(p.numpy().reshape(theta.shape), theta, rtol=2e-4, atol=2e-5)


def test_weight_decay_goes_with_the_rate_and_decay_does_not() -> None:
    def left(lr: float, **settings: float) -> float:
        p = ndl.Tensor(np.full((2, 2), 8.0), dtype="float32")
        p.grad = ndl.Tensor(np.zeros((2, 2)), dtype="float32")
        optim.Muon([p], lr=lr, **settings).step()
        return float(p.numpy()[0, 0]) / 8

    assert left(0.1, weight_decay=0.5) == pytest.approx(0.95) and left(0.01, weight_decay=0.5) == pytest.approx(0.995)
    assert left(0.1, decay=0.05) == left(0.01, decay=0.05) == pytest.approx(0.95)


def test_normalized_weights_have_a_fixed_norm_before_each_step() -> None:
    rng = np.random.default_rng(2)
    start, gradient = rng.normal(size=(3, 3, 2, 5)), rng.normal(size=(3, 3, 2, 5))
    results = []
    for scale in (1.0, 100.0):
        p = ndl.Tensor(start * scale, dtype="float32")
        optimizer = optim.Muon([p], lr=0.1, momentum=0.0, normalized=True)
        p.grad = ndl.Tensor(gradient, dtype="float32")
        optimizer.step()
        results.append(p.numpy())
    update = as_numpy(orthogonalized(array(gradient.reshape(18, 5)))).reshape(start.shape)
    expected = start * (5**0.5 / np.linalg.norm(start)) - 0.1 * update
    np.testing.assert_allclose(results[0], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1e-15, 1e-5, 1e19, 1e37])
def test_the_size_of_a_gradient_does_not_matter_unless_it_is_noise(size: float) -> None:
    g = np.random.default_rng(0).normal(size=(4, 6))
    expected, found = as_numpy(orthogonalized(array(g))), as_numpy(orthogonalized(array(g * size)))
    if size < 1e-7:
        assert abs(found).max() < 1e-3  # |g| + 1e-7 is what it is divided by
    else:
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    params = [ndl.Tensor(np.ones((2, 2)), dtype="float32") for _ in range(2)]
    params[0].grad, params[1].grad = ndl.Tensor(np.ones((2, 2))), ndl.Tensor([[1.0, bad], [0.0, 1.0]])
    optimizer = optim.Muon(params)
    with pytest.raises(NeedleError, match=r"\[Muon\] .* gradient of the parameter at index 1, of shape \(2, 2\), is"):
        optimizer.step()
    assert not optimizer.u and all((p.numpy() == 1).all() for p in params)


def test_a_parameter_without_gradient_is_left_alone() -> None:
    p = ndl.Tensor(np.ones((2, 2)))
    optim.Muon([p]).step()
    assert (p.numpy() == 1).all()


@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, momentum=0.9), lambda p: optim.Adam(p), lambda p: optim.AdamW(p, weight_decay=0.1),
    lambda p: optim.NesterovSGD(p), lambda p: optim.Muon(p, decay=0.1),
])  # fmt: skip
def test_an_optimizer_goes_on_from_its_state(make) -> None:
    rng = np.random.default_rng(2)
    start, gradients = rng.normal(size=(3, 4)).astype("float32"), rng.normal(size=(4, 3, 4)).astype("float32")

    def run(p: ndl.Tensor, optimizer, part) -> None:
        for g in part:
            p.grad = ndl.Tensor(g)
            optimizer.step()

    whole = ndl.Tensor(start)
    run(whole, make([whole]), gradients)
    first = ndl.Tensor(start)
    before = make([first])
    run(first, before, gradients[:2])
    second = ndl.Tensor(first.numpy())
    after = make([second])
    after.load_state_dict(before.state_dict())
    run(second, after, gradients[2:])
    np.testing.assert_array_equal(second.numpy(), whole.numpy())
    with pytest.raises(NeedleError, match="fits no parameter"):
        make([ndl.Tensor(np.ones((5, 5)))]).load_state_dict(before.state_dict())


@pytest.mark.skipif(ndl.BACKEND == "np", reason="numpy mode has one device")
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, momentum=0.9), optim.Adam, optim.Muon])
def test_parameters_on_several_devices_step_alike(make) -> None:
    rng = np.random.default_rng(4)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(3, 3, 4))
    params = [ndl.Tensor(start, device=device) for device in (ndl.cpu(), ndl.cpu_numpy(), ndl.cpu())]
    optimizer = make(params)
    for g in gradients:
        for p in params:
            p.grad = ndl.Tensor(g, device=p.device)
        optimizer.step()
    assert [repr(p.device) for p in params] == ["cpu()", "cpu_numpy()", "cpu()"]
    assert not np.allclose(params[0].numpy(), start)
    for p in params[1:]:
        np.testing.assert_allclose(p.numpy(), params[0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_module_s_state_goes_there_and_back_and_misfits_change_nothing() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))

    a, b = build(), build()
    a(ndl.Tensor(np.random.randn(8, 3).astype("float32")))  # moves the running statistics
    state = a.state_dict()
    assert "modules.1.running_mean" in state and "modules.3.bias" in state
    b.load_state_dict(state)
    assert all((b.state_dict()[name] == value).all() for name, value in state.items())
    before = b.state_dict()
    wrong = {name: value for name, value in state.items() if name != "modules.3.bias"}
    wrong |= {"modules.0.weight": np.zeros((9, 9)), "extra": np.zeros(1)}
    with pytest.raises(ShapeError, match=r"missing modules\.3\.bias.*unexpected extra.*modules\.0\.weight needs shape"):
        b.load_state_dict(wrong)
    assert all((b.state_dict()[name] == value).all() for name, value in before.items())
