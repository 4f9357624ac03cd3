"""Initialisers: which numbers they draw from numpy's global generator, and in what order."""

import math

import numpy as np
import pytest

import needle as ndl
from needle import init
from needle.errors import NeedleError, ShapeError

pytestmark = pytest.mark.both_modes
SHAPE = (7, 3, 2)


def drawn(make, seed=5):
    np.random.seed(seed)
    return make().numpy()


def expected(draw, seed=5):
    np.random.seed(seed)
    return draw().astype("float32")


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: init.rand(*SHAPE), lambda: np.random.rand(*SHAPE)),
        (lambda: init.rand(*SHAPE, low=-3, high=5), lambda: np.random.rand(*SHAPE) * 8 - 3),
        (lambda: init.randn(*SHAPE), lambda: np.random.randn(*SHAPE)),
        (lambda: init.randn(*SHAPE, mean=2, std=0.5), lambda: np.random.randn(*SHAPE) * 0.5 + 2),
        (lambda: init.randb(*SHAPE, p=0.3), lambda: np.random.rand(*SHAPE) <= 0.3),
        (lambda: init.xavier_uniform(3, 5), lambda: (np.random.rand(3, 5) * 2 - 1) * math.sqrt(6 / 8)),
        (lambda: init.xavier_uniform(3, 5, gain=1.5), lambda: (np.random.rand(3, 5) * 2 - 1) * 1.5 * math.sqrt(6 / 8)),
        (lambda: init.xavier_normal(3, 5, gain=0.33), lambda: np.random.randn(3, 5) * 0.33 * math.sqrt(2 / 8)),
        (lambda: init.kaiming_uniform(3, 5), lambda: (np.random.rand(3, 5) * 2 - 1) * math.sqrt(6 / 3)),
        (lambda: init.kaiming_normal(3, 5), lambda: np.random.randn(3, 5) * math.sqrt(2 / 3)),
        (
            lambda: init.kaiming_uniform(18, 36, shape=(3, 3, 2, 4)),
            lambda: (np.random.rand(3, 3, 2, 4) * 2 - 1) * math.sqrt(6 / 18),
        ),
        (lambda: init.kaiming_normal(8, 2, shape=(2, 2, 2)), lambda: np.random.randn(2, 2, 2) * math.sqrt(2 / 8)),
    ],
)
def test_draws_are_numpys_in_float64_then_cast(make, draw):
    np.testing.assert_allclose(drawn(make), expected(draw), rtol=1e-5, atol=1e-6)


def test_draws_follow_one_another_in_the_global_stream():
    np.random.seed(11)
    first, second = init.rand(2, 2).numpy(), init.randn(3).numpy()
    np.random.seed(11)
    np.testing.assert_allclose(first, np.random.rand(2, 2), rtol=1e-6)
    np.testing.assert_allclose(second, np.random.randn(3), rtol=1e-6)


def test_constants_draw_nothing():
    np.random.seed(3)
    zeros, ones, sevens = init.zeros(2, 3), init.ones(2, 3), init.constant(2, 3, c=7)
    like = init.zeros_like(ones), init.ones_like(zeros)
    np.testing.assert_array_equal(np.random.rand(2), np.random.RandomState(3).rand(2))
    for tensor, value in [(zeros, 0), (ones, 1), (sevens, 7), (like[0], 0), (like[1], 1)]:
        assert tensor.shape == (2, 3) and tensor.dtype == "float32" and not tensor.requires_grad
        np.testing.assert_array_equal(tensor.numpy(), np.full((2, 3), value))


def test_one_hot():
    ids = ndl.Tensor(np.array([2, 0, 3]), dtype="float32")
    np.testing.assert_array_equal(init.one_hot(4, ids).numpy(), np.eye(4)[[2, 0, 3]])
    with pytest.raises(IndexError):
        init.one_hot(3, ids)


def test_options_reach_the_tensor():
    tensor = init.rand(2, device=ndl.default_device(), requires_grad=True)
    assert tensor.requires_grad and tensor.device == ndl.default_device()
    if ndl.BACKEND == "np":
        for make in (init.rand, init.randn, init.ones, init.constant, init.randb):
            assert make(2, dtype="float64").dtype == "float64"
        assert init.randb(2).dtype == "bool" and init.zeros_like(init.rand(2, dtype="float64")).dtype == "float64"


def test_refusals():
    with pytest.raises(ShapeError, match=r"\[init\]"):
        init.ones(2, -1)
    for wrong in (17.0, 2.5, "a", None):
        with pytest.raises(ShapeError, match=r"\[init\] sizes must be whole numbers, got \(5, "):
            init.zeros(5, wrong)
    assert (init.zeros(5, 17) + init.zeros(5, np.int64(17)) + 1).shape == (5, 17)
    with pytest.raises(NeedleError, match="nonlinearity"):
        init.kaiming_uniform(2, 3, nonlinearity="gelu")


@pytest.mark.parametrize("shape", [(2**40, 2**40), (0, 2**40, 2**40), (2**50,)])
def test_what_no_machine_holds_is_said_before_anything_is_drawn(shape):
    """Also where another size is 0: numpy reserves no memory for that, and refuses in words of its own."""
    for draw in (ndl.init.rand, ndl.init.randn, ndl.init.randb, ndl.init.zeros):
        with pytest.raises(MemoryError, match=r"\[init\] no machine holds"):
            draw(*shape)
