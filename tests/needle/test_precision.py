"""The words of set_float32_matmul_precision, and who is told of them; what they mean is tested in tests/cuda."""

from collections.abc import Iterator

import numpy as np
import pytest

import needle as ndl
from needle.errors import SettingError
from needle.precision import WORDS, choice

pytestmark = pytest.mark.both_modes


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    heeded = list(choice.heeded)
    yield
    choice.heeded = heeded
    ndl.set_float32_matmul_precision("highest")


def test_what_was_set_is_what_one_gets() -> None:
    assert ndl.get_float32_matmul_precision() == "highest"
    for word in WORDS:
        ndl.set_float32_matmul_precision(word)
        assert ndl.get_float32_matmul_precision() == word


def test_an_unknown_word_is_an_error_that_lists_the_three_and_changes_nothing() -> None:
    ndl.set_float32_matmul_precision("high")
    with pytest.raises(SettingError, match=r'must be one of "highest", "high", "medium", got \'tf32\''):
        ndl.set_float32_matmul_precision("tf32")
    assert ndl.get_float32_matmul_precision() == "high"


def test_a_device_is_told_when_it_comes_into_use_and_at_every_change() -> None:
    told: list[int] = []
    ndl.set_float32_matmul_precision("medium")
    choice.heed(told.append)
    ndl.set_float32_matmul_precision("high")
    ndl.set_float32_matmul_precision("highest")
    assert told == [2, 1, 0]


@pytest.mark.parametrize("word", WORDS)
def test_the_processor_s_products_stay_exact(word: str) -> None:
    a, b = (np.random.default_rng(0).standard_normal((9, 9)).astype("float32") for _ in range(2))
    before = (ndl.Tensor(a) @ ndl.Tensor(b)).numpy()
    ndl.set_float32_matmul_precision(word)
    np.testing.assert_array_equal((ndl.Tensor(a) @ ndl.Tensor(b)).numpy(), before)
