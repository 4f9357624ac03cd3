"""`needle-deploy quantize`: what it measures, when it writes, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from deploy import Graph, freeze
from deploy.cli import main
from deploy.coded_weights import DecodedWeight
from deploy.quantize.data import spread
from deploy.quantized_ops import QuantizedProduct
from tests.deploy.conftest import CARD, SIZE, images, small_net


@pytest.fixture
def net(tmp_path: Path) -> Path:
    model = small_net()
    model.eval()
    graph = replace(freeze(model, images(1), input_names=["image"]), card=CARD)
    graph.save(tmp_path / "net.nd")
    np.save(tmp_path / "rows.npy", images(48))
    return tmp_path / "net.nd"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A language model that decodes, and the ids of a text."""
    np.random.seed(5)
    model: Any = zoo.load("gpt-char", **zoo.entry("gpt-char").tiny.model)
    model.eval()
    step, example, options = model.decoding(slots=2)
    freeze(step, example, **options).save(tmp_path / "gpt.nd")
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(0, 65, 100))
    return tmp_path / "gpt.nd"


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, Any]:
    code = main(["quantize", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code in (0, 1) and out else err


def test_a_net_is_written_with_what_it_cost(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "int8.nd"
    code, facts = run(capsys, net, "--calibrate", tmp_path / "rows.npy", "--why", "-o", out)
    assert code == 0 and facts["metric"] == "error" and 0 < facts["after"] == facts["lost"] < facts["tolerance"] == 0.05
    assert facts["products"] == sum(isinstance(x.op, QuantizedProduct) for x in Graph.load(out).order()) == 7
    assert facts["weights_bytes"][1] < facts["weights_bytes"][0] / 2 and len(facts["layers"]) == 7
    assert Graph.load(out).card == Graph.load(net).card
    assert main(["quantize", str(net), "--calibrate", str(tmp_path / "rows.npy"), "-o", str(out)]) == 0
    assert "before" in (said := capsys.readouterr().out) and f"{out}: written" in said


def test_beyond_the_tolerance_nothing_is_written(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "int8.nd"
    for more in (["--tolerance", "0"], ["--tolerance", "0", "--weights", "int4"]):
        code, facts = run(capsys, net, "--calibrate", tmp_path / "rows.npy", "-o", out, *more)
        assert code == 1 and not facts["within"] and facts["path"] is None and not out.exists()
    given = [str(net), "--calibrate", str(tmp_path / "rows.npy"), "-o", str(out), "--tolerance", "0"]
    assert main(["quantize", *given]) == 1
    assert "BEYOND" in (said := capsys.readouterr().out) and "not written, the loss is beyond the tolerance" in said


def test_rows_are_spread_evenly_over_all_there_are() -> None:
    assert spread(10, 3).tolist() == [0, 4, 9] and spread(3, 10).tolist() == [0, 1, 2] and spread(1, 1).tolist() == [0]


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_of_images(net: Path, tmp_path: Path, named: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose classes are those of the card, so that accuracy is known, or are none."""
    draw = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "photos" / (("cat", "bird")[i % 2] if named else "all")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (SIZE + i, SIZE, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / f"{i}.png")
    code, facts = run(capsys, net, "--calibrate", tmp_path / "photos", "-o", tmp_path / "int8.nd", "--tolerance", "0.2")
    assert code == 0 and facts["metric"] == ("accuracy" if named else "error")
    assert not named or 0 <= facts["before"] <= 1
    code, facts = run(capsys, net, "--calibrate", tmp_path / "photos", "--metric", "agreement", "-o", tmp_path / "b.nd")
    assert facts["before"] == 1 and facts["lost"] == 1 - facts["after"]


@pytest.mark.parametrize("format", ["fp16", "bf16", "int8", "int4"])
def test_weights_of_a_language_model(
    text: Path, tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ids = tmp_path / "coded.nd", tmp_path / "ids.npy"
    how = ["--weights", format, "--metric", "perplexity", "--tolerance", 0.2, "--group", 16]
    code, facts = run(capsys, text, "--calibrate", ids, *how, "-o", out)
    assert code == 0 and facts["before"] == pytest.approx(facts["after"], rel=0.1) and facts["before"] != facts["after"]
    assert any(isinstance(x.op, DecodedWeight) for x in Graph.load(out).order())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--calibrate", "nowhere"], "neither a folder of images, a .npy file nor one of cifar-10, mnist"),
        (["--calibrate", "lacking.npy"], "'lacking.npy' is not a .npy file of numbers: No such file"),
        (["--calibrate", "EMPTY.npy"], "holds no rows"),
        (["--calibrate", "WRONG.npy"], "must be finite rows for float32(batch, 3, 8, 8), got float64(4, 3)"),
        (["--calibrate", "NAN.npy"], "must be finite rows for float32(batch, 3, 8, 8)"),
        (["--calibrate", "WORDS.npy"], "it is damaged or holds objects"),
        (["--calibrate", "SHAPE.npy"], "input 'image' must have shape (batch, 3, 8, 8)"),
        (["--calibrate", "rows.npy", "--metric", "accuracy"], "accuracy needs data with labels that the model's card"),
        (["--calibrate", "rows.npy", "--metric", "perplexity"], "must hold whole numbers, the ids of a text"),
        (["--calibrate", "ids.npy", "--metric", "perplexity", "--weights", "int8"], "from ids (batch, time) to logits"),
        (["--calibrate", "rows.npy", "--weights", "int8", "--why"], "--why compares values in bytes"),
        (["--calibrate", "rows.npy", "--weights", "int4", "--group", "3"], "groups of int4, of which two are a byte"),
        (["--calibrate", "PHOTOS"], "has no images"),
    ],
)
def test_mistakes_are_said_in_a_sentence(
    net: Path, tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PHOTOS").mkdir()
    arrays = {
        "EMPTY": np.zeros((0, 3, 8, 8)), "WRONG": np.zeros((4, 3)), "NAN": np.full((2, 3, 8, 8), np.nan),
        "SHAPE": np.zeros((2, 3, 9, 9)), "ids": np.arange(500),
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    Path("WORDS.npy").write_bytes(b"no array")
    code, said = run(capsys, net, *arguments, "-o", "out.nd")
    assert code == 1 and says in said and "Traceback" not in said and not Path("out.nd").exists()


def test_texts_are_of_graphs_with_a_state(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, text, "--calibrate", tmp_path / "ids.npy", "-o", tmp_path / "out.nd")
    assert code == 1 and "data are for graphs of one input without state, got the inputs ids, slot, position" in said
    np.save(tmp_path / "short.npy", np.arange(5))
    how = ["--weights", "int8", "--metric", "perplexity"]
    code, said = run(capsys, text, "--calibrate", tmp_path / "short.npy", *how, "-o", tmp_path / "out.nd")
    assert code == 1 and "a text needs more than 16 ids, got 5" in said


def test_a_data_set_that_is_not_here_says_how_to_get_it(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path))
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path))
    code, said = run(capsys, net, "--calibrate", "cifar-10", "-o", tmp_path / "out.nd")
    assert code == 1 and "cifar-10" in said
