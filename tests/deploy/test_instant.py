"""Programs that run at once: the bits of the compiled ones, for every size, from the kernels of the extension."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Built, Compiled, EmitError, Graph, GraphError, Instant, RunError, freeze, interpreter
from deploy.compare import random_inputs, relative_error
from deploy.instant import integers_of, operands_of
from deploy.ir import Input, Node, apply, constant
from deploy.kernels import KERNELS
from deploy.lower import lower
from deploy.passes import optimize
from deploy.program import Call, Program, View, whole
from deploy.verify_program import verify_program
from needle import Tensor, nn, ops
from needle.backend_ndarray import ndarray_backend_cpu
from needle.sizes import dim
from needle.types import Type
from tests.deploy.conftest import images


def test_it_computes_the_graph_with_the_bits_of_the_compiled_program(graph: Graph, built: Built) -> None:
    instant, x = Instant(graph, max_batch=64), images(33)
    found = instant(x)
    assert relative_error(found, interpreter.run(graph, {"image": x})["logits"]) < 1e-5
    with Compiled(built.library, max_batch=64) as compiled:
        if compiled.isa in ndarray_backend_cpu.__isa__:
            assert np.array_equal(found, compiled(x))


def test_a_row_has_the_bits_it_has_alone(graph: Graph, built: Built) -> None:
    x = images(33)
    for model in (Instant(graph), Instant(graph, max_batch=5, threads=2), Compiled(built.library)):
        with model:
            alone = np.concatenate([model(x[i : i + 1]) for i in range(33)])
            for batch in range(1, 34):
                assert np.array_equal(model(x[:batch]), alone[:batch])


LONG = pytest.param("resnet9-dawn", marks=pytest.mark.thorough)


@pytest.mark.parametrize("name", ["resnet9", "resnet20", LONG, "airnet", "dcgan"])
def test_image_models_of_the_zoo(name: str) -> None:
    np.random.seed(0)
    model = zoo.load(name)
    model.eval()
    graph = freeze(model, model.example())
    with Instant(graph) as instant:
        for batch in (1, 3):
            inputs = random_inputs(graph, batch)
            expected = interpreter.run(graph, inputs)
            assert all(relative_error(y, expected[key]) < 1e-5 for key, y in instant.run(**inputs).items())


@pytest.mark.parametrize("name", ["gpt-char", "gpt-novels", "lstm-char", "lstm-ptb"])
def test_language_models_of_the_zoo_with_open_batch_and_time(name: str) -> None:
    np.random.seed(0)
    model: Any = zoo.load(name, **zoo.entry(name).tiny.model)
    model.eval()
    graph = freeze(model, Type(("batch", "time"), "int32"), dims={"time": (1, 16)}, input_names=["ids"])
    draw = np.random.default_rng(0)
    words = len(model.tokenizer)
    with Instant(graph, name="lm") as instant:
        for batch, time in ((1, 1), (3, 7), (2, 16)):
            ids = draw.integers(0, words, (batch, time)).astype("int32")
            found = instant(ids)
            assert relative_error(found, model(Tensor(ids, dtype="int32")).numpy()) < 1e-5
            assert relative_error(found, next(iter(interpreter.run(graph, {"ids": ids}).values()))) < 1e-5
            assert all(np.array_equal(instant(ids[i : i + 1])[0], row) for i, row in enumerate(found))
        for ids, message in (
            (np.full((1, 2), words, "int32"), rf"must hold numbers from 0 to {words - 1}, got {words} to {words}"),
            (np.full((1, 2), -1, "int32"), "must hold numbers"),
            (np.zeros((1, 2), "int64"), "must be int32, got int64"),
            (np.zeros((1, 17), "int32"), r"shape \(batch, time\), 1 <= batch, 1 <= time <= 16, got \(1, 17\)"),
        ):
            with pytest.raises(RunError, match=message):
                instant(ids)


def test_sizes_of_several_dims_are_evaluated_for_each_call() -> None:
    def forward(x: Any) -> Any:
        batch, time, width = x.shape
        y = ops.softmax(x + 1)
        return ops.relu(ops.transpose(y, (0, 1))) * 2, ops.reshape(y, (batch * time, width))

    graph = freeze(forward, Type(("batch", "time", 6)), output_names=["turned", "rows"])
    with Instant(graph, max_batch=4) as instant:
        for batch, time in ((1, 1), (3, 5), (4, 2)):
            x = np.random.default_rng(time).standard_normal((batch, time, 6)).astype("float32")
            expected = interpreter.run(graph, {"input": x})
            for key, y in instant.run(input=x).items():
                assert y.shape == expected[key].shape and relative_error(y, expected[key]) < 1e-6


def test_threads_may_share_one_and_closing_ends_it(graph: Graph) -> None:
    with Instant(graph, max_batch=4, threads=2) as instant, ThreadPoolExecutor(4) as pool:
        inputs = [images(1 + i % 7, seed=i) for i in range(24)]
        expected = [instant(x) for x in inputs]
        assert all(np.array_equal(a, b) for a, b in zip(pool.map(instant, inputs), expected, strict=True))
    with pytest.raises(RunError, match="closed"):
        instant(images(1))
    with pytest.raises(RunError, match=r"\[small\] input 'image' must have shape \(batch, 3, 8, 8\), 1 <= batch"):
        Instant(graph, name="small")(images(1)[:, :2])


def test_what_no_program_holds_is_refused_with_the_reason() -> None:
    x, w = Node(Input("x"), (), Type((1, 4, 4, 4))), Node(Input("w"), (), Type((2, 2, 2, 4)))
    with pytest.raises(EmitError, match="a dilated convolution in groups must have constant weights"):
        Instant(Graph((x, w), (("y", apply(ops.Conv(1, 0, 2, 2), x, w)),)))


def test_the_table_of_kernels_is_that_of_the_extension() -> None:
    assert set(KERNELS) == set(ndarray_backend_cpu.Program.kernels)
    layers = nn.Linear(6, 4), nn.LayerNorm1d(4), nn.GELU(), nn.Linear(4, 2)
    graph = freeze(nn.Sequential(*layers), np.zeros((1, 6)))
    for call in lower(optimize(graph)).calls:
        integers, numbers, operands = ndarray_backend_cpu.Program.kernels[call.kernel]
        assert integers in (-1, len(integers_of(call))) and numbers in (-1, len(call.numbers))
        assert operands in (-1, len(operands_of(call)))


def broken(graph: Graph, **changes: Any) -> Program:
    """The program of a graph whose last call is changed."""
    program = lower(optimize(graph))
    *others, last = program.calls
    call = Call(**{**vars(last), **changes})
    return Program(program.graph, (*others, call), program.arena, program.weights)


def test_the_verifier_of_programs_refuses_calls_that_break_their_row() -> None:
    x = Node(Input("x"), (), Type((4, 6)))
    graph = Graph((x,), (("y", apply(ops.Softmax(), x)),))
    (call,) = lower(optimize(graph)).calls
    (read,) = call.reads
    late = View(read.buffer, read.shape, read.strides, 1)
    for changes, message in (
        ({"sizes": (4,)}, "needs the sizes"),
        ({"sizes": (4, 5)}, "must have rows \\* cols elements"),
        ({"numbers": (1.0,)}, "needs the numbers"),
        ({"reads": ()}, "needs the operands"),
        ({"reads": (read.permute((1, 0)),)}, "must lie dense"),
        ({"reads": (late,)}, "leaves its 24 elements"),
        ({"reads": (replace(read, dtype="int32"),)}, "its operands must be float32, got int32"),
        ({"writes": (whole(read.buffer, read.type),)}, "it writes to the input"),
    ):
        with pytest.raises(EmitError, match=message):
            verify_program(broken(graph, **changes))


def test_whole_numbers_are_moved_and_never_computed_as_floats() -> None:
    ids = Node(Input("ids"), (), Type((dim("batch", 7), 4), "int32"))
    table = constant(np.arange(8, dtype="int32").reshape(2, 4))
    graph = Graph((ids,), (("moved", apply(ops.Permute((1, 0)), ids)), ("table", table)))
    x = np.array([[1, -2, 3, 2**31 - 1]], "int32")
    found = Instant(graph).run(ids=x)
    assert np.array_equal(found["moved"], x.T) and np.array_equal(found["table"], table.op.array)
    for op, expected in (  # they wrap around, as numpy's do
        (ops.AddScalar(1), x + np.int32(1)), (ops.Negate(), -x), (ops.PowerScalar(3), x**3),
    ):  # fmt: skip
        assert np.array_equal(Instant(Graph((ids,), (("y", apply(op, ids)),)))(x), expected)
    with pytest.raises(EmitError, match=r"programs have no leaky_relu of int32: cast it to float32"):
        Instant(Graph((ids,), (("y", apply(ops.LeakyReLU(2), ids)),)))


def test_dims_are_told_apart_whatever_is_given_first() -> None:
    batch, time = dim("batch", 7), dim("time", 13)
    h, x = Node(Input("h"), (), Type((batch, 3))), Node(Input("x"), (), Type((time, batch)))
    outputs = (("y", apply(ops.ReLU(), x)), ("after", apply(ops.MulScalar(2.0), h)))
    graph = Graph((h, x), outputs, state=(("h", "after"),))
    instant, given = Instant(graph), np.arange(10, dtype="float32").reshape(5, 2)
    assert np.array_equal(instant(given), given) and instant.state["h"].shape == (2, 3)


def test_sizes_that_a_kernel_must_know_are_not_guessed() -> None:
    image = Node(Input("x"), (), Type((dim("batch", 7), dim("height", 13), 8, 3)))
    w = constant(np.ones((5, 5, 3, 2), "float32"))
    for op, inputs in ((ops.Conv(1, 2), (image, w)), (ops.MaxPool((1, 2), (1, 2), (0, 0)), (image,))):
        with pytest.raises(EmitError, match="depends on a size that stays open"):
            Instant(Graph((image,), (("y", apply(op, *inputs)),)))


def test_graphs_name_sizes_that_callers_give() -> None:
    x = Node(Input("x"), (), Type((3,)))
    with pytest.raises(GraphError, match=r"no axis of an input that is given is \['batch'\]"):
        Instant(Graph((x,), (("y", apply(ops.BroadcastTo((dim("batch", 7), 3)), x)),)))
