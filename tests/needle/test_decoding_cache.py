"""Decoding with a cache: places are checked, the bits of a row are its own, kernels are safe whatever they get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from needle import BACKEND, Tensor, ops
from needle.errors import IndexRangeError
from tests.case import normal
from tests.needle.program_cases import program
from tests.needle.program_sequence_cases import cache_write, cached_attention

pytestmark = pytest.mark.both_modes
SLOTS, CONTEXT, HEADS, DEPTH = 4, 40, 3, 20


def tensor(x: Any, dtype: str = "float32") -> Tensor:
    return Tensor(np.asarray(x), dtype=dtype)


def write(cache: Any, new: Any, slot: Any, position: Any, dtype: str = "int32") -> Any:
    return ops.cache_write(tensor(cache), tensor(new), tensor(slot, dtype), tensor(position, dtype)).numpy()


def attend(q: Any, keys: Any, values: Any, slot: Any, position: Any) -> Any:
    rows = tensor(slot, "int32"), tensor(position, "int32")
    return ops.cached_attention(tensor(q), tensor(keys), tensor(values), *rows, 0.3).numpy()


@pytest.mark.parametrize(
    ("slot", "position", "message"),
    [
        ([0, 4], [0, 0], r"slots must be whole numbers in 0\.\.3, got 4 at row 1"),
        ([-1, 0], [0, 0], r"slots must be whole numbers in 0\.\.3, got -1 at row 0"),
        ([0, 1], [0, 38], r"positions must be whole numbers in 0\.\.37, got 38 at row 1"),
        ([0, 1], [-1, 0], r"positions must be whole numbers in 0\.\.37, got -1 at row 0"),
    ],
)
def test_places_outside_are_refused_by_their_row(slot: Any, position: Any, message: str) -> None:
    cache = np.zeros((SLOTS, CONTEXT, HEADS, DEPTH))
    with pytest.raises(IndexRangeError, match=rf"\[cache_write\] {message}"):
        write(cache, np.zeros((2, 3, HEADS, DEPTH)), slot, position)
    with pytest.raises(IndexRangeError, match=rf"\[cached_attention\] {message}"):
        attend(np.zeros((2, HEADS, 3, DEPTH)), cache, cache, slot, position)
    if BACKEND == "nd":
        with pytest.raises(IndexRangeError, match=r"got 1\.5 at row 0"):
            write(cache, np.zeros((1, 1, HEADS, DEPTH)), [1.5], [0], "float32")


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_of_rows_that_name_one_place_the_later_stays(dtype: str) -> None:
    cache, new = normal(SLOTS, CONTEXT, HEADS, DEPTH), normal(2, 3, HEADS, DEPTH)
    y = write(cache, new, [2, 2], [5, 6], dtype)
    cache[2, 5:8], cache[2, 6:9] = new[0], new[1]
    assert np.array_equal(y, cache.astype(y.dtype))


def test_the_bits_of_a_row_are_those_it_has_alone_in_any_slot_and_cut_anyhow() -> None:
    keys, values = normal(SLOTS, CONTEXT, HEADS, DEPTH), normal(SLOTS, CONTEXT, HEADS, DEPTH)
    keys[3], values[3] = keys[1], values[1]
    q = normal(3, HEADS, 6, DEPTH)
    q[2] = q[1]
    together = attend(q, keys, values, [0, 1, 3], [30, 11, 11])
    assert np.array_equal(together[1], together[2])
    assert np.array_equal(attend(q[:1], keys, values, [0], [30])[0], together[0])
    for i in range(6):
        assert np.array_equal(attend(q[1:2, :, i : i + 1], keys, values, [1], [11 + i])[0, :, 0], together[1, :, i])
    keys[1, 17:], values[1, 17:] = np.nan, np.inf  # what is beyond a row's position is not read
    assert np.array_equal(attend(q[1:2], keys, values, [1], [11])[0], together[1])


@pytest.mark.parametrize("depth", [16, 21])
def test_a_long_prompt_has_the_bits_of_its_tokens_one_by_one(depth: int) -> None:
    keys, values, q = normal(2, 80, 3, depth), normal(2, 80, 3, depth), normal(1, 3, 40, depth)
    whole = attend(q, keys, values, [1], [37])[0]
    for i in range(40):
        assert np.array_equal(attend(q[:, :, i : i + 1], keys, values, [1], [37 + i])[0, :, 0], whole[:, i])


@pytest.mark.skipif(BACKEND != "nd", reason="of the compiled kernels")
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_kernels_of_programs_are_safe_for_any_place(dtype: str) -> None:
    """What is outside is not written, and gives NaN; rows beside it are as ever."""
    bad = [-1, 10, -(2**31), 2**31 - 1] + ([np.nan, np.inf, -np.inf] if dtype == "float32" else [])
    for number in bad:
        for which in (0, 1):
            case = cache_write(dtype)
            (cache, new, *places, y), expected = case.given(2)
            places[which][0] = number
            program(case).run([2], [cache, new, *places, y], 2)
            row = int(places[0][1])
            assert np.array_equal(y[row], expected[4][row]) and np.isfinite(y).all()
            if which == 0:  # which writes nothing at all
                others = [s for s in range(len(y)) if s != row]
                assert np.array_equal(y[others], cache[others])
            case = cached_attention(dtype)
            (q, keys, values, *places, y, scratch), expected = case.given(2)
            places[which][0] = number
            program(case).run([2], [q, keys, values, *places, y, scratch], 2)
            assert np.isnan(y[0]).all() and np.allclose(y[1], expected[5][1], rtol=1e-4, atol=1e-5)
