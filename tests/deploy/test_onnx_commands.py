"""needle-deploy with ONNX files: import, export, every other command, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import Graph, interpreter
from deploy.cli import main
from deploy.commands import graph_of
from deploy.compare import relative_error
from tests.deploy.conftest import CARD, images

onnx = pytest.importorskip("onnx")


@pytest.fixture
def path(graph: Graph, tmp_path: Path) -> Path:
    graph.save(tmp_path / "small.nd")
    return tmp_path / "small.nd"


def test_there_and_back(path: Path, graph: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = tmp_path / "small.onnx", tmp_path / "again.nd"
    assert main(["export", str(path), "-o", str(there), "--opset", "18"]) == 0
    assert main(["import", str(there), "-o", str(back)]) == 0
    assert "inputs image float32(batch, 3, 8, 8)" in capsys.readouterr().out
    assert onnx.load(there).opset_import[0].version == 18
    again = Graph.load(back)
    assert dict(again.card) == CARD and again.weights().keys() == graph.weights().keys()
    x = {"image": images(2)}
    assert relative_error(interpreter.run(again, x)["logits"], interpreter.run(graph, x)["logits"]) < 1e-5
    assert main(["inspect", str(there), "--optimized"]) == 0
    assert "FusedConv" in capsys.readouterr().out
    assert main(["inspect", str(there), "-o", str(tmp_path / "small.html")]) == 0
    assert '"title":"Conv + bias + relu"' in (tmp_path / "small.html").read_text()


def test_sizes_are_fixed_by_name(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "small.onnx"
    assert main(["export", str(path), "-o", str(there)]) == 0
    assert main(["inspect", str(there), "--shape", "image=2x3x8x8", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert "float32(2, 3, 8, 8)" in json.dumps(nodes)
    assert str(graph_of(there, [("image", ["rows", 3, 8, 8])]).inputs[0].shape) == "(rows, 3, 8, 8)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "NOTHING.onnx"], "NOTHING.onnx"),
        (["inspect", "SMALL.nd", "--shape", "image=2x3x8x8"], "--shape] fixes sizes of a .onnx file"),
        (["inspect", "SMALL.onnx", "--shape", "image"], "needs INPUT=SIZES such as image=1x3x224x224, got 'image'"),
        (["inspect", "SMALL.onnx", "--shape", "x=1x3"], "no input is called ['x'], the model has ['image']"),
        (["inspect", "SMALL.onnx", "--shape", "image=1x4x8x8"], "the model cannot be read"),
        (["export", "SMALL.nd", "-o", "NEW.onnx", "--opset", "99"], "opset must be in 13..24, got 99"),
        (["import", "PICTURE.onnx", "-o", "NEW.nd"], "is damaged, or no ONNX model"),
    ],
)
def test_mistakes(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["export", str(path), "-o", str(tmp_path / "SMALL.onnx")]) == 0
    path.rename(tmp_path / "SMALL.nd")
    (tmp_path / "PICTURE.onnx").write_bytes(b"\x89PNG\r\n" + bytes(40))
    found = [str(tmp_path / a) if a.endswith((".nd", ".onnx")) else a for a in arguments]
    capsys.readouterr()
    try:
        code = main(found)
    except SystemExit as exit:
        code = int(str(exit.code))
    text = " ".join(capsys.readouterr().err.split())
    assert code != 0 and message in text and "Traceback" not in text
    assert not list(tmp_path.glob("NEW.*"))
