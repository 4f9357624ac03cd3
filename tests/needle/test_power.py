"""Powers where a formula for the gradient would be 0 times infinity: at base 0, at exponent 0, at both."""

from __future__ import annotations

import numpy as np
import pytest

from needle import Tensor, ops

pytestmark = [pytest.mark.both_modes, pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")]

BASES = np.array([0.0, -0.0, 0.5, 2.0, -2.0, np.inf, np.nan])
EXPONENTS = np.array([0.0, 0.5, 1.0, 2.0, 3.0, -1.0, -0.5, np.inf])


def test_the_gradient_of_an_exponent_at_base_0_is_its_limit() -> None:
    x, p = Tensor([[0.0, 2.0]]), Tensor([[3.0, 3.0]])
    (x**p).sum().backward()
    np.testing.assert_allclose(p.grad.numpy(), [[0.0, 8 * np.log(2)]], rtol=1e-6)
    np.testing.assert_array_equal(x.grad.numpy(), [[0.0, 12.0]])


def test_where_base_and_exponent_are_0_both_gradients_are_0() -> None:
    x, p = Tensor([0.0, -0.0]), Tensor([0.0, 0.0])
    y = x**p
    y.sum().backward()
    for found, expected in ((y, [1, 1]), (x.grad, [0, 0]), (p.grad, [0, 0])):
        np.testing.assert_array_equal(found.numpy(), expected)


def test_a_negative_power_of_0_is_infinite_with_its_gradients() -> None:
    x, p = Tensor([0.0]), Tensor([-2.0])
    y = x**p
    y.sum().backward()
    assert [v.numpy().item() for v in (y, x.grad, p.grad)] == [np.inf, -np.inf, -np.inf]


def test_operands_that_broadcast() -> None:
    x, p = Tensor([[0.0], [2.0]]), Tensor([0.0, 1.0, 2.0])
    (x**p).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[1.0], [5.0]])
    np.testing.assert_allclose(p.grad.numpy(), np.log(2) * np.array([1.0, 2.0, 4.0]), rtol=1e-6)


def test_second_gradients_at_base_0() -> None:
    def second(first: str, base: list[float], exponent: list[float]) -> list[np.ndarray]:
        x, p = Tensor(base), Tensor(exponent)
        (x**p).sum().backward()
        (x if first == "x" else p).grad.sum().backward()
        return [x.grad.numpy(), p.grad.numpy()]

    exponents = [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(second("x", [0.0] * 3, exponents), [[0, 2, 0], [1, 0, 0]])
    np.testing.assert_array_equal(second("p", [0.0] * 3, exponents), np.zeros((2, 3)))
    np.testing.assert_allclose(second("x", [2.0, 4.0], [0.0, 0.0]), [[0, 0], [0.5, 0.25]])  # d/dp p x^(p-1) = 1 / x


def test_gradients_are_those_of_torch_at_every_pair_of_special_values() -> None:
    torch = pytest.importorskip("torch")
    a, b = (grid.ravel() for grid in np.meshgrid(BASES, EXPONENTS, indexing="ij"))
    ours, theirs = (Tensor(a), Tensor(b)), [torch.tensor(v, dtype=torch.float32, requires_grad=True) for v in (a, b)]
    ops.power(*ours).sum().backward()
    torch.pow(*theirs).sum().backward()
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got.grad.numpy(), expected.grad.numpy(), rtol=1e-5)


def test_an_integer_base_or_exponent_keeps_the_other_s_gradient() -> None:
    x, p = Tensor([0, 2], dtype="int64", requires_grad=False), Tensor([2.0, 2.0])
    (x**p).sum().backward()
    np.testing.assert_allclose(p.grad.numpy(), [0, 4 * np.log(2)], rtol=1e-6)
    x, p = Tensor([0.0, 2.0]), Tensor([0, 3], dtype="int64", requires_grad=False)
    (x**p).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 12])
