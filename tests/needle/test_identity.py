"""== and != between tensors: identity, which containers need, and a warning where elements may have been meant."""

from __future__ import annotations

import operator
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import BACKEND, Tensor, array_api

pytestmark = pytest.mark.both_modes

ROOT = Path(__file__).resolve().parents[2]
OTHERS: list[Any] = [Tensor([1.0, 2.0]), np.array([1.0, 2.0]), 1, 1.0, np.float32(1), np.int64(1), True]
if BACKEND == "nd":
    OTHERS.append(array_api.NDArray([1.0, 2.0]))


@pytest.mark.parametrize("other", OTHERS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize(
    ("compare", "answer", "name"), [(operator.eq, False, "equal"), (operator.ne, True, "not_equal")]
)
def test_a_comparison_is_of_identity_and_names_the_function_of_elements(
    other: Any, compare: Any, answer: bool, name: str
) -> None:
    x = Tensor([1.0, 2.0])
    with pytest.warns(UserWarning, match=rf"\[Tensor\] a .. b .* needle\.{name}\(a, b\) compares") as found:
        assert compare(x, other) is answer
    assert [warning.filename for warning in found] == [__file__]
    assert ndl.equal(x, Tensor([1.0, 3.0])).numpy().tolist() == [True, False]


@pytest.mark.parametrize("other", OTHERS[1:7], ids=lambda x: type(x).__name__)
def test_arrays_and_numbers_on_the_left_are_warned_of_too(other: Any) -> None:
    with pytest.warns(UserWarning, match="needle.equal"):
        assert (other == Tensor([1.0, 2.0])) is False
    with pytest.warns(UserWarning, match="needle.not_equal"):
        assert (other != Tensor([1.0, 2.0])) is True


def test_one_object_and_what_is_no_number_compare_in_silence() -> None:
    x, y = Tensor([1.0]), Tensor([1.0])
    assert (x == x) is True and (x != x) is False
    assert (x == None) is False and (x != "x") is True  # noqa: E711
    assert (x, y) == (x, y) and [x, y].index(x) == 0 and x in (x, y)


def test_dictionaries_and_sets_of_tensors_never_compare() -> None:
    tensors = [Tensor([1.0]) for _ in range(1000)]
    table = {x: i for i, x in enumerate(tensors)}
    assert all(table[x] == i for i, x in enumerate(tensors)) and len(set(tensors)) == 1000
    assert Tensor([1.0]) not in table and hash(tensors[0]) == hash(tensors[0])


def test_tuples_of_batches_differ_as_the_course_has_it() -> None:
    a, b = (Tensor([1.0]), Tensor([2.0])), (Tensor([1.0]), Tensor([2.0]))
    with pytest.warns(UserWarning, match="one object"):
        assert a != b


def test_each_line_is_named_once() -> None:
    code = """
import needle as ndl
x, y = ndl.Tensor([1.0]), ndl.Tensor([1.0])
for _ in range(3):
    x == y
    x != y
    [x, y].index(y)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("UserWarning") == 3, done.stderr
    assert all(f"<string>:{line}: UserWarning" in done.stderr for line in (5, 6, 7))


def test_the_library_compares_no_tensors() -> None:
    def step() -> None:
        x = Tensor(np.ones((2, 3)))
        w = ndl.nn.Parameter(Tensor(np.ones((3, 3))))
        y = ndl.softmax(ndl.logsoftmax(x @ w) @ w)
        (y * y).sum().backward()
        (w.grad * w.grad).sum().backward()
        ndl.recompute(lambda a: (a @ w).sum(), x).backward()
        optimizer = ndl.optim.SGD([w, x], lr=0.1)
        optimizer.step()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step()
