"""What is told of a graph: where nodes come from, why passes left them, what calls cost, where a drawing puts them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Graph
from deploy.cli import main
from deploy.ir import Input, Node, apply, weight
from deploy.lower import lower
from deploy.passes import kept, optimize
from deploy.report import page, report, sizes_at
from deploy.report.drawing import ACROSS, HEIGHT, WIDTH, draw, layers
from deploy.report.weights import described
from needle import nn, ops
from needle.sizes import dim
from needle.types import Type

BATCH = dim("batch", 7)


@pytest.fixture(scope="module")
def facts(graph: Graph) -> dict[str, Any]:
    return report(graph, "small", {"batch": 2})


def titles(facts: dict[str, Any], which: str) -> list[str]:
    return [node["title"] for node in facts[which]["nodes"]]


def test_every_node_of_the_program_knows_what_it_was_made_of(facts: dict[str, Any]) -> None:
    before, after = titles(facts, "before"), facts["after"]["nodes"]
    first = next(node for node in after if node["title"] == "Conv + bias + relu")
    made_of = {before[i] for i in first["origins"]}
    assert {"Conv", "Add", "BatchNormInference", "ReLU"} <= made_of <= {*made_of, "Permute"}
    assert {"open_epilogues", "fuse_bias", "fold_batch_norm", "fuse_relu"} <= set(first["passes"])
    homes = [i for node in after for i in node["origins"] if before[i] in ("Conv", "MatMul", "BatchNormInference")]
    assert len(homes) == len(set(homes)) == sum(name in ("Conv", "MatMul", "BatchNormInference") for name in before)
    applied = {row["name"]: row["applied"] for row in facts["passes"]}
    assert applied["fold_batch_norm"] == 5 and applied["share_common"] == 0
    assert next(row for row in facts["passes"] if row["name"] == "fuse_relu")["equation"].startswith("relu(product")


def input_of(*shape: int) -> Node:
    return Node(Input("x"), (), Type((BATCH, *shape)))


def w(*shape: int, name: str = "w") -> Node:
    return weight(np.ones(shape, dtype="float32"), name)


def times(x: Node) -> Node:
    return apply(ops.MatMul(), x, w(4, 4, name=f"w{id(x)}"))


def plus(a: Node, b: Node) -> Node:
    return apply(ops.EWiseAdd(), a, b)


def relu(x: Node) -> Node:
    return apply(ops.ReLU(), x)


def spread(b: Node) -> Node:
    return apply(ops.BroadcastTo((BATCH, 4)), b)


def image(**more: Any) -> Node:
    return apply(ops.Conv(1, 1, **more), input_of(8, 8, 4), w(3, 3, 4 // more.get("groups", 1), 4))


def normed(x: Node) -> Node:
    return apply(ops.BatchNormInference(1e-5), x, *(w(4, name=f"n{i}") for i in range(4)))


x = input_of(4)
y = times(x)
LEFT = {
    "relu of a value": (relu(x), "fuse_relu", "it follows Input, not a product"),
    "relu of a shared product": (plus(relu(y), y), "fuse_relu", "the product is read 2 times"),
    "a bias of something else": (plus(relu(x), spread(w(4))), "fuse_bias", "it is added to ReLU, not to a product"),
    "neither a product": (plus(relu(x), x), "fuse_add", "it adds ReLU and Input, neither a product"),
    "a third sum": (plus(plus(y, x), relu(x)), "fuse_add", "the product has a sum in its epilogue already"),
    "norm after relu": (normed(relu(image())), "fold_batch_norm", "the product has an epilogue already: relu"),
    "norm of an input": (normed(input_of(8, 8, 4)), "fold_batch_norm", "it follows Input, not a product"),
}


@pytest.mark.parametrize(("node", "rule", "reason"), LEFT.values(), ids=LEFT)
def test_passes_say_why_they_left_a_node(node: Node, rule: str, reason: str) -> None:
    nodes = Graph((), (("y", node),))
    inputs = tuple(n for n in nodes.order() if isinstance(n.op, Input))
    found = [(name, said) for _, name, said in kept(optimize(Graph(inputs, nodes.outputs)))]
    assert any(name == rule and said.endswith(reason) for name, said in found), found


def test_costs_and_memory_are_those_of_the_program(graph: Graph, facts: dict[str, Any]) -> None:
    program = lower(optimize(graph))
    calls, arena = facts["program"]["calls"], facts["program"]["arena"]
    assert [call["kernel"] for call in calls] == [call.kernel for call in program.calls]
    first = calls[0]  # 3 x 3 x 3 x 8 taps on 4 x 4 outputs of 2 images, but for those that meet padding
    assert 0.7 * 2 * 16 * 27 * 8 < first["multiply_adds"] <= 2 * 16 * 27 * 8
    assert first["bytes"] >= 4 * (2 * 3 * 64 + 27 * 8 + 2 * 16 * 8)
    owned = sorted(k for node in facts["after"]["nodes"] for k in node["calls"])
    assert owned == list(range(len(calls)))
    for a in arena["buffers"]:
        assert a["start"] >= 0 and a["start"] + a["bytes"] <= arena["bytes"] and a["first"] <= a["last"] < len(calls)
        for b in arena["buffers"]:
            alive = a is not b and a["first"] <= b["last"] and b["first"] <= a["last"]
            assert not (alive and a["start"] < b["start"] + b["bytes"] and b["start"] < a["start"] + a["bytes"])


def test_a_graph_that_is_no_program_has_a_report_all_the_same() -> None:
    node = apply(ops.LogSoftmaxGradient(), *[input_of(4)] * 2)
    found = report(Graph((node.inputs[0],), (("y", node),)), "open")
    assert found["program"] is None and found["refused"].startswith("[emit]")
    assert "no program" not in page(found).partition('id="facts"')[0]


def test_state_and_other_sizes_are_told() -> None:
    from deploy import freeze

    def step(given: Any, h: Any) -> Any:
        return ops.relu(given) + h, h + given

    graph = freeze(
        step, (Type(("batch", 4)), Type(("batch", 4))), input_names=["given", "h"], output_names=["y", "h_after"],
        state={"h": "h_after"},
    )  # fmt: skip
    found = report(graph, "step", {"batch": 3})
    assert found["state_bytes"] == 3 * 4 * 4 and [x["name"] for x in found["inputs"]] == ["given"]
    kinds = {node["title"]: node["kind"] for node in found["before"]["nodes"]}
    assert kinds["given"] == "input" and kinds["h"] == "state"
    assert any("h_after (state)" in node["outputs"] for node in found["after"]["nodes"])


def test_sizes_default_to_one_row_and_to_the_largest() -> None:
    from deploy import freeze

    graph = freeze(lambda a: ops.relu(a), Type(("batch", "time")), dims={"time": (1, 64)})
    assert sizes_at(graph, {}) == {"batch": 1, "time": 64} and sizes_at(graph, {"time": 2})["time"] == 2


def test_numbers_that_are_none_and_few_are_told_of_weights() -> None:
    found = described(np.array([1.0, np.nan, 3.0, np.inf], dtype="float32"))
    assert found["not_finite"] == 2 and found["mean"] == 2 and sum(found["counts"]) == 2
    assert "counts" not in described(np.zeros((0, 4), dtype="float32"))
    assert described(np.array(5, dtype="int64"))["low"] < 5 < described(np.array(5, dtype="int64"))["high"]
    assert described(np.array([True, False, False]))["zeros"] == 2


def test_a_drawing_has_no_two_nodes_in_one_place_and_flows_downwards() -> None:
    reads = [[], [], [0], [2, 1], [3], [4, 0], [5, 3], [6], [6], [7, 8, 2]]
    places, edges, (width, height) = draw(reads)
    assert layers(reads)[1] == layers(reads)[3] - 1  # right above its first reader
    assert all(places[i][1] > places[x][1] for i, inputs in enumerate(reads) for x in inputs)
    for i, (a, b) in enumerate(places):
        assert WIDTH / 2 <= a <= width - WIDTH / 2 and HEIGHT / 2 <= b <= height - HEIGHT / 2
        assert all(b != d or abs(a - c) >= WIDTH + ACROSS - 0.2 for c, d in places[:i])
    assert sorted((a, b) for a, b, _ in edges) == sorted((x, i) for i, inputs in enumerate(reads) for x in inputs)
    for a, b, points in edges:
        heights = [places[a][1], *(y for _, y in points), places[b][1]]
        assert all(low < high for low, high in pairwise(heights))
    assert draw([]) == ([], [], (0, 0))


def test_a_chain_beside_a_residual_edge_stays_straight() -> None:
    places, _, _ = draw([[], [0], [1], [2], [3, 0], [4]])
    assert max(x for x, _ in places) - min(x for x, _ in places) < WIDTH / 4


def test_the_page_is_one_file_and_the_command_says_what_is_wrong(
    graph: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, to = tmp_path / "small.nd", tmp_path / "small.html"
    Graph(graph.inputs, graph.outputs, {"task": "</script><b>"}).save(path)
    assert main(["inspect", str(path), "-o", str(to), "--at", "batch=4"]) == 0
    text = to.read_text()
    assert "</script><b>" not in text and "src=" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert '"sizes":{"batch":4}' in text
    capsys.readouterr()
    assert main(["inspect", str(path), "--why", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == []
    for more in (["--at", "time=1", "-o", str(to)], ["--at", "batch=0", "-o", str(to)], ["--at", "batch=1"]):
        assert main(["inspect", str(path), *more]) == 1
        assert "[--at]" in capsys.readouterr().err
    assert main(["inspect", str(path), "-o", str(tmp_path / "missing" / "x.html")]) == 1
    assert sorted(x.name for x in tmp_path.iterdir()) == ["small.html", "small.nd"]


def test_sequential_layers_keep_their_names_in_the_drawing() -> None:
    from deploy import freeze

    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    model.eval()
    found = report(freeze(model, np.zeros((1, 4), "float32")), "two")
    (node,) = (node for node in found["after"]["nodes"] if node["kind"] == "product")
    assert node["title"] == "MatMul + bias + relu" and node["weights"][0] == "modules.0.weight: float32(4, 3)"
