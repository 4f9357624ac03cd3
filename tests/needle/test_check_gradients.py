"""check_gradients: what is right passes, what is wrong is named."""

from dataclasses import dataclass

import numpy as np
import pytest

import needle as ndl
from needle import nn, ops
from needle.autograd import TensorOp
from needle.errors import NeedleError

pytestmark = pytest.mark.both_modes


def values(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


@pytest.mark.parametrize("second", [False, True])
def test_right_gradients_pass(second):
    assert ndl.check_gradients(lambda a, b: ops.tanh(a @ b) * 2, [values(3, 4), values(4, 2)], second=second) < 1e-6
    assert ndl.check_gradients(lambda x: (ops.exp(x), x * x), ndl.Tensor(values(3)), second=second, rtol=1e-4) < 1e-3
    assert ndl.check_gradients(lambda x: x**3, values(), second=second) < 1e-6


def test_modules_are_checked_with_their_parameters_and_left_as_they_were():
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 2))
    state, random = model.state_dict(), np.random.get_state()[1].copy()
    assert ndl.check_gradients(model, values(6, 4)) < 1e-6
    after = model.state_dict()
    assert all((after[name] == a).all() and after[name].dtype == a.dtype for name, a in state.items())
    assert (random == np.random.get_state()[1]).all() and all(p.grad is None for p in model.parameters())


def test_labels_are_not_differentiated():
    assert ndl.check_gradients(nn.SoftmaxLoss(), [values(4, 3), np.array([0, 2, 1, 1])]) < 1e-6


@dataclass(frozen=True)
class Square(TensorOp):
    """y = x^2 with a mistake in the gradient of one element."""

    wrong: bool = True

    def compute(self, x):
        return x * x

    def gradient(self, out_grad, node):
        factor = np.full(node.inputs[0].shape, 2.0)
        factor[1, 2] = 2.5 if self.wrong else 2.0
        return out_grad * node.inputs[0] * ndl.Tensor(factor, dtype="float64", requires_grad=False)


def test_a_wrong_gradient_is_named():
    x = values(2, 3)
    ndl.check_gradients(Square(False), x)
    with pytest.raises(NeedleError) as caught:
        ndl.check_gradients(lambda y, x: Square()(x) + y, [values(2, 3), x])
    weight = np.random.RandomState(0).rand(2, 3)[1, 2] + 0.5
    text = str(caught.value)
    assert text.startswith("[check_gradients] 1 of 12 gradients are wrong, most of all input 1 at (1, 2): analytic ")
    assert f"analytic {2.5 * x[1, 2] * weight:.8g}, numeric {2 * x[1, 2] * weight:.4g}"[:30] in text
    assert text.endswith("(allowed 1e-07 + 1e-05 |analytic|)")


def test_a_wrong_second_gradient_is_named():
    class Cut(nn.Module):
        def forward(self, x):
            return x * x.detach() * 2 - x * x + x.detach() * x.detach()  # the value x^2 + ..., gradient 0

    with pytest.raises(NeedleError, match=r"second gradients are wrong, most of all input 0 at"):
        ndl.check_gradients(Cut(), values(3), second=True)


def test_a_parameter_that_is_wrong_is_named():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(ndl.ones(1))

        def forward(self, x):
            return x * ops.broadcast_to(self.scale.detach(), x.shape)

    with pytest.raises(NeedleError, match=r"1 of 4 gradients are wrong, most of all scale at \(0,\): analytic 0, num"):
        ndl.check_gradients(Detached(), values(3))


def test_some_elements_of_large_inputs():
    calls = []

    def fn(x):
        calls.append(1)
        return x * x

    ndl.check_gradients(fn, values(50, 40), at_most=10)
    assert len(calls) == 21


def test_an_outcome_without_gradient_is_refused():
    with pytest.raises(NeedleError, match="does not depend on any input with a gradient"):
        ndl.check_gradients(lambda x: x.detach(), values(3))
