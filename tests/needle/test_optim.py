"""Optimizers against their formulas in numpy; what they may not touch; memory that stays bounded."""

import gc
import weakref

import numpy as np
import pytest

import needle as ndl
from needle import autograd, nn, optim
from needle.errors import DTypeError, NeedleError, SettingError

pytestmark = pytest.mark.both_modes
OPTIMIZERS = [optim.SGD, optim.Adam, optim.AdamW, optim.NesterovSGD]


def tensor(array, **options):
    return ndl.Tensor(np.asarray(array, dtype="float32"), **options)


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def sgd(p, grads, lr=0.01, momentum=0.0, weight_decay=0.0):
    u = 0
    for g in grads:
        u = momentum * u + (1 - momentum) * (g + weight_decay * p)
        p = p - lr * u
    return p


def adam(p, grads, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    m = v = 0
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * p
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p


def adamw(p, grads, lr=0.01, weight_decay=0.0):
    m = v = 0
    for t, g in enumerate(grads, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - lr * weight_decay * p - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


def heavy_ball(p, grads, lr=0.01, momentum=0.9, weight_decay=0.0, nesterov=False):
    u = 0
    for g in grads:
        u = momentum * u + g + weight_decay * p
        p = p - lr * u
    return p


def nesterov(p, grads, lr=0.01, momentum=0.9, weight_decay=0.0):
    u = 0
    for g in grads:
        d = g + weight_decay * p
        u = momentum * u + d
        p = p - lr * (d + momentum * u)
    return p


CASES = [
    (optim.SGD, sgd, {}),
    (optim.SGD, sgd, {"lr": 0.3, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.05}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.05}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}),
    (optim.Adam, adam, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.NesterovSGD, nesterov, {"lr": 0.1, "weight_decay": 0.1}),
    (optim.NesterovSGD, nesterov, {"lr": 0.1, "momentum": 0.0}),
    (optim.NesterovSGD, heavy_ball, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1, "nesterov": False}),
]


@pytest.mark.parametrize(("optimizer", "formula", "options"), CASES)
def test_steps_follow_the_formula(optimizer, formula, options):
    start, grads = values(3, 4), values(6, 3, 4, seed=1)
    param = nn.Parameter(tensor(start))
    opt = optimizer([param], **options)
    for g in grads:
        param.grad = tensor(g)
        opt.step()
    np.testing.assert_allclose(param.numpy(), formula(start.astype(float), grads, **options), rtol=2e-5, atol=2e-6)
    assert param.dtype == "float32"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_leave_gradients_snapshots_and_ungraded_parameters_alone(optimizer):
    param, idle = nn.Parameter(tensor(values(3))), nn.Parameter(tensor(values(3)))
    opt = optimizer([param, idle], lr=0.1)
    snapshot, held, g = param.data, param.detach().realize_cached_data(), values(3, seed=1)
    before = np.array(snapshot.numpy())
    for _ in range(3):
        param.grad = tensor(g)
        opt.step()
        np.testing.assert_array_equal(param.grad.numpy(), g)
    np.testing.assert_array_equal(snapshot.numpy(), before)
    np.testing.assert_array_equal(held if isinstance(held, np.ndarray) else held.numpy(), before)
    np.testing.assert_array_equal(idle.numpy(), values(3))
    assert (param.numpy() != before).all() and param.op is None and param.requires_grad
    opt.reset_grad()
    assert param.grad is None


def test_parameters_that_are_views_and_gradients_that_are_views():
    param = nn.Parameter(ndl.transpose(tensor(values(3, 4))))
    param.grad = ndl.broadcast_to(tensor([[1.0]]), (4, 3))
    optim.SGD([param], lr=1.0).step()
    np.testing.assert_allclose(param.numpy(), values(3, 4).T - 1, rtol=1e-6)


def test_a_gradient_of_another_shape_is_refused():
    param = nn.Parameter(tensor(values(3)))
    param.grad = tensor(values(2))
    with pytest.raises(NeedleError, match=r"\[SGD\].*\(3,\).*\(2,\)"):
        optim.SGD([param]).step()


