"""What a graph carries from call to call: checked, updated in place, and enough to decode text token by token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Compiled, EmitError, Graph, GraphError, Instant, RunError, build, freeze, interpreter
from deploy.lower import lower
from deploy.nd import dumps, loads
from deploy.passes import optimize
from deploy.program import Program
from deploy.verify_program import verify_program
from needle import Tensor, ops
from needle.types import Type


def counter(x: Any, total: Any) -> Any:
    """The running sum, and how far x is from what it was before."""
    return x - total, total + x


def frozen_counter() -> Graph:
    row = Type(("batch", 3))
    names = {"input_names": ["x", "total"], "output_names": ["change", "after"]}
    return freeze(counter, (row, row), state={"total": "after"}, **names)


def test_a_state_is_carried_from_call_to_call() -> None:
    instant = Instant(frozen_counter())
    assert [x["name"] for x in (*instant.inputs, *instant.outputs)] == ["x", "change"]
    x = np.arange(6, dtype="float32").reshape(2, 3)
    assert [instant(x).tolist() for _ in range(3)] == [x.tolist(), (0 * x).tolist(), (-x).tolist()]
    kept = instant.state
    assert np.array_equal(kept["total"], 3 * x)
    instant(x)
    instant.state = kept
    assert np.array_equal(instant.state["total"], 3 * x) and np.array_equal(instant(x), -2 * x)
    with pytest.raises(RunError, match=r"state 'total' is \(2, 3\) and this call needs \(1, 3\).*reset"):
        instant(x[:1])
    instant.reset()
    assert instant.state == {} and np.array_equal(instant(x[:1]), x[:1])


def test_states_that_do_not_fit_are_refused() -> None:
    instant = Instant(frozen_counter(), max_batch=4)
    for state, message in (
        ({}, "needs the inputs"),
        ({"total": np.zeros((2, 2), "float32")}, "must have shape"),
        ({"total": np.zeros((2, 3))}, "must be float32"),
    ):
        with pytest.raises(RunError, match=message):
            instant.state = state
    with pytest.raises(RunError, match="has a state: it takes at most 4 rows, got 5"):
        instant(np.zeros((5, 3), "float32"))
    graph = frozen_counter()
    for pairs, message in (
        ((("nothing", "after"),), "needs an input"),
        ((("total", "nothing"),), "needs an input"),
        ((("total", "after"), ("total", "change")), "belongs to one pair"),
    ):
        with pytest.raises(GraphError, match=message):
            dumps(replace(graph, state=pairs))
    wide = freeze(lambda x: ops.reshape(x, (x.shape[0], 1, 3)), Type(("batch", 3)))
    with pytest.raises(GraphError, match=r"state 'input' is float32\(batch, 3\), 'output', which follows it"):
        dumps(replace(wide, state=(("input", "output"),)))


def test_a_state_is_part_of_the_file_and_the_structure() -> None:
    graph = frozen_counter()
    assert loads(dumps(graph)).state == graph.state == (("total", "after"),)
    assert optimize(graph).state == graph.state


def test_a_compiled_program_keeps_the_state_as_the_instant_one(cache: object) -> None:
    graph = frozen_counter()
    built, x = build(graph, name="counter"), np.arange(6, dtype="float32").reshape(2, 3)
    with Compiled(built.library, built.weights) as compiled:
        instant = Instant(graph)
        for _ in range(3):
            assert np.array_equal(compiled(x), instant(x))
        kept = compiled.state
        assert np.array_equal(kept["total"], instant.state["total"])
        compiled.reset()
        compiled(x)
        compiled.state = kept
        assert np.array_equal(compiled(x), instant(x))
        with pytest.raises(RunError, match="a call go on with those of the one before"):
            compiled(x[:1])


def test_states_that_change_places_and_stay_are_copied_before_any_is_written() -> None:
    row = Type(("batch", 2))
    graph = freeze(
        lambda x, a, b, c: (x + a, b, a, c), (row, row, row, row), input_names=["x", "a", "b", "c"],
        output_names=["y", "a_after", "b_after", "c_after"], state={"a": "a_after", "b": "b_after", "c": "c_after"},
    )  # fmt: skip
    instant = Instant(graph)
    state = {name: np.full((1, 2), value, "float32") for name, value in (("a", 1), ("b", 2), ("c", 3))}
    instant.state = state
    for step in range(3):
        x = np.full((1, 2), step, "float32")
        expected = interpreter.run(graph, {"x": x, **state})
        assert np.array_equal(instant(x), expected["y"])
        state = {"a": expected["a_after"], "b": expected["b_after"], "c": expected["c_after"]}
        assert all(np.array_equal(state[name], array) for name, array in instant.state.items())


def test_the_verifier_of_programs_finds_who_reads_an_old_value_too_late() -> None:
    program = lower(optimize(frozen_counter()))
    *calls, update = program.calls
    late = Program(program.graph, (update, *calls), program.arena, program.weights)
    with pytest.raises(EmitError, match=r"old value is gone|nothing was written"):
        verify_program(late)


def test_text_decoded_with_a_state_is_the_text_of_the_model() -> None:
    """One graph reads a prompt and then token after token, several rows at once."""
    np.random.seed(3)
    entry = zoo.entry("lstm-char")
    model: Any = zoo.load("lstm-char", **entry.tiny.model)
    model.eval()
    step, example, options = model.decoding()
    graph = freeze(step, example, **options)
    assert graph.weights().keys() == model.state_dict().keys()
    instant, draw = Instant(graph), np.random.default_rng(0)
    prompts = draw.integers(0, len(model.tokenizer), (2, 5)).astype("int32")
    ids, texts = prompts, prompts
    for _ in range(12):
        ids = instant(ids)[:, -1].argmax(1).astype("int32")[:, None]
        texts = np.concatenate([texts, ids], 1)
    whole = model(Tensor(texts, dtype="int32")).numpy()
    assert np.array_equal(whole[:, 4:-1].argmax(2), texts[:, 5:])
    alone = Instant(graph)
    assert np.array_equal(alone(prompts[1:])[0], Instant(graph)(prompts)[1])  # a row's bits depend on it alone

