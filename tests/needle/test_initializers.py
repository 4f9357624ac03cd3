"""Initial weights beyond the course's: their statistics, orthogonality, identity, draws and parity with PyTorch."""

import math

import numpy as np
import pytest

import needle as ndl
from needle import init, nn
from needle.errors import SettingError, ShapeError

pytestmark = pytest.mark.both_modes


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(0)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (3, 3, 4, 6), (1, 1, 2, 9), (0, 3)])
def test_orthogonal(shape):
    w = init.orthogonal(*shape, gain=2.0)
    assert w.shape == shape and w.dtype == "float32" and not w.requires_grad
    matrix = w.numpy().reshape(-1, shape[-1]).astype(float) / 2
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)) if 0 not in shape else 0 * gram, atol=1e-6)


def test_orthogonal_is_the_q_of_its_draws_with_a_positive_diagonal():
    w = init.orthogonal(6, 4).numpy()
    np.random.seed(0)
    triangle = w.T @ np.random.randn(6, 4)
    np.testing.assert_allclose(np.tril(triangle, -1), 0, atol=1e-5)
    assert (np.diagonal(triangle) > 0).all()


def test_orthogonal_agrees_with_pytorch(monkeypatch):
    torch = pytest.importorskip("torch")
    for rows, columns in ((6, 4), (4, 6)):
        np.random.seed(1)
        ours = init.orthogonal(rows, columns, gain=1.5).numpy()
        np.random.seed(1)
        draws = np.random.randn(rows, columns)
        weight = torch.empty(columns, rows, dtype=torch.float64)  # (out, in)
        fill = lambda self, *_, **__: self.copy_(torch.tensor(draws.T if self.shape == weight.shape else draws))  # noqa: E731, B023
        monkeypatch.setattr(torch.Tensor, "normal_", fill)
        torch.nn.init.orthogonal_(weight, gain=1.5)
        np.testing.assert_allclose(ours, weight.numpy().T, atol=1e-6)


def test_truncated_normal():
    x = init.truncated_normal(200, 500, mean=1.0, std=0.5).numpy()
    assert x.dtype == "float32" and abs(x - 1).max() <= 1.0 + 1e-6
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * 2 * density / math.erf(2 / math.sqrt(2))
    assert x.mean() == pytest.approx(1.0, abs=0.01) and x.std() == pytest.approx(0.5 * math.sqrt(variance), rel=0.01)
    inside = np.random.RandomState(3).randn(50)
    np.random.seed(3)
    again = init.truncated_normal(50).numpy()
    kept = abs(inside) <= 2
    np.testing.assert_allclose(again[kept], inside[kept], rtol=1e-6)
    assert kept.sum() < 50 and init.truncated_normal().shape in ((), (1,))
    with pytest.raises(SettingError, match=r"\[truncated_normal\] cut must be at least 0.1, got 0.0"):
        init.truncated_normal(3, cut=0.0)


@pytest.mark.parametrize(("k", "cin", "cout", "groups"), [(3, 4, 4, 1), (1, 2, 5, 1), (5, 5, 2, 1), (3, 2, 6, 3)])
def test_dirac(k, cin, cout, groups):
    torch = pytest.importorskip("torch")
    w = init.dirac(k, k, cin, cout, groups=groups).numpy()
    theirs = torch.nn.init.dirac_(torch.empty(cout, cin, k, k), groups).numpy()
    np.testing.assert_array_equal(w.transpose(3, 2, 0, 1), theirs)


def test_a_dirac_convolution_is_the_identity():
    layer = nn.Conv(4, 4, 3, bias=False)
    layer.weight.data = init.dirac(3, 3, 4, 4)
    x = np.random.randn(2, 4, 5, 6).astype("float32")
    np.testing.assert_array_equal(layer(ndl.Tensor(x)).numpy(), x)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 9 * 40), ("fan_out", 9 * 60), ("fan_avg", 9 * 50)])
def test_variance_scaling(distribution, mode, fan):
    w = init.variance_scaling(3, 3, 40, 60, scale=2.0, mode=mode, distribution=distribution).numpy()
    assert w.var() == pytest.approx(2.0 / fan, rel=0.05) and abs(w.mean()) < 1e-3
    assert (abs(w).max() < math.sqrt(6 / fan) * 1.0001) == (distribution == "uniform")


def test_named_cases_of_variance_scaling():
    for ours, theirs in (
        (lambda: init.variance_scaling(5, 7, scale=2.0), lambda: init.kaiming_normal(5, 7)),
        (lambda: init.variance_scaling(5, 7, scale=1.0, mode="fan_avg", distribution="uniform"),
         lambda: init.xavier_uniform(5, 7)),
    ):  # fmt: skip
        np.random.seed(4)
        a = ours().numpy()
        np.random.seed(4)
        np.testing.assert_allclose(a, theirs().numpy(), rtol=1e-6)


def test_what_makes_no_sense_is_refused():
    for call, error, message in (
        (lambda: init.orthogonal(3), ShapeError, r"\[orthogonal\] needs at least two axes, got \(3,\)"),
        (lambda: init.orthogonal(3, -1), ShapeError, "must not be negative"),
        (lambda: init.dirac(3, 3, 4), ShapeError, r"\[dirac\] needs \(k, k, in, out\)"),
        (lambda: init.dirac(3, 3, 4, 5, groups=2), ShapeError, "out divisible by groups"),
        (lambda: init.variance_scaling(3), ShapeError, "at least the axes"),
        (lambda: init.variance_scaling(3, 3, mode="fan"), SettingError, "needs mode fan_in, fan_out or fan_avg"),
        (lambda: init.kaiming_uniform(0, 3), SettingError, r"\[kaiming_uniform\] needs at least one input or output"),
        (lambda: init.xavier_normal(0, 0), SettingError, "got a fan of 0"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_options_reach_the_tensor():
    for make in (init.orthogonal, init.truncated_normal, init.variance_scaling):
        w = make(2, 2, requires_grad=True, device=ndl.cpu())
        assert w.requires_grad and w.device == ndl.cpu()
