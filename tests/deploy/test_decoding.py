"""Transformers decode with a cache as one program: the model's text, a row's own bits, a proof of what is in place."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Compiled, EmitError, Graph, Instant, RunError, build, freeze, interpreter
from deploy.cli import main
from deploy.compare import relative_error
from deploy.ir import Input, Node, apply
from deploy.lower import lower
from deploy.nd import dumps, loads, structure
from deploy.passes import optimize
from deploy.program import Program
from deploy.verify_program import verify_program
from needle import Tensor, nn, ops
from needle.types import Type

SLOTS = 3


@pytest.fixture(scope="module")
def model() -> Any:
    np.random.seed(5)
    gpt: Any = zoo.load("gpt-char", **zoo.entry("gpt-char").tiny.model)
    for parameter in gpt.parameters():  # so that the next token is not just the most frequent one
        parameter.data = parameter.data * 4
    gpt.eval()
    return gpt


@pytest.fixture(scope="module")
def graph(model: Any) -> Graph:
    step, example, options = model.decoding(slots=SLOTS)
    return freeze(step, example, **options)


def read(instant: Any, rows: dict[int, tuple[int, Any]]) -> dict[int, np.ndarray]:
    """The logits of each slot, given the position at which its ids go on."""
    slot, position = (np.array(x, "int32") for x in (list(rows), [at for at, _ in rows.values()]))
    logits = instant.run(ids=np.array([ids for _, ids in rows.values()], "int32"), slot=slot, position=position)
    return dict(zip(rows, logits["logits"], strict=True))


def ids_of(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 65, count).tolist()


def test_greedy_text_is_that_of_the_model(model: Any, graph: Graph) -> None:
    """Of two prompts at once, of different lengths, in slots of their own."""
    prompts = {2: "O Rome", 0: "all"}
    expected = {s: model.generate(text, 9, temperature=0) for s, text in prompts.items()}
    assert len(set("".join(expected.values()))) > 3  # else this would prove little
    instant, texts = Instant(graph), {s: model.tokenizer.encode(text) for s, text in prompts.items()}
    last = {s: read(instant, {s: (0, ids)})[s] for s, ids in texts.items()}
    for _ in range(9):
        for s, logits in last.items():
            texts[s] = [*texts[s], int(logits[-1].argmax())]
        last = read(instant, {s: (len(ids) - 1, ids[-1:]) for s, ids in texts.items()})
    assert {s: model.tokenizer.decode(ids[len(prompts[s]) :]) for s, ids in texts.items()} == expected


def test_logits_are_those_of_the_whole_text(model: Any, graph: Graph) -> None:
    ids = ids_of(16)
    whole = model(Tensor([ids], dtype="int32")).numpy()[0]
    assert relative_error(read(Instant(graph), {1: (0, ids)})[1], whole) < 1e-5
    state = {x.op.name: np.zeros(x.shape, "float32") for x in graph.inputs if x.op.name in dict(graph.state)}
    given = {"ids": np.array([ids], "int32"), "slot": np.array([1], "int32"), "position": np.array([0], "int32")}
    assert relative_error(interpreter.run(graph, {**given, **state})["logits"][0], whole) < 1e-5


@pytest.mark.parametrize("threads", [1, 2])
def test_a_prompt_cut_anyhow_has_the_same_bits(graph: Graph, threads: int) -> None:
    ids = ids_of(16)
    found = []
    for chunks in ((16,), (1,) * 16, (5, 1, 9, 1), (15, 1)):
        instant, at, parts = Instant(graph, threads=threads), 0, []
        for size in chunks:
            parts.append(read(instant, {0: (at, ids[at : at + size])})[0])
            at += size
        found.append((np.concatenate(parts), instant.state))
    for logits, state in found[1:]:
        assert np.array_equal(logits, found[0][0])
        assert all(np.array_equal(array, found[0][1][name]) for name, array in state.items())


def test_rows_at_other_positions_of_other_slots_have_the_bits_they_have_alone(graph: Graph) -> None:
    texts, together = {s: ids_of(12, seed=s) for s in range(SLOTS)}, Instant(graph)
    starts, alone = {0: 3, 1: 8, 2: 1}, {}
    for s, ids in texts.items():
        read(together, {s: (0, ids[: starts[s]])})
        own = Instant(graph)
        read(own, {SLOTS - 1 - s: (0, ids[: starts[s]])})  # in another slot
        alone[s] = read(own, {SLOTS - 1 - s: (starts[s], ids[starts[s] : starts[s] + 4])})[SLOTS - 1 - s]
    for order in ([0, 1, 2], [2, 0, 1]):
        found = read(together, {s: (starts[s], texts[s][starts[s] : starts[s] + 4]) for s in order})
        assert all(np.array_equal(found[s], alone[s]) for s in order)


def test_a_slot_is_clean_after_another_sequence(graph: Graph) -> None:
    used, fresh, ids = Instant(graph), Instant(graph), ids_of(7, seed=9)
    read(used, {1: (0, ids_of(16))})
    spoilt = used.state
    for array in spoilt.values():
        array[2] = np.nan
    used.state = spoilt
    for s in (1, 2):
        assert np.array_equal(read(used, {s: (0, ids)})[s], read(fresh, {s: (0, ids)})[s])
    assert np.isnan(used.state["keys_0"][2, 7:]).all() and not np.isnan(used.state["keys_0"][2, :7]).any()


def test_places_outside_the_cache_are_refused_before_anything_is_written(graph: Graph) -> None:
    instant = Instant(graph, name="gpt")
    read(instant, {0: (0, ids_of(2))})
    before = instant.state
    for rows, message in (
        ({3: (0, [1])}, r"'slot' must hold numbers from 0 to 2, got 3 to 3"),
        ({-1: (0, [1])}, r"'slot' must hold numbers from 0 to 2, got -1 to -1"),
        ({0: (16, [1])}, r"'position' must hold numbers from 0 to 15, got 16 to 16"),
        ({0: (14, [1, 2, 3]), 1: (0, [1, 2, 3])}, r"'position' must hold numbers from 0 to 13, got 0 to 14"),
        ({0: (-1, [1])}, r"'position' must hold numbers from 0 to 15, got -1 to -1"),
        ({0: (0, [65])}, r"'ids' must hold numbers from 0 to 64, got 65 to 65"),
        ({0: (0, [1] * 17)}, r"1 <= time <= 16"),
    ):
        with pytest.raises(RunError, match=message):
            read(instant, rows)
    assert all(np.array_equal(array, before[name]) for name, array in instant.state.items())


def test_the_cache_is_written_in_place(graph: Graph) -> None:
    program = lower(optimize(graph))
    touched = [call.kernel for call in program.calls if any(x.buffer.kind == "state" for x in call.writes)]
    assert touched == ["cache_write"] * 4  # and nothing is copied
    assert loads(dumps(graph)).state == graph.state


@pytest.mark.thorough
def test_the_compiled_program_decodes_with_the_same_bits(graph: Graph, cache: object) -> None:
    """A prompt, then a token each for rows of other lengths, with the cache as the state of a C function."""
    built = build(graph, name="decoder")
    header = built.header.read_text()
    assert "int64_t batch, int64_t time, const int32_t* ids, const int32_t* slot, const int32_t* position" in header
    with Compiled(built.library, built.weights, max_batch=3) as compiled:
        instant, texts = Instant(graph, max_batch=3), {s: ids_of(9, seed=s) for s in range(SLOTS)}
        for model in (compiled, instant):
            for s, ids in texts.items():
                read(model, {s: (0, ids[: 4 + s])})
        for at in range(3):
            rows = {s: (4 + s + at, texts[s][4 + s + at : 5 + s + at]) for s in (2, 0, 1) if 4 + s + at < 9}
            found, expected = read(compiled, rows), read(instant, rows)
            assert all(np.array_equal(found[s], expected[s]) for s in rows)
        assert all(np.array_equal(array, instant.state[name]) for name, array in compiled.state.items())
        with pytest.raises(RunError, match=r"1 <= time <= 16"):
            read(compiled, {0: (0, ids_of(17))})


def test_the_command_freezes_the_step(
    model: Any, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = ModuleType("shelf")
    shelf.load = lambda name, pretrained: model if name == "gpt" else nn.ReLU()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shelf", shelf)
    assert main(["freeze", "shelf:gpt", "--decoding", str(SLOTS), "-o", str(tmp_path / "gpt.nd")]) == 0
    assert structure(Graph.load(tmp_path / "gpt.nd")) == structure(graph)
    assert main(["freeze", "shelf:relu", "--decoding", "1", "-o", str(tmp_path / "relu.nd")]) == 1


CACHE = Type((2, 4, 1, 3))
ROW = Type((1,), "int32")


def steps(read_before: bool, read_after: bool) -> Graph:
    """A cache with something new in it, and what was in it before, read by a node that comes before or after."""
    cache, new, slot, position = (
        Node(Input(name), (), type)
        for name, type in (("cache", CACHE), ("new", Type((1, 2, 1, 3))), ("slot", ROW), ("position", ROW))
    )
    written = apply(ops.CacheWrite(), cache, new, slot, position)
    turned = apply(ops.Permute((1, 0, 2, 3)), cache)  # a view of the old value
    outputs = {"y": apply(ops.Exp(), written)}
    if read_before:
        outputs = {"old": apply(ops.Exp(), turned), **outputs}
    if read_after:
        outputs["late"] = apply(ops.EWiseMul(), apply(ops.Exp(), apply(ops.Permute((1, 0, 2, 3)), written)), turned)
    outputs["after"] = written
    return Graph((cache, new, slot, position), tuple(outputs.items()), state=(("cache", "after"),))


@pytest.mark.parametrize(("before", "after"), [(False, False), (True, False), (False, True), (True, True)])
def test_whoever_reads_an_old_value_gets_it(before: bool, after: bool) -> None:
    graph = steps(before, after)
    instant = Instant(graph)
    cache = np.random.default_rng(0).standard_normal(CACHE.shape).astype("float32")
    instant.state = {"cache": cache}
    for call in range(3):
        given = {
            "new": np.full((1, 2, 1, 3), call, "float32"),
            "slot": np.array([call % 2], "int32"),
            "position": np.array([call], "int32"),
        }
        expected = interpreter.run(graph, {"cache": cache, **given})
        for name, y in instant.run(**given).items():
            np.testing.assert_allclose(y, expected[name], rtol=1e-5)
        cache = expected["after"]
        assert np.array_equal(instant.state["cache"], cache)
    kernels = [call.kernel for call in lower(graph).calls if any(x.buffer.kind == "state" for x in call.writes)]
    assert kernels == (["copy_strided"] if after else ["cache_write"])


def test_the_verifier_proves_which_value_of_a_state_is_read() -> None:
    program = lower(steps(read_before=True, read_after=False))
    old, write, new = program.calls
    (state,) = write.writes
    slice_of_it = write.reads[0].take(0, 0).reshape((1, 4, 1, 3))
    alias = replace(write, sizes=(1, 4, *write.sizes[2:]), reads=(write.reads[0], slice_of_it, *write.reads[2:]))
    for calls, message in (
        ((write, old, new), "old value is gone"),
        ((old, new, write), "before it is written"),
        ((old, write, write, new), "old value is gone"),
        ((old, replace(write, writes=(state.written(),)), new), "writes version 2 of a state, of which 0"),
        ((old, alias, new), "reads other elements"),
    ):
        with pytest.raises(EmitError, match=message):
            verify_program(Program(program.graph, calls, program.arena, program.weights))


def test_positions_of_a_table_are_checked_and_read_as_whole_numbers() -> None:
    table = Tensor(np.arange(10.0).reshape(5, 2))

    def forward(ids: Any, position: Any) -> Any:
        return ops.embed(ops.positions(position, ids), table)

    ids = np.zeros((2, 3), "int32")
    for dtype in ("int32", "float32"):
        example = Type(("batch", "time"), "int32"), Type(("batch",), dtype)
        instant = Instant(freeze(forward, example, input_names=["ids", "position"], dims={"time": (1, 5)}))
        found = instant.run(ids=ids, position=np.array([2, 0], dtype))["output"]
        assert np.array_equal(found, table.numpy()[[[2, 3, 4], [0, 1, 2]]])
        with pytest.raises(RunError, match=r"'position' must hold numbers from 0 to 2, got 0(\.0)? to 3"):
            instant.run(ids=ids, position=np.array([0, 3], dtype))


def test_slots_and_positions_of_two_dtypes_are_refused() -> None:
    given = {"cache": CACHE, "new": Type((1, 2, 1, 3)), "slot": ROW, "position": Type((1,))}
    nodes = tuple(Node(Input(name), (), type) for name, type in given.items())
    with pytest.raises(EmitError, match=r"slots and positions must have one dtype, .*, got float32, int32"):
        lower(Graph(nodes, (("y", apply(ops.CacheWrite(), *nodes)),)))
