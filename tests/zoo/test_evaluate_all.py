"""`needle-zoo evaluate --all` and `needle-zoo data`: what is measured, what is skipped and why, what fails."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import zoo
from needle.data import download
from needle.data.download import DATASETS, PREPARED, MissingDataError, Source, dataset_folder, located, only_here
from needle.errors import DataError
from zoo import registry
from zoo.cli import main
from zoo.datasets import bars
from zoo.evaluate import why_not
from zoo.recipes.base import Data
from zoo.recipes.classification import Classification
from zoo.runs import write_record
from zoo.shelf import ABOUT

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "needle"))
    monkeypatch.delenv("NEEDLE_DATA", raising=False)


def test_without_data_every_model_says_why_it_is_skipped(capsys: Capture) -> None:
    assert main(["evaluate", "--all"]) == 1  # nothing was measured
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == zoo.names() and "nothing to compare" in lines[-1]
    for name, line in zip(zoo.names(), lines, strict=False):
        entry = zoo.entry(name)
        get = f"`needle-zoo data {entry.recipe.dataset}`"
        assert "skipped: " in line and (get if entry.shipped else why_not(entry)) in line
        assert f"{name} ..." in captured.err


def test_one_model_without_data_says_how_to_get_them(capsys: Capture) -> None:
    assert main(["evaluate", "resnet9"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "`needle-zoo data cifar-10` downloads 170.5 MB, checked" in said


def test_drift_fails_and_names_both_numbers(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = zoo.entry("resnet9")
    monkeypatch.setattr(Classification, "data", lambda *_: Data(None, bars("cifar-10", 40, seed=1)))
    now = known.recipe.evaluate(zoo.load("resnet9", pretrained=True), known.recipe.data())
    run, file = known.shipped[0]
    (tmp_path / "cards").mkdir()
    (tmp_path / "weights").symlink_to(known.home / "weights")
    moved = replace(known, home=tmp_path)
    monkeypatch.setattr(registry, "_entries", {"resnet9": moved, "lstm-ptb": zoo.entry("lstm-ptb")})

    def recorded(top1: float, sha256: str = file.sha256) -> None:
        shipped = replace(file, metrics=now | {"top1": top1}, sha256=sha256)
        write_record(tmp_path / "cards" / "resnet9.json", replace(known.record, runs=(replace(run, shipped=shipped),)))

    recorded(now["top1"])
    assert main(["evaluate", "--all"]) == 0
    out = capsys.readouterr().out
    assert "1 of 2 models measured, 1 skipped: all as recorded" in out and "DRIFTED" not in out
    assert main(["evaluate", "resnet9"]) == 0
    assert f"resnet9 seed 0: measuring {file.file} ..." in capsys.readouterr().err
    assert main(["evaluate", "resnet9", "--weights", str(tmp_path / "weights" / file.file)]) == 0
    assert f"resnet9: measuring {file.file} ..." in capsys.readouterr().err
    recorded(now["top1"] + 0.01)
    assert main(["evaluate", "--all"]) == 1
    out = capsys.readouterr().out
    both = f"recorded {100 * now['top1'] + 1:>6.2f} %  now {100 * now['top1']:>6.2f} %  DRIFTED"
    assert both in out and "resnet9: not what was recorded" in out
    recorded(now["top1"], "0" * 64)
    assert main(["evaluate", "--all", "--json"]) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert "is not the published file" in found["resnet9"]["failed"] and found["lstm-ptb"]["skipped"]


@pytest.mark.parametrize("arguments", [[], ["resnet9", "--all"], ["--all", "--tiny"], ["--all", "--data", "x"]])
def test_all_is_all(arguments: list[str], capsys: Capture) -> None:
    assert main(["evaluate", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--all" in said


def test_every_data_set_is_listed_with_its_licence(capsys: Capture, tmp_path: Path) -> None:
    assert set(ABOUT) == {*DATASETS, *PREPARED}
    assert {zoo.entry(name).recipe.dataset for name in zoo.names()} - {""} <= set(ABOUT)
    assert main(["data", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == list(ABOUT) and not any(each["folder"] for each in found)
    assert {"airnet", "resnet9"} <= set(found[0]["models"])
    assert main(["data"]) == 0
    text = capsys.readouterr().out
    assert all(about.licence in text and about.what in text for about in ABOUT.values())
    assert main(["data", "imagenet"]) == 1
    assert "no data set 'imagenet'; there are cifar-10" in capsys.readouterr().err
    assert main(["data", "gutenberg-novels"]) == 1
    assert "not downloaded but put together" in capsys.readouterr().err


def test_a_data_set_is_downloaded_checked_and_then_found(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"What is here?"
    (tmp_path / "input.txt").write_bytes(text)
    source = Source((tmp_path / "input.txt").as_uri(), "sha256:" + hashlib.sha256(text).hexdigest())
    monkeypatch.setitem(download.DATASETS, "tinyshakespeare", (source,))
    with only_here(), pytest.raises(MissingDataError, match="tinyshakespeare is not on this machine"):
        dataset_folder("tinyshakespeare")
    assert located("tinyshakespeare") is None
    assert main(["data", "Tiny-Shakespeare"]) == 0
    folder = tmp_path / "needle" / "data" / "tinyshakespeare"
    assert str(folder) in capsys.readouterr().out and located("tinyshakespeare") == folder
    with only_here():
        assert dataset_folder("tinyshakespeare") == folder
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine" / "tinyshakespeare").mkdir(parents=True)
    (tmp_path / "mine" / "tinyshakespeare" / "input.txt").write_bytes(np.arange(1000, dtype="uint8").tobytes())
    assert main(["data", "tinyshakespeare", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(tmp_path / "mine" / "tinyshakespeare") and found["bytes"] == 1000
    with pytest.raises(DataError, match="unknown data set 'x'"):
        located("x")
