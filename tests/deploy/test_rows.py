"""A batch is run in pieces only where each row is computed by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deploy import Instant, freeze, interpreter
from deploy.generate import generate
from deploy.lower import lower
from deploy.passes import optimize
from deploy.rows import rows_apart
from needle import nn, ops
from needle.types import Type

X, Y = Type(("batch", 4)), Type(("batch", 4))


def net() -> Any:
    state = np.random.get_state()
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    np.random.set_state(state)
    return model


CASES: dict[str, tuple[Any, Any, bool]] = {
    "a network": (net(), X, True),
    "two inputs": (lambda x, y: ops.relu(x) + y, (X, Y), True),
    "time first inside": (lambda x: ops.transpose(ops.relu(ops.transpose(x)) * 2), X, True),
    "reversed rows": (lambda x: ops.flip(x, (0,)), X, False),
    "reversed columns": (lambda x: ops.flip(x, (1,)), X, True),
    "the first row": (lambda x: x - ops.broadcast_to(x[0], x.shape), X, False),
    "softmax over the batch": (lambda x: ops.transpose(ops.softmax(ops.transpose(x))), X, False),
    "columns first": (lambda x: ops.reshape(ops.transpose(x), (x.shape[0], 4)), X, False),
    "an input without a batch": (lambda x, y: (x * 2, y[0] + x), (X, Type((3, 4))), False),
    "a batch behind": (lambda x: ops.relu(x), Type(("time", "batch")), False),
    "a batch times two": (lambda x: ops.reshape(x, (2 * x.shape[0], 2)), X, False),
    "a table": (lambda x: ops.reshape(ops.reshape(x, (2 * x.shape[0], 2)) * 2, x.shape), X, True),
}


@pytest.mark.parametrize(("function", "example", "apart"), CASES.values(), ids=CASES)
def test_pieces_give_what_the_whole_gives(function: Callable[..., Any], example: Any, apart: bool) -> None:
    graph = freeze(function, example)
    assert rows_apart(graph) == apart
    draw = np.random.default_rng(0)
    sizes = {"batch": 7, "time": 5}
    inputs = {
        x.op.name: draw.standard_normal([sizes.get(str(n), int(n)) for n in x.shape]).astype("float32")
        for x in graph.inputs
    }
    expected = interpreter.run(graph, inputs)
    with Instant(graph, max_batch=3) as instant:
        for name, y in instant.run(**inputs).items():
            np.testing.assert_allclose(y, expected[name], rtol=1e-5, atol=1e-6)


def test_a_library_says_whether_it_may_be_run_in_pieces() -> None:
    texts = [
        generate(lower(optimize(freeze(f, Type(("batch", 4))))), "m").files["m.cpp"].decode()
        for f in (lambda x: ops.relu(x), lambda x: ops.flip(x, (0,)))
    ]
    assert ['\\"apart\\": false' in text for text in texts] == [False, True]
