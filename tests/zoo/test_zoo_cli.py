"""The command line: what it lists, trains and makes, and what it says to mistakes."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zoo
from zoo import registry
from zoo.cli import main

Capture = pytest.CaptureFixture[str]


def test_the_list_shows_what_is_trained_and_what_is_not(capsys: Capture) -> None:
    assert main(["list"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line[0] != " "]  # others are of adapters
    assert [line.split()[0] for line in lines] == zoo.names()
    for line, name in zip(lines, zoo.names(), strict=True):
        assert ("not trained yet" in line) == (not zoo.entry(name).runs)


def test_training_at_the_smallest_leaves_weights_that_make_pictures(capsys: Capture, tmp_path: Path) -> None:
    assert main(["train", "dcgan", "--tiny", "--epochs", "1", "--seeds", "4", "--folder", str(tmp_path)]) == 0
    assert "dcgan seed 4  epoch 1/1  loss_d" in capsys.readouterr().out
    home = tmp_path / "dcgan-tiny-seed4"
    assert {"log.csv", "checkpoint.safetensors", "run.json", "samples"} <= {path.name for path in home.iterdir()}
    weights, sheet = home / "dcgan-tiny-seed4.safetensors", tmp_path / "sheet.png"
    assert main(["sample", "dcgan", "--weights", str(weights), "--count", "8", "--output", str(sheet)]) == 0
    with Image.open(sheet) as image:
        assert image.size == (8 * 34 + 2, 34 + 2)


def test_a_language_model_writes_on(capsys: Capture, tmp_path: Path) -> None:
    assert main(["train", "gpt-char", "--tiny", "--epochs", "1", "--folder", str(tmp_path)]) == 0
    weights = str(next((tmp_path / "gpt-char-tiny-seed0").glob("gpt-char-*.safetensors")))
    texts = []
    for seed in ("1", "1", "2"):
        capsys.readouterr()
        options = ["--weights", weights, "--prompt", "the ", "--tokens", "20", "--seed", seed]
        assert main(["generate", "gpt-char", *options]) == 0
        texts.append(capsys.readouterr().out)
    assert main(["generate", "gpt-char", *options, "--stop", texts[2][8], "--stop", "!"]) == 0
    assert capsys.readouterr().out == texts[2][: texts[2].index(texts[2][8], 4)] + "\n"
    assert texts[0] == texts[1] != texts[2] and texts[0].startswith("the ") and len(texts[0]) == 25


def test_a_training_that_is_interrupted_says_how_to_go_on(capsys: Capture, tmp_path: Path, monkeypatch) -> None:
    command = ["train", "dcgan", "--tiny", "--epochs", "2", "--folder", str(tmp_path), "--save-minutes", "0.5"]

    def signalling(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(type(zoo.entry("dcgan").recipe), "sample", signalling)
    with pytest.raises(SystemExit) as raised:
        main(command)
    assert raised.value.code == 130
    said = capsys.readouterr().err
    assert said.startswith("[fit] ended by SIGINT after epoch 1, saved in ") and said.count("\n") == 1
    monkeypatch.undo()
    assert main(command) == 0 and "epoch 2/2  goes on" in capsys.readouterr().out


def test_every_answer_is_data_too(capsys: Capture, tmp_path: Path) -> None:
    def data(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert {record["name"]: record["trained"] for record in data("list")} == {
        name: bool(zoo.entry(name).runs) for name in zoo.names()
    }
    card = data("card", "resnet9")
    assert card["name"] == "resnet9" and card["recipe"]["epochs"]
    assert [run["seed"] for run in card["runs"]] == [run.seed for run in zoo.entry("resnet9").runs]
    runs = data("train", "gpt-char", "--tiny", "--epochs", "1", "--seeds", "1", "2", "--folder", str(tmp_path))
    assert [run["seed"] for run in runs] == [1, 2] and all(run["metrics"] for run in runs)
    weights = str(tmp_path / "gpt-char-tiny-seed1" / runs[0]["weights"])
    assert data("evaluate", "gpt-char", "--weights", weights, "--tiny") == pytest.approx(runs[0]["metrics"])
    found = data("generate", "gpt-char", "--weights", weights, "--prompt", "the ", "--tokens", "9")
    assert found["prompt"] == "the " and found["text"]


MISTAKES = {
    "evaluate resnet9 --tiny": "leave out --tiny",
    "evaluate gpt-char --weights FOLDER/none --tiny": "none cannot be read",
    "train lstm-ptb --data FOLDER": "ptb.train.txt cannot be read: No such file or directory",
    "train resnet20 --folder FILE": "cannot be made: Not a directory; name another with --folder",
    "card resnet99": "no model 'resnet99'; there are ",
    "evaluate resnet9 --data FOLDER": "holds neither",
    "evaluate dcgan": "dcgan has no recorded runs: needle-zoo train dcgan --record",
    "predict dcgan FOLDER/x.png": "dcgan has no trained weights; train it with: needle-zoo train dcgan",
    "predict lstm-ptb FOLDER/x.png": "those are never published, as the text has no open licence; train it with: ",
    "record resnet9 --run FOLDER": "holds no run.json, so no run has ended there; needle-zoo train resnet9 --folder",
    "predict resnet9 FOLDER/x.png": "x.png] cannot be read",
    "sample resnet9": "resnet9 makes no pictures",
    "generate resnet9": "resnet9 writes no text",
    "generate gpt-char --prompt caf\u00e9": "which gpt-char has never read; it knows 65 characters: \"\\n !$",
    "sample resnet9 --output FOLDER": "--output must name a file, such as sample.png, got '/",
    "sample resnet9 --output=": "--output must name a file, such as sample.png, got ''",
    "sample resnet9 --weights FOLDER/none": "none cannot be read",
    "train dcgan --tiny --record": "leave out --tiny or --record",
    "train dcgan --data FOLDER": "does not exist",
}


@pytest.mark.parametrize(("command", "says"), MISTAKES.items(), ids=MISTAKES)
def test_mistakes_are_answered_in_a_line(
    command: str, says: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._entries, "dcgan", replace(zoo.entry("dcgan"), home=tmp_path))  # without weights
    (tmp_path / "file").touch()
    folder = ["--folder", str(tmp_path)] if command.startswith("train") and "--folder" not in command else []
    command = command.replace("FOLDER", str(tmp_path)).replace("FILE", str(tmp_path / "file"))
    assert main([*command.split(), *folder]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"needle-zoo {command.split()[0]}: error: [") and says in said and said.count("\n") == 1


USAGE = {
    "train dcgan --tiny --save-minutes 0": "--save-minutes: must be a number above 0, got '0'",
    "train dcgan --tiny --seeds 4294967296": "--seeds: must be a whole number from 0 to 4294967295, got '4294967296'",
    "finetune resnet9 --data x --seed 5000000000": "--seed: must be a whole number from 0 to 4294967295, got '50",
    "sample dcgan --count 99999999999999": "--count: must be a whole number from 1 to 10000, got '99999999999999'",
}


@pytest.mark.parametrize(("command", "says"), USAGE.items(), ids=USAGE)
def test_numbers_have_bounds(command: str, says: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(command.split())
    assert raised.value.code == 2 and says in capsys.readouterr().err


def test_a_card_can_be_printed_where_there_is_only_ascii() -> None:
    command = [sys.executable, "-m", "zoo.cli", "card", "airnet"]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("# airnet") and not done.stderr
