"""The .nd file: what is written is read back, and everything else is refused with the place."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Graph, NdFormatError, RunError, freeze, interpreter, load
from deploy.container import ALIGNMENT
from deploy.ir import Input, Node, apply
from deploy.nd import MEMBERS, dumps, loads
from deploy.onnx.ops import LabelEncoder
from needle import nn, ops
from needle.sizes import Size, dim
from needle.types import Type
from tests.deploy.attacks import ATTACKS, in_graph
from tests.deploy.conftest import CARD, images


@pytest.fixture(scope="module")
def data(graph: Graph) -> bytes:
    return dumps(graph)


@pytest.fixture(scope="module")
def tiny() -> bytes:
    np.random.seed(0)
    return dumps(freeze(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), np.zeros((1, 3))))


def test_round_trip(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "small.nd"
    graph.save(path)
    read = load(path)
    x = {"image": images(3)}
    assert np.array_equal(interpreter.run(read, x)["logits"], interpreter.run(graph, x)["logits"])
    assert read.card == CARD and isinstance(read.inputs[0].shape[0], Size)
    assert dumps(read) == path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["small.nd"]


def test_any_zip_tool_reads_it_and_members_are_aligned(data: bytes) -> None:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None and tuple(archive.namelist()) == MEMBERS
        for entry in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
            assert (entry.header_offset + 30 + name + extra) % ALIGNMENT == 0
            assert entry.compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize(("attack", "message"), ATTACKS.values(), ids=ATTACKS)
def test_attack_is_refused_with_the_place(data: bytes, attack: Any, message: str) -> None:
    attacked = attack(data)
    assert attacked != data
    with pytest.raises(NdFormatError, match=message) as raised:
        loads(attacked)
    assert str(raised.value).startswith("[")


def test_mutations_are_refused_or_mean_the_same(tiny: bytes) -> None:
    """Flips, cuts and copies of bytes anywhere: never another exception, never another graph."""
    draw = np.random.default_rng(1)
    for _ in range(1500):
        mutated = bytearray(tiny)
        for _ in range(int(draw.integers(1, 4))):
            at = int(draw.integers(len(mutated)))
            match int(draw.integers(4)):
                case 0:
                    mutated[at] ^= 1 << int(draw.integers(8))
                case 1:
                    del mutated[at : at + int(draw.integers(1, 20))]
                case 2:
                    mutated[at:at] = mutated[at : at + int(draw.integers(1, 20))]
                case 3:
                    mutated[at] = int(draw.integers(256))
            if not mutated:
                break
        with contextlib.suppress(NdFormatError):
            assert dumps(loads(bytes(mutated))) == tiny


def test_mutated_graphs_are_refused_or_run(tiny: bytes) -> None:
    """Values of graph.json replaced, with hashes right again: refused, or a graph that the interpreter can run."""
    draw = np.random.default_rng(2)
    values = [
        None,
        True,
        -1,
        0,
        1,
        2,
        3,
        7,
        2**40,
        1.5,
        "",
        "ReLU",
        "Input",
        [],
        [0],
        [1, 0],
        {},
        {"dim": "batch"},
        {"sum": [[2, {"dim": "batch"}]]},
    ]
    for _ in range(600):

        def change(record: Any) -> None:
            holder: Any = record
            while True:
                keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
                key = keys[int(draw.integers(len(keys)))]
                if isinstance(holder[key], dict | list) and len(holder[key]) and draw.random() < 0.8:
                    holder = holder[key]
                else:
                    holder[key] = values[int(draw.integers(len(values)))]
                    return

        try:
            graph = loads(in_graph(change)(tiny))
        except NdFormatError:
            continue
        with contextlib.suppress(RunError):  # other bounds of the batch
            interpreter.run(graph, {"input": np.ones((2, 3), dtype="float32")})


def relus(*inputs: Node) -> Graph:
    return Graph(inputs, tuple((f"y{i}", apply(ops.ReLU(), x)) for i, x in enumerate(inputs)))


def stacked(count: int) -> Graph:
    x = Node(Input("x"), (), Type((3,)))
    return Graph((x,), (("y", apply(ops.Stack(0), apply(ops.MakeTensorTuple(), *[x] * count))),))


def table(count: int) -> Graph:
    x = Node(Input("x"), (), Type((3,), "int64"))
    return Graph((x,), (("y", apply(LabelEncoder(tuple(range(count)), tuple(range(count)), -1, "int64"), x)),))


@pytest.mark.parametrize(
    "many",
    [
        stacked(1000),
        table(1000),
        relus(*(Node(Input(f"x{i}"), (), Type((3,))) for i in range(100))),
        relus(*(Node(Input(f"x{i}"), (), Type((dim(f"d{i}", 7 + i),))) for i in range(12))),
    ],
    ids=["parts", "keys", "ports", "sizes"],
)
def test_graphs_of_many_parts_are_read_back(many: Graph) -> None:
    data = dumps(many)
    assert dumps(loads(data)) == data


def test_what_the_reader_would_refuse_is_not_written(graph: Graph) -> None:
    with pytest.raises(NdFormatError, match="node 1: needs a list of at most 4096 items"):
        dumps(stacked(4097))
    with pytest.raises(NdFormatError, match="a list of at most 100000 items"):
        dumps(table(100_001))
    with pytest.raises(NdFormatError, match="labels: needs a list"):
        dumps(Graph(graph.inputs, graph.outputs, {"labels": "cat, dog"}))
    with pytest.raises(NdFormatError, match=r"card.json: \d+ bytes are more than"):
        dumps(Graph(graph.inputs, graph.outputs, {"data": "x" * 2**24}))


def test_what_a_file_cannot_hold_is_refused_when_writing(graph: Graph) -> None:
    with pytest.raises(NdFormatError, match="plain finite data"):
        dumps(Graph(graph.inputs, graph.outputs, {"accuracy": float("nan")}))
    with pytest.raises(NdFormatError, match="plain finite data"):
        dumps(Graph(graph.inputs, graph.outputs, {"code": test_round_trip}))
