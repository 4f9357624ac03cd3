"""Calls with inputs of types that came before take a short way: the same answers, and the same refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from deploy import Compiled, RunError, build, freeze
from needle.types import Type
from tests.deploy.conftest import SIZE, images


def is_short(model: Compiled, x: Any) -> bool:
    return model._route is not None and model._route((x,)) is not None


def test_the_short_way_is_taken_from_the_third_call_of_a_type_on(compiled: Compiled) -> None:
    one, two = images(1), images(2)
    expected = compiled(one)
    assert not is_short(compiled, one)
    compiled(one)
    assert is_short(compiled, one) and not is_short(compiled, two)
    found = compiled(one)
    assert np.array_equal(found, expected) and found.dtype == np.float32 and found.flags.writeable
    assert np.array_equal(compiled.run(image=one)["logits"], expected)
    assert np.array_equal(compiled(two)[:1], expected)  # another batch goes the long way, and the short one stays
    assert is_short(compiled, one)
    compiled(two)
    assert is_short(compiled, two)


def test_what_is_of_another_type_goes_the_long_way(compiled: Compiled) -> None:
    x = images(2)
    expected = [compiled(x) for _ in range(3)][-1]
    strided = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    masked: Any = x.view(np.ma.MaskedArray)
    for same in (strided, masked):
        assert np.array_equal(compiled(same), expected)
    for wrong, message in (
        (x.astype("float64"), "must be float32, got float64"), (x.tolist(), "must be float32, got float64"),
        (x[:, :2], "image.*shape"),
    ):  # fmt: skip
        with pytest.raises(RunError, match=message):
            compiled(wrong)
    assert np.array_equal(compiled(x), expected)
    with pytest.raises(RunError, match="needs the 1 inputs"):
        compiled(x, x)


def test_pieces_states_and_limits_have_no_short_way(compiled: Compiled) -> None:
    many = images(9)  # more than max_batch
    for _ in range(3):
        found = compiled(many)
    assert compiled._route is None and np.array_equal(found[:4], compiled(many[:4]))

    def counted(x: Any, total: Any) -> Any:
        return total + x, total + x

    row = Type((1, 3))
    names = {"input_names": ["x", "total"], "output_names": ["sum", "after"]}
    graph = freeze(counted, (row, row), batch=None, state={"total": "after"}, **names)
    built = build(graph, name="counted")
    with Compiled(built.library, built.weights) as model:
        x = np.ones((1, 3), "float32")
        assert [float(model(x)[0, 0]) for _ in range(4)] == [1, 2, 3, 4]


def test_threads_share_a_model_and_a_closed_one_says_so(compiled: Compiled) -> None:
    given = [images(1, seed) for seed in range(4)]
    expected = [compiled(x) for x in given]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert all(map(np.array_equal, pool.map(compiled, given), expected))
    compiled.close()
    with pytest.raises(RunError, match="was closed"):
        compiled(given[0])
    assert given[0].shape == (1, 3, SIZE, SIZE)