REFUSED = [
    ([], {}, "needs at least one parameter, got an empty list"),
    (nn.Linear(2, 3), {}, r"needs a list of parameters, got a Linear: is it module.parameters\(\) you want"),
    (tensor([1.0]), {}, "needs a list of parameters, got a Tensor"),
    ([tensor([1.0]), 3.0], {}, "needs Tensors as parameters, got a float at index 1"),
    ([tensor([1.0])], {"lr": -0.1}, "lr must be a number from 0 on, got -0.1"),
    ([tensor([1.0])], {"lr": float("nan")}, "lr must be a number from 0 on, got nan"),
]


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, optim.Muon])
@pytest.mark.parametrize(("params", "options", "message"), REFUSED)
def test_parameters_and_settings_are_checked(optimizer, params, options, message):
    with pytest.raises(NeedleError, match=rf"\[{optimizer.__name__}\] {message}"):
        optimizer(params, **options)


def test_a_parameter_given_twice_is_refused():
    a, b = tensor([1.0]), tensor([1.0])
    with pytest.raises(NeedleError, match=r"\[Adam\] the parameter at index 2 is the one at 0 again"):
        optim.Adam([a, b, a])


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, optim.Muon])
def test_a_gradient_that_is_none_of_its_parameter_is_refused(optimizer):
    param = nn.Parameter(tensor(values(3, 4)))
    before, opt = param.numpy().copy(), optimizer([param])
    param.grad = tensor(values(3, 1))
    with pytest.raises(NeedleError, match=r"a gradient needs its parameter's shape \(3, 4\), got \(3, 1\)"):
        opt.step()
    param.grad = ndl.Tensor(values(3, 4), dtype="float64")
    if ndl.BACKEND == "nd":  # numpy mode promotes
        with pytest.raises(DTypeError, match="a gradient needs its parameter's dtype float32, got float64"):
            opt.step()
        np.testing.assert_array_equal(param.numpy(), before)


@pytest.mark.parametrize("options", [{"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1.0}])
def test_settings_beyond_their_range_are_refused(options):
    for optimizer in (optim.SGD, optim.NesterovSGD):
        with pytest.raises(SettingError, match=next(iter(options))):
            optimizer([tensor([1.0])], **options)


def trained(optimizer, steps=30, **options):
    """(tensors alive after the first and after all steps, losses) of a small network."""
    np.random.seed(0)
    first = [nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1)]
    model = nn.Sequential(*first, nn.Residual(nn.Linear(16, 16)), nn.Linear(16, 4))
    X, y = values(64, 8), np.arange(64) % 4
    opt, loss_fn, losses, alive = optimizer(model.parameters(), **options), nn.SoftmaxLoss(), [], []
    for _ in range(steps):
        opt.reset_grad()
        loss = loss_fn(model(tensor(X, requires_grad=False)), ndl.Tensor(y))
        loss.backward()
        opt.step()
        losses.append(loss.numpy().item())
        alive.append(autograd.TENSOR_COUNTER)
    return alive, losses


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_memory_stays_bounded_and_the_loss_falls(optimizer):
    gc.collect()
    gc.disable()  # reference cycles would show
    try:
        before = autograd.TENSOR_COUNTER
        alive, losses = trained(optimizer, lr=0.05, weight_decay=1e-4)
    finally:
        gc.enable()
    assert alive[-1] == alive[1] and alive[-1] - before < 400
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, optim.Muon])
def test_a_step_frees_large_inputs_that_require_gradients(optimizer):
    layer = nn.Linear(100, 3)
    opt = optimizer([layer.weight], lr=0.01)
    gc.disable()
    try:
        x = tensor(values(50, 100))
        loss = (layer(x) * layer(x)).sum()
        loss.backward()
        value = np.array(x.grad.numpy())
        opt.step()
        np.testing.assert_array_equal(x.grad.numpy(), value)
        gone = weakref.ref(x)
        del x, loss
        opt.reset_grad()
        layer.bias.grad = None
        assert gone() is None
    finally:
        gc.enable()


def stepped(opt, param, times=2, seed=3):
    for i in range(times):
        param.grad = tensor(values(3, 4, seed=seed + i))
        opt.step()
    return param.numpy()


