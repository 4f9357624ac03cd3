"""Sizes with names: what is computed with them holds for every value of their dims."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from needle.errors import ShapeError
from needle.size_terms import bounds
from needle.sizes import (  # fmt: skip
    Size,
    dim,
    dims_of,
    for_every_size,
    is_dim,
    larger,
    size_at,
    smaller,
    terms_of,
    unit,
    watched,
)

BATCH, TIME = dim("batch", 7), dim("time", 13, 2, 256)


def expression(draw: random.Random, depth: int) -> Any:
    """A function of (batch, time), the same for numbers and sizes."""
    if depth == 0:
        constant = draw.randint(-3, 9)
        return draw.choice((lambda b, t: b, lambda b, t: t, lambda b, t: constant))
    f, g = (expression(draw, depth - 1) for _ in range(2))
    n = draw.randint(1, 5)
    return draw.choice(
        (
            lambda b, t: f(b, t) + g(b, t),
            lambda b, t: f(b, t) - g(b, t),
            lambda b, t: f(b, t) * g(b, t),
            lambda b, t: f(b, t) // n,
            lambda b, t: -(-f(b, t) // n),
            lambda b, t: f(b, t) % n,
            lambda b, t: smaller(f(b, t), g(b, t)),
            lambda b, t: larger(f(b, t), g(b, t)),
        )
    )


@pytest.mark.parametrize("seed", range(300))
def test_an_expression_is_what_its_formula_gives_for_every_size(seed: int) -> None:
    draw = random.Random(seed)
    formula = expression(draw, draw.randint(1, 3))
    size = formula(BATCH, TIME)
    low, high = bounds(terms_of(size))
    assert int.__add__(size, 0) == formula(7, 13)
    for _ in range(20):
        batch, time = draw.randint(1, 50), draw.randint(2, 256)
        value = formula(batch, time)
        assert size_at(size, {"batch": batch, "time": time}) == value
        assert (low is None or low <= value) and (high is None or value <= high)
    common, base = unit(size)
    if isinstance(size, Size):
        assert repr(common * base) == repr(size)


def test_equal_expressions_have_one_form() -> None:
    b, t = BATCH, TIME
    for one, other in (
        (b + b, 2 * b),
        (b * t, t * b),
        ((b + 2) // 2, b // 2 + 1),
        (4 * b * t // (2 * t), 2 * b),
        ((b // 2) // 3, b // 6),
        (-(-b // 2), b - b // 2),
        (b % 4, b - 4 * (b // 4)),
        (smaller(b, t), smaller(t, b)),
        ((b + t) * (b - t), b * b - t * t),
        (math.prod((b, 3, t)), 3 * b * t),
    ):
        assert repr(one) == repr(other) and terms_of(one) == terms_of(other)
    assert type(b - b) is int and b - b == 0 and type(b * 0) is int and type(b * t // (b * t)) is int
    assert repr(b * t + 3 * b - 1) == "batch*time + 3*batch - 1" and repr(5 - b) == "-batch + 5"
    assert repr((b + 1) // 2) == "(batch + 1)//2" and repr(b // 2) == "batch//2"
    assert smaller(b, 0) == 0 and type(smaller(b, 0)) is int and larger(t, 1) is t
    assert is_dim(b) and not is_dim(2 * b) and list(dims_of((b + t) // 2)) == ["batch", "time"]


QUESTIONS: dict[str, Any] = {
    "batch == 3": lambda b, t: b == 3,
    "batch != time": lambda b, t: b != t,
    "batch < 4": lambda b, t: min(4, b),
    "-batch + time > 0": lambda b, t: t - b > 0,
    "time >= 200": lambda b, t: t >= 200,
    "batch - 1 != 0": lambda b, t: bool(b - 1),
    "int(2*batch)": lambda b, t: int(2 * b),
    "float(batch)": lambda b, t: float(b),
    "batch // time": lambda b, t: b // t,
    "5 // batch": lambda b, t: 5 // b,
    "batch / 2": lambda b, t: b / 2,
    "2 / batch": lambda b, t: 2 / b,
    "9 % batch": lambda b, t: 9 % b,
    "batch >> 6": lambda b, t: b >> 6,
    "6 & batch": lambda b, t: 6 & b,
    "batch ** 2": lambda b, t: b**2,
    "batch > 6.5": lambda b, t: b > 6.5,
    "batch == 16": lambda b, t: b in (16, 32),
}


def test_what_the_bounds_do_not_decide_is_a_question() -> None:
    asked: list[str] = []
    b, t = BATCH, TIME
    with watched(asked.append):
        assert b > 0 and b >= 1 and b != 0 and b == b and (b, 3) == (b, 3) and b < b + 1
        assert t <= 256 and t > 1 and t != 300 and t != 1
        assert not b < 1 and not t > 256 and 2 * b > b and bool(b) and b + t >= 3 and (b, 4) != (b, 5)
        assert not asked
        for what, question in QUESTIONS.items():
            question(b, t)
            assert asked[0] == what
            asked.clear()
    assert b == 7 and not asked


def test_where_an_answer_must_hold_for_every_size_stand_ins_are_not_asked() -> None:
    b, t = BATCH, TIME
    with watched(for_every_size):
        assert b != 7 and (b == 7) is False and (b, 4) != (7, 4) and b != t and 2 * b == b + b and 7 not in (b, t)
        for question in (lambda: b > 7, lambda: int(b), lambda: 5 // b, lambda: b // t):
            with pytest.raises(ShapeError, match="depends on a size that stays open"):
                question()
        with pytest.raises(ShapeError, match="open"), ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: b > 6).result()  # another thread is not watched
            assert b > 6


def test_expressions_stay_short() -> None:
    with pytest.raises(ShapeError, match="longer than 256"):
        math.prod(sum((BATCH + k) // (i + 2) * TIME for i in range(9)) for k in range(9))
    with pytest.raises(ShapeError, match="more than 16 factors"):
        math.prod([BATCH] * 17)
    size = 1000 * BATCH
    for k in range(50):
        size = (size + k) // 2
    assert len(repr(size)) < 100


def test_bounds_see_what_products_share() -> None:
    b, t = BATCH, TIME
    for size, known in (
        (b * t - 2 * b, (0, None)), (3 * b * t - 3 * b - t, (1, None)),
        (b * b - b, (0, None)), (t - b, (None, 255)), (t // 2 - 1, (0, 127)), (larger(b, t) - 2, (0, None)),
        (b - smaller(b, 3), (0, None)), (larger(b, 3) - b, (0, 2)), (smaller(b, t) - b, (None, 0)),
        (smaller(b, 9) + larger(t, 4) - t, (1, 11)), (smaller(b, 9) + larger(t, 4) - 4, (1, 261)),
    ):  # fmt: skip
        assert bounds(terms_of(size)) == known


def test_different_expressions_have_different_texts() -> None:
    b, t = BATCH, TIME
    assert [str(x) for x in (3 * (b // 5), 3 * b // 5, t * (b // 5), b * t // 5, (b + 1) // 2 * -2 + 4)] == [
        "3*(batch//5)", "(3*batch)//5", "(batch//5)*time", "(batch*time)//5", "-2*((batch + 1)//2) + 4",
    ]  # fmt: skip
    one, other = t * (3 * b // 5), t * (3 * (b // 5))
    assert repr(one + other) == repr(other + one) and (one + other).terms == (other + one).terms  # type: ignore[attr-defined]
