"""Compiled programs compute what their graphs mean, and refuse what does not fit; one program holds every op."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Built, Compiled, DeployError, EmitError, Graph, build, interpreter
from deploy.compare import eager, errors, relative_error
from deploy.compiler import FLAGS
from deploy.generate import generate
from deploy.ir import Input, Node, apply, constant
from deploy.lower import CALLS, HELD, Expanded, Refused, lower
from deploy.onnx.ops import CastTo
from deploy.passes import optimize
from deploy.registry import OPS
from needle import ops
from needle.types import Type
from tests.case import Case
from tests.cases import CASES, meaning
from tests.deploy.conftest import images


def test_program_equals_interpreter_and_eager_needle(compiled: Compiled, graph: Graph, model: Any) -> None:
    model.eval()
    for what, error in errors(compiled, graph, model):
        assert error < 1e-5, what


def test_batches_of_every_size_and_of_more_than_the_program_holds(compiled: Compiled, graph: Graph) -> None:
    x = images(11)
    expected = interpreter.run(graph, {"image": x})["logits"]
    for batch in (1, 2, 3, 4, 5, 8, 11):
        assert relative_error(compiled(x[:batch]), expected[:batch]) < 1e-5


def test_results_do_not_depend_on_threads_or_batch(built: Built) -> None:
    x = images(9)
    results = []
    for threads, most in ((1, 9), (2, 9), (3, 2), (1, 1)):
        with Compiled(built.library, max_batch=most, threads=threads) as compiled:
            results.append(compiled(x))
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only x86-64 programs hold several instruction sets")
def test_every_instruction_set_gives_the_same_numbers(built: Built, graph: Graph) -> None:
    code = (
        "import sys, numpy; from deploy import Compiled; from tests.deploy.conftest import images;"
        "c = Compiled(sys.argv[1]); sys.stdout.buffer.write(c.isa.encode() + c(images(3)).tobytes())"
    )
    found = {}
    for level in ("v2", "v3", "v4"):
        environment = {**os.environ, "NEEDLE_ISA": level}
        command = [sys.executable, "-c", code, str(built.library)]
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        found[run.stdout[:2].decode()] = np.frombuffer(run.stdout[2:], dtype="float32").reshape(3, 5)
    assert "v2" in found
    expected = interpreter.run(graph, {"image": images(3)})["logits"]
    assert all(relative_error(y, expected) < 1e-5 for y in found.values())
    if {"v3", "v4"} <= set(found):
        assert np.array_equal(found["v3"], found["v4"])


MAIN = r"""
#include "small.h"
#include <cstdio>
#include <vector>
int main() {
    char error[256];
    std::vector<float> image(3 * 8 * 8), logits(5);
    if (std::fread(image.data(), 4, image.size(), stdin) != image.size()) return 1;
    small_model* model = small_create(nullptr, 1, 1, error, sizeof error);
    if (small_run(model, 1, image.data(), logits.data())) return 2;
    std::fwrite(logits.data(), 4, logits.size(), stdout);
    small_destroy(model);
}
"""


@pytest.mark.thorough
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the documented line is for x86-64")
def test_the_documented_command_builds_what_build_builds(built: Built, compiled: Compiled, tmp_path: Path) -> None:
    for path in (built.source, built.header, built.source.with_name("small_weights.S"), built.weights):
        shutil.copy(path, tmp_path)
    (tmp_path / "your_program.cpp").write_text(MAIN)
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text().replace("\\\n", " ")
    command = next(line for line in page.splitlines() if line.startswith("    c++ ") and "your_program" in line)
    subprocess.run(shlex.split(command.replace("resnet9", "small")), cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "your_program"], input=images(1).tobytes(), stdout=subprocess.PIPE, check=True)
    assert ran.stdout == compiled(images(1)).tobytes()
    flags = set(FLAGS) - {"-fPIC", "-fvisibility=hidden"} | {"-mprefer-vector-width=512"}
    assert flags <= set(command.split())


def test_many_threads_may_share_one_model(built: Built) -> None:
    with Compiled(built.library, max_batch=4, threads=2) as compiled, ThreadPoolExecutor(8) as pool:
        inputs = [images(1 + i % 4, seed=i) for i in range(64)]
        expected = [compiled(x) for x in inputs]
        assert all(np.array_equal(a, b) for a, b in zip(pool.map(compiled, inputs), expected, strict=True))


REFUSED: dict[str, tuple[Any, str]] = {
    "another dtype": (images(1).astype("float64"), "must be float32"),
    "another rank": (images(1)[0], "must have shape"),
    "another size": (images(1)[:, :, :4], "must have shape"),
    "an empty batch": (images(1)[:0], "must have shape"),
}


@pytest.mark.parametrize(("x", "message"), REFUSED.values(), ids=REFUSED)
def test_arrays_that_do_not_fit_are_refused(compiled: Compiled, x: np.ndarray, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        compiled(x)


def test_strided_input_and_misuse(compiled: Compiled, built: Built) -> None:
    wide = np.repeat(images(2), 2, axis=3)
    assert np.array_equal(compiled(wide[..., ::2]), compiled(images(2)))
    with pytest.raises(DeployError, match="needs the inputs"):
        compiled.run(picture=images(1))
    with pytest.raises(DeployError, match="1 inputs"):
        compiled(images(1), images(1))
    compiled.close()
    compiled.close()
    with pytest.raises(DeployError, match="closed"):
        compiled(images(1))
    for options in ({"max_batch": 0}, {"threads": 0}, {"threads": 10**6}, {"max_batch": 2**61}, {"most": {"time": 3}}):
        with pytest.raises(DeployError, match=r"max_batch|1 <= threads <= 1024|no size called \['time'\]"):
            Compiled(built.library, **options)
    with pytest.raises(DeployError, match="not a library"):
        Compiled(built.source)


def one_of_each() -> dict[str, tuple[Case, Node]]:
    """The samples that a program can hold, each op as a node; weights of products are constants."""
    found = {}
    for index, case in enumerate(CASES):
        product = isinstance(case.op, ops.Conv | ops.MatMul)
        row = CALLS[type(case.op)]
        if isinstance(row, Refused) and not isinstance(row, Expanded):
            continue
        if isinstance(case.op, ops.Cast) and case.op.dtype not in HELD:
            continue
        nodes = []
        for i, x in enumerate(case.inputs):
            several = isinstance(x, tuple)
            parts = [
                constant(y.astype("float32"))
                if product and i == 1
                else Node(Input(f"c{index}_{i}_{k}"), (), Type(y.shape))
                for k, y in enumerate(x if several else (x,))
            ]
            nodes.append(apply(ops.MakeTensorTuple(), *parts) if several else parts[0])
        node = apply(case.op, *nodes)
        sizes = [x.shape for x in Graph((), (("y", item(node, 0)),)).order() if isinstance(x.type, Type)]
        if not any(0 in shape for shape in sizes):
            found[f"c{index}"] = case, node
    return found


def item(node: Node, k: int) -> Node:
    return node if isinstance(node.type, Type) else apply(ops.TupleGetItem(k), node)


def in_place() -> dict[str, Node]:
    """Values that must not be overwritten while somebody still reads them."""
    x = Node(Input("x"), (), Type((4, 4)))
    a = apply(ops.Exp(), x)
    b = apply(ops.MulScalar(2.0), a)  # a is read again below: b must not lie in its place
    turned = apply(ops.EWiseAdd(), b, apply(ops.Transpose(), b))  # b is read in two orders: the sum must not either
    chain = apply(ops.Negate(), apply(ops.Tanh(), apply(ops.AddScalar(1.0), apply(ops.EWiseMul(), turned, a))))
    return {"chain": chain, "also": apply(ops.Reshape((2, 8)), b), "input": x, "again": chain}


@pytest.mark.thorough
def test_every_op_that_programs_hold_computes_its_meaning(cache: Path) -> None:
    cases = one_of_each()
    outputs, expected = dict(in_place()), {}
    for name, (case, node) in cases.items():
        result = meaning(case, *case.inputs)
        for k, y in enumerate(result if isinstance(result, tuple) else (result,)):
            outputs[f"{name}_{k}"] = item(node, k)
            expected[f"{name}_{k}"] = np.asarray(y).reshape(item(node, k).shape)
    graph = Graph((), tuple(outputs.items()))
    graph = Graph(tuple(x for x in graph.order() if isinstance(x.op, Input)), graph.outputs)
    values = {
        f"{name}_{i}_{k}": np.asarray(y, dtype="float32")
        for name, (case, _) in cases.items()
        for i, x in enumerate(case.inputs)
        for k, y in enumerate(x if isinstance(x, tuple) else (x,))
    }
    values["x"] = np.random.default_rng(0).standard_normal((4, 4)).astype("float32")
    values = {x.op.name: values[x.op.name] for x in graph.inputs}
    expected |= {name: y for name, y in interpreter.run(graph, values).items() if name in in_place()}
    built = build(graph, name="every_op")
    with Compiled(built.library, built.weights) as compiled:
        found = compiled.run(**values)
    assert set(found) == set(expected) and len(cases) > 100
    for name, y in expected.items():
        case = cases.get(name.split("_")[0])
        message = case[0].name if case else name
        np.testing.assert_allclose(found[name], y, rtol=2e-5, atol=2e-5, err_msg=message)


def test_the_table_of_calls_is_total_and_its_refusals_are_words() -> None:
    assert set(CALLS) == set(OPS.values())
    x = Node(Input("x"), (), Type((2, 3)))
    with pytest.raises(EmitError, match=r"programs hold .*, not complex64: cast it"):
        lower(Graph((x,), (("z", apply(CastTo("complex64"), x)),)))
    with pytest.raises(EmitError, match="C identifier"):
        generate(lower(Graph((x,), (("z", apply(ops.ReLU(), x)),))), "not-a-name")
    assert all(len(row.reason) > 10 for row in CALLS.values() if isinstance(row, Refused))


def test_a_program_is_calls_and_constants(graph: Graph, compiled: Compiled, built: Built) -> None:
    text = built.source.read_text()
    forward = text[text.index("void forward(") : text.index("---- the C interface")]
    assert "direct_conv(on, batch, Const<" in forward and "linear(on, batch, Const<" in forward
    assert not re.search(r"\b(for|while|new|malloc|static)\b", forward)
    assert compiled._functions["arena_bytes"](3, 2) == built.arena_bytes(3, 2)
    optimized = generate(lower(optimize(graph)), "small")
    assert optimized.files["small.cpp"] == built.source.read_bytes()  # the same graph gives the same text


def test_eager_names_outputs_as_the_graph_does(graph: Graph, model: Any) -> None:
    assert list(eager(model, graph, {"image": images(2)})) == ["logits"]