BY_HAND = [
    (optim.SGD, {"lr": 5e-5, "momentum": 0.5, "weight_decay": 0.1}),
    (optim.Adam, {"lr": 5e-5, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, {"lr": np.float32(0.3), "weight_decay": 1}),
    (optim.NesterovSGD, {"lr": 1, "momentum": 0.5, "weight_decay": 0.1, "nesterov": False}),
    (optim.Muon, {"lr": 5e-5, "momentum": 0.5, "decay": 0.1, "weight_decay": 100.0, "normalized": True}),
    (optim.SGD, {"lr": -0.1}),
]


@pytest.mark.parametrize(("make", "settings"), BY_HAND)
def test_settings_changed_by_hand_belong_to_the_state(make, settings):
    param = nn.Parameter(tensor(values(3, 4)))
    opt = make([param])
    stepped(opt, param)
    for name, value in settings.items():
        setattr(opt, name, value)
    copy = nn.Parameter(tensor(param.numpy()))
    resumed = make([copy])
    resumed.load_state_dict(opt.state_dict())
    assert {name: getattr(resumed, name) for name in settings} == settings
    np.testing.assert_array_equal(stepped(resumed, copy), stepped(opt, param))


@pytest.mark.parametrize("make", [*OPTIMIZERS, optim.Muon])
def test_a_state_from_before_settings_belonged_to_it_keeps_those_of_now(make):
    param = nn.Parameter(tensor(values(3, 4)))
    old = {name: array for name, array in make([param]).state_dict().items() if name not in make.settings}
    assert set(old) == {"t"}
    opt = make([param], lr=0.5)
    opt.load_state_dict(old)
    assert opt.lr == 0.5


@pytest.mark.parametrize("wrong", [np.array(np.nan), np.array(np.inf), np.zeros(2), np.array("x")])
def test_a_state_with_settings_that_are_no_numbers_is_refused(wrong):
    param = nn.Parameter(tensor(values(3, 4)))
    opt = optim.Adam([param], lr=0.25)
    with pytest.raises(NeedleError, match=r"\[Adam\] lr of the state must be one finite number, got"):
        opt.load_state_dict(opt.state_dict() | {"lr": wrong, "beta1": np.array(0.5)})
    assert opt.lr == 0.25 and opt.beta1 == 0.9


def test_an_average_goes_on_from_its_state():
    param, plain = nn.Parameter(tensor(values(3, 4))), nn.Parameter(tensor(values(2)))
    average = optim.WeightAverage([param, plain], decay=0.75)
    param.data = tensor(values(3, 4, seed=1))
    average.update()
    resumed = optim.WeightAverage([param, plain])
    resumed.load_state_dict(average.state_dict())
    for each in (average, resumed):
        each.update()
    assert resumed.decay == 0.75
    for a, b in zip(resumed.average, average.average, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for wrong in ({"0": np.zeros(3)}, {"2": np.zeros(3)}):
        with pytest.raises(NeedleError, match=r"\[WeightAverage\] average \d needs shape .*, the state has \(3,\)"):
            average.load_state_dict(average.state_dict() | wrong)


def test_a_step_keeps_its_average():
    def step():
        np.random.seed(0)
        model = nn.Linear(4, 3)
        average = optim.WeightAverage(model.parameters(), decay=0.5)
        opt = optim.SGD(model.parameters(), lr=1.0)
        return ndl.TrainStep(model, nn.SoftmaxLoss(), opt, accumulate=2, average=average)

    batch = tensor(values(6, 4)), tensor([0, 1, 2, 0, 1, 2])
    whole, first, second = step(), step(), step()
    before = whole.average.average[0].numpy()
    for i in range(5):
        whole(*batch)
        (first if i < 3 else second)(*batch)
        if i == 2:
            second.load_state_dict(first.state_dict())
    for a, b in zip(second.average.average, whole.average.average, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert (before != whole.average.average[0].numpy()).any()
    with whole.average.applied():
        assert not np.array_equal(whole.model.weight.numpy(), second.model.weight.numpy())


def test_weight_average():
    param = nn.Parameter(tensor([1.0]))
    average = optim.WeightAverage([param], decay=0.75)
    for value in (3.0, 5.0):
        param.data = tensor([value])
        average.update()
    with average.applied():
        assert param.numpy().item() == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 3) + 0.25 * 5)
    assert param.numpy().item() == 5
    with pytest.raises(ValueError, match="decay"):
        optim.WeightAverage([param], decay=1.0)
