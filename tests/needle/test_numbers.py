"""A number may be Python's, numpy's, or an array or Tensor of one element, wherever a number is taken."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, array_api, init, nn, ops, optim
from needle.errors import DTypeError, NeedleError

pytestmark = pytest.mark.both_modes

FORMS: dict[str, Callable[[float], Any]] = {
    "numpy.float64": np.float64,
    "numpy.float32": np.float32,
    "numpy array ()": np.array,
    "numpy array (1,)": lambda v: np.array([v]),
    "numpy array (1, 1), float32": lambda v: np.array([[v]], dtype="float32"),
    "Tensor (1,)": lambda v: Tensor([v]),
}
if BACKEND == "nd":
    FORMS["NDArray (1,)"] = lambda v: array_api.NDArray([v])
by_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
SIDES = {"left": lambda f, x, v: f(v, x), "right": lambda f, x, v: f(x, v)}
X = np.array([[1.0, 2.0, 3.0]])


@by_form
def test_functions_of_a_tensor_and_a_number(form: Callable[[float], Any]) -> None:
    x = Tensor(X)
    for function in (ops.add_scalar, ops.mul_scalar, ops.divide_scalar, ops.power_scalar):
        found, expected = function(x, form(0.5)), function(x, 0.5)
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        assert found.dtype == expected.dtype and found.shape == x.shape
        assert found.op == expected.op and type(found.op.scalar) is float  # as it is recorded in a graph
    assert type(ops.Clip(form(0.5), form(1.5)).low) is float and ops.Clip(form(0.5)) == ops.Clip(0.5)
    np.testing.assert_array_equal(ops.clip(x, form(1.5), form(2.5)).numpy(), [[1.5, 2.0, 2.5]])
    np.testing.assert_array_equal(ops.leaky_relu(-x, form(0.5)).numpy(), -X / 2)
    np.testing.assert_allclose(x.var(None, False, form(1.0)).numpy().item(), 1)
    np.testing.assert_array_equal(ops.where(x > 1, form(0.5), x).numpy(), [[1.0, 0.5, 0.5]])


@pytest.mark.parametrize("form", [int, np.int64, np.float64, np.float32, lambda v: np.array(v)])
@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge"])
def test_operators_with_a_number_on_either_side(name: str, side: Any, form: Any) -> None:
    f, x = getattr(operator, name), Tensor(X)
    found = side(f, x, form(2))
    np.testing.assert_allclose(found.numpy(), side(f, X, 2), rtol=1e-6)
    assert found.shape == (1, 3) and found.dtype == ("bool" if name in ("lt", "le", "gt", "ge") else x.dtype)


def test_a_number_divided_by_a_tensor_and_raised_to_one_are_differentiated() -> None:
    x = Tensor(X)
    (2 / x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), -2 / X**2, rtol=1e-6)
    (2.0**x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.log(2) * 2**X, rtol=1e-6)
    whole = 1 / Tensor([2, 4], dtype="int64", requires_grad=False)
    np.testing.assert_array_equal(whole.numpy(), [0.5, 0.25])
    with pytest.raises(DTypeError, match=r"\[divide\] needs a number, got str"):
        "3" / x


@by_form
def test_settings_of_optimizers_and_schedules(form: Callable[[float], Any]) -> None:
    def trained(number: Callable[[float], Any]) -> list[np.ndarray]:
        found = []
        for make in (
            lambda p: optim.SGD(p, lr=number(0.5), momentum=number(0.5), weight_decay=number(0.25)),
            lambda p: optim.NesterovSGD(p, lr=number(0.5), momentum=number(0.5)),
            lambda p: optim.AdamW(p, lr=number(0.5), beta1=number(0.5), eps=number(0.125), weight_decay=number(0.25)),
            lambda p: optim.Muon(p, lr=number(0.5), momentum=number(0.5), decay=number(0.25)),
        ):
            p = Tensor(np.ones((2, 2)), dtype="float32")
            optimizer = make([p])
            schedule = optim.CosineSchedule(optimizer, 3, final=number(0.125), peak=number(0.25))
            for _ in range(2):
                p.grad = Tensor([[1.0, 2.0], [3.0, 5.0]], dtype="float32")
                ndl.clip_grad_norm([p], number(1.0))
                optimizer.step()
                schedule.step()
            found.append(p.numpy())
        return found

    np.testing.assert_array_equal(trained(form), trained(float))


@by_form
def test_settings_of_layers_and_initial_values(form: Callable[[float], Any]) -> None:
    def outputs(number: Callable[[float], Any]) -> list[np.ndarray]:
        np.random.seed(0)
        x, labels = Tensor(np.arange(12.0).reshape(3, 4)), Tensor([0, 1, 2])
        layers = [
            nn.Dropout(number(0.25)), nn.LeakyReLU(number(0.25)), nn.LayerNorm1d(4, eps=number(0.5)),
            nn.BatchNorm1d(4, eps=number(0.5), momentum=number(0.25)), nn.RMSNorm(4, eps=number(0.5)),
        ]  # fmt: skip
        found = [layer(x) for layer in layers] + [layers[3].running_mean]
        found += [loss(x, labels) for loss in (nn.SoftmaxLoss(number(0.25)), nn.CrossEntropyLoss(number(0.25)))]
        found += [nn.HuberLoss(number(0.5))(x, x * 2)]
        found += [
            init.rand(3, low=number(-0.5), high=number(0.5)), init.randn(3, mean=number(0.5), std=number(0.25)),
            init.randb(3, p=number(0.5)), init.constant(3, c=number(0.5)), init.xavier_uniform(2, 3, gain=number(0.5)),
            init.xavier_normal(2, 3, gain=number(0.5)), init.truncated_normal(3, std=number(0.5), cut=number(1.0)),
            init.orthogonal(2, 2, gain=number(0.5)), init.variance_scaling(2, 3, scale=number(0.5)),
        ]  # fmt: skip
        return [y.numpy() for y in found]

    for found, expected in zip(outputs(form), outputs(float), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("wrong", ["1", None, np.ones(2), np.array(["a"]), 1j], ids=str)
def test_what_is_no_number_is_refused(wrong: Any) -> None:
    for use in (
        lambda: ops.add_scalar(Tensor(X), wrong), lambda: init.rand(2, high=wrong),
        lambda: optim.SGD([Tensor(X)], lr=wrong), lambda: nn.Dropout(wrong),
        lambda: ndl.clip_grad_norm([Tensor(X)], wrong),
    ):  # fmt: skip
        with pytest.raises(NeedleError, match=r"number|must lie"):
            use()
