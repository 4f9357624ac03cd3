"""Data of a user's: what is wrong with them is said in one sentence, with the place and how to mend it."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from needle.errors import DataError, NeedleError, SettingError
from tests.zoo import finetune_runs as small
from zoo.adapted import attach
from zoo.cli import main
from zoo.finetune import Config, Job
from zoo.finetune.photos import read_photos, split
from zoo.finetune.prepare import prepared
from zoo.finetune.screen import Screen
from zoo.finetune.texts import read_examples

Capture = pytest.CaptureFixture[str]
SPEC = zoo.entry("resnet20").input.spec()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("drawn")
    characters = "".join(sorted(set(small.text() + small.rows())))
    language = {"tokenizer": {"kind": "characters", "vocabulary": characters}, "width": 16, "layers": 1}
    return {
        "gpt-char": small.weights("gpt-char", home, **language), "resnet20": small.weights("resnet20", home),
        "lstm-char": small.weights("lstm-char", home, tokenizer=language["tokenizer"]),
    }  # fmt: skip


def tokenizer(weights: dict[str, str]) -> Any:
    return zoo.load("gpt-char", weights=weights["gpt-char"]).tokenizer


def says(raised: Any, words: str) -> bool:
    """Whether an error's message has all of these pieces, which stand between ellipses."""
    return all(piece in str(raised.value) for piece in words.split("…"))


def line(**row: Any) -> str:
    return json.dumps(row)


GOOD = line(prompt="a bird ", completion="by us")
ROWS = {
    "{": 'line 2 is not JSON (Expecting property name…): write {"prompt": ..., "completion": ...}',
    "[1]": "line 2 has a list: write",
    "7": "line 2 has a int: write",
    line(prompt="a"): "line 2 has the fields 'prompt': write",
    line(prompt="a", completion="b", weight=1): "line 2 has the fields 'prompt', 'completion', 'weight': write",
    line(prompt=1, completion="b"): "line 2 has in prompt no string but 1: put it in quotes",
    line(prompt="a", completion=None): "line 2 has in completion no string but None",
    line(prompt="a", completion=""): "line 2 has an empty completion: write what the model is to answer",
    line(prompt="a bird by us ", completion="on me"): "line 2 has 18 tokens, the model takes 17: shorten",
    line(prompt="\u00e9", completion="b"): "line 2 …character 0 of the text is …U+00E9",
}


@pytest.mark.parametrize(("row", "words"), ROWS.items(), ids=range(len(ROWS)))
def test_a_row_of_text_that_is_wrong_is_refused_with_its_line(
    row: str, words: str, weights: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{GOOD}\n{row}\n\n{GOOD}\n")
    with pytest.raises(DataError) as raised:
        read_examples(path, tokenizer(weights), 16, 0.1, 0)
    assert says(raised, words)


def test_the_first_of_many_lines_are_named(weights: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{GOOD}\n" + "[]\n" * 8)
    with pytest.raises(DataError, match=r"line 2 .*; line 6 .*; and 3 more lines$") as raised:
        read_examples(path, tokenizer(weights), 16, 0.1, 0)
    assert "line 7" not in str(raised.value)


FILES = {
    "empty.jsonl": (b"\n\n", "has no rows: each line is an object with prompt, completion"),
    "one.jsonl": (GOOD.encode(), "needs at least 2 rows, one of them to measure on, got 1"),
    "short.txt": (b"a", "is too short: both parts need at least 2 tokens, got 1 characters"),
    "empty.txt": (b"", "is too short"),
    "latin.txt": ("on me\nby us \u00e9".encode("latin-1"), "is not text in UTF-8: line 2, byte 12; save it as UTF-8"),
    "strange.txt": (b"on me\nby us\nin #" + b" a bird" * 20, "line 3: …'#'…; leave it out, or replace it"),
    "late.txt": (b"on me\n" * 20 + b"in #", "line 21: …'#'"),
    "text.csv": (b"a,b", "learns from a file of text (.txt) or rows"),
    "none.txt": (None, "cannot be read: No such file or directory"),
    "none.jsonl": (None, "cannot be read: No such file or directory"),
    "none.csv": (None, "cannot be read: No such file or directory"),
    "folder": (b"", "learns from a file of text"),
    "ROWS.JSONL": (GOOD.encode(), "needs at least 2 rows"),
    "SHORT.TXT": (b"a", "is too short"),
}


@pytest.mark.parametrize(("name", "content", "words"), [(name, *rest) for name, rest in FILES.items()])
def test_files_of_text_that_cannot_be_learned(
    name: str, content: bytes | None, words: str, weights: Any, tmp_path: Path
) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_examples(tmp_path / name, tokenizer(weights), 16, 0.1, 0)
    assert says(raised, words)


@pytest.mark.parametrize(("length", "context"), [(2, 16), (3, 16), (16, 16), (17, 16), (18, 16), (60, 7), (61, 1)])
def test_windows_hold_every_token_as_a_target(length: int, context: int, weights: Any, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text(("on me\n" * 20)[:length])
    known = tokenizer(weights)
    found, held = read_examples(tmp_path / "my.txt", known, context, 0.0, 0)
    assert held is None and found.bytes == length - 1
    ids = known.encode(("on me\n" * 20)[:length])
    inside = found.y != -1
    places = set(zip(found.x[inside].tolist(), found.y[inside].tolist(), strict=True))
    assert places == set(pairwise(ids)) and found.tokens >= length - 1


def test_windows_line_ends_and_marks_of_windows_are_understood(weights: Any, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_bytes(b"\xef\xbb\xbf" + b"on me\r\n" * 9)
    found, _ = read_examples(tmp_path / "my.txt", tokenizer(weights), 16, 0.0, 0)
    assert found.bytes == 6 * 9 - 1


def image(label: Any = "left", data: bytes | None = None) -> str:
    return line(image=base64.b64encode(small.png(small.picture(0, 0)) if data is None else data).decode(), label=label)


IMAGES = {
    line(image="%%%", label="left"): "line 2 has an image that is not base64: encode the bytes",
    line(image="AAAA", label="left"): "line 2 has an image that cannot be read …: use PNG, JPEG or WebP",
    image(data=small.png(small.picture(0, 0))[:200]): "line 2 has an image that cannot be read",
    image(label=""): "line 2 has the label '': name the class",
    image(label=3): "line 2 has in label no string but 3: put it in quotes",
    line(image="AAAA"): "line 2 has the fields 'image': write",
    line(image=["AAAA"], label="left"): "line 2 has in image no string",
}


@pytest.mark.parametrize(("row", "words"), IMAGES.items(), ids=range(len(IMAGES)))
def test_a_row_with_an_image_that_is_wrong_is_refused_with_its_line(row: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{image()}\n{row}\n")
    with pytest.raises(DataError) as raised:
        read_photos(path, SPEC)
    assert says(raised, words)


def test_images_need_classes_and_enough_of_each(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{image()}\n{image()}\n")
    with pytest.raises(DataError, match="needs images of at least two classes, got 1"):
        split(read_photos(path, SPEC), 0.1, 0, "rows")
    path.write_text(f"{image()}\n{image()}\n{image('right')}\n")
    found = read_photos(path, SPEC)
    with pytest.raises(DataError, match="one image of 'right': it needs two, one to measure on, or validation 0"):
        split(found, 0.1, 0, "rows")
    assert split(found, 0.0, 0, "rows")[1] is None
    with pytest.raises(DataError, match="has the label 'right': it is one of left, top"):
        read_photos(path, SPEC, ["left", "top"])
    (tmp_path / "my.txt").touch()
    with pytest.raises(DataError, match="an image model learns from a folder with a folder of images for each class"):
        read_photos(tmp_path / "my.txt", SPEC)
    with pytest.raises(DataError, match="none cannot be read: No such file or directory"):
        read_photos(tmp_path / "none", SPEC)
    assert len(read_photos(path.rename(tmp_path / "ROWS.JSONL"), SPEC)) == 3


def test_each_class_is_held_out_by_its_share(tmp_path: Path) -> None:
    photos = read_photos(small.image_folder(tmp_path / "photos", 10), SPEC)
    learn, held = split(photos, 0.2, 0, "photos")
    assert held is not None and np.bincount(held.labels).tolist() == [2, 2, 2] and len(learn) == 24
    assert not set(learn.sources) & set(held.sources)
    assert split(photos, 0.2, 0, "photos")[1].sources == held.sources != split(photos, 0.2, 1, "photos")[1].sources  # type: ignore[union-attr]


CONFIGS: dict[str, dict[str, Any]] = {
    "base must be a name, got ''": {"base": ""},
    "method must be one of lora, full, head, got 'dora'": {"method": "dora"},
    "rank must be a whole number from 1 on, got 0": {"rank": 0},
    "epochs must be a whole number from 1 on, got 0": {"epochs": 0},
    "batch must be a whole number from 1 on, got many": {"batch": "many"},
    "seed must be a whole number from 0 to 4294967295, got -1": {"seed": -1},
    "seed must be a whole number from 0 to 4294967295, got 4294967296": {"seed": 2**32},
    "seed must be a whole number from 0 to 4294967295, got True": {"seed": True},
    "learning_rate must be a finite number above 0, got 0": {"learning_rate": 0},
    "learning_rate must be a number, got str": {"learning_rate": "high"},
    "alpha must be a finite number above 0, got inf": {"alpha": float("inf")},
    "validation must lie in [0, 1), got 1": {"validation": 1},
    "flip must be a probability, got 1.5": {"flip": 1.5},
    "targets must be names of layers or patterns of them, got 'up'": {"targets": "up"},
    "targets must be names of layers or patterns of them, got ()": {"targets": ()},
}


@pytest.mark.parametrize(("words", "change"), CONFIGS.items(), ids=range(len(CONFIGS)))
def test_a_config_is_checked_when_it_is_made(words: str, change: dict[str, Any]) -> None:
    with pytest.raises(SettingError) as raised:
        Config(**{"base": "resnet20", "data": "photos", **change})
    assert says(raised, words)


def test_a_config_is_plain_data() -> None:
    config = Config("gpt-char", "a.txt", targets=["*.q"], rank=2)  # type: ignore[arg-type]
    assert Config.parse(json.loads(json.dumps(config.facts()))) == config
    with pytest.raises(SettingError, match=r"has no \['ranks'\], needs \['data'\]"):
        Config.parse({"base": "gpt-char", "ranks": 3})


def test_models_that_cannot_be_fine_tuned_say_so(weights: Any, tmp_path: Path) -> None:
    dcgan = small.weights("dcgan", tmp_path)
    with pytest.raises(zoo.ZooError, match="dcgan is neither a language model nor an image classifier"):
        prepared(Config("dcgan", "a.txt", dcgan))
    (tmp_path / "my.txt").write_text(small.text(20))
    with pytest.raises(zoo.ZooError, match=r"gpt-char has no last layer of its own to train: .*; use lora"):
        prepared(Config("gpt-char", str(tmp_path / "my.txt"), weights["gpt-char"], method="head"))
    with pytest.raises(NeedleError, match=r"\[lora.add\] no module is called '\*.kv'"):
        prepared(Config("gpt-char", str(tmp_path / "my.txt"), weights["gpt-char"], targets=("*.kv",)))


def test_a_recurrent_model_adapts_its_last_layer(weights: Any, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text(small.text(30))
    config = Config("lstm-char", str(tmp_path / "my.txt"), weights["lstm-char"], epochs=1, learning_rate=0.05, batch=4)
    result = Job(config, tmp_path / "run").run()
    assert result is not None and result.after["loss"] < result.before["loss"]
    assert json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())["target_modules"] == ["head"]


# Adapters that do not fit.


@pytest.fixture
def adapter(weights: Any, tmp_path: Path) -> Iterator[Path]:
    photos = str(small.image_folder(tmp_path / "photos", 4))
    Job(Config("resnet20", photos, weights["resnet20"], epochs=1, learning_rate=0.01), tmp_path / "run").run()
    yield tmp_path / "run" / "adapter"


def test_adapters_that_do_not_fit_are_refused(adapter: Path, weights: Any, tmp_path: Path) -> None:
    def base() -> Any:
        return zoo.load("resnet20", weights=weights["resnet20"])

    attach(base(), adapter)
    with pytest.raises(DataError, match="holds no adapter: neither it nor its folder adapter has an"):
        attach(base(), tmp_path)
    other = base()
    other.net.classifier.bias.data = other.net.classifier.bias.data + 1
    with pytest.raises(DataError, match="belongs to another base"):
        attach(other, adapter)
    card = json.loads((adapter / "card.json").read_text())
    (adapter / "card.json").write_text(json.dumps(card | {"labels": ["a", "b"]}))
    with pytest.raises(NeedleError, match=r"names 2 labels, its layer net.classifier has 3 outputs"):
        attach(base(), adapter)
    for text, says in (("{", "is not JSON"), ("[]", "must be an object"), ('{"labels": [1]}', "are strings")):
        (adapter / "card.json").write_text(text)
        with pytest.raises(DataError, match=says):
            attach(base(), adapter)
    (adapter / "card.json").unlink()  # as PEFT's have none
    model = base()
    attach(model, adapter)
    assert model.card["adapter"] == {}


# The command.


def test_the_command_says_what_it_does_and_what_came_of_it(weights: Any, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "my.txt").write_text(small.text(60))
    base = ["--weights", weights["gpt-char"]]
    options = ["--data", str(tmp_path / "my.txt"), "--folder", str(tmp_path / "run"), "--epochs", "2"]
    assert main(["finetune", "gpt-char", *base, *options, "--learning-rate", "0.03"]) == 0
    said = capsys.readouterr()
    assert said.err == "" and "parameters learn" in said.out and "bits per byte" in said.out and "before:" in said.out
    assert f"--adapter {tmp_path / 'run'}" in said.out
    for command in (["generate", "gpt-char", "--prompt", "a "], ["evaluate", "gpt-char"]):
        assert main([*command, *base, "--adapter", str(tmp_path / "run")]) == 0
    assert "bits_per_byte" in capsys.readouterr().out
    assert main(["evaluate", "gpt-char", *base, "--adapter", str(tmp_path / "run"), *options[:2], "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out).keys() == {"loss", "token_accuracy", "bits_per_byte"}
    assert said.err.startswith(f"gpt-char: measuring with {tmp_path / 'run'} ...")
    assert main(["finetune", "gpt-char", *base, *options, "--learning-rate", "0.03", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stopped"] is False


def test_ctrl_c_ends_the_command_with_the_best_so_far(
    weights: Any, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.txt").write_text(small.text(60))
    options = ["--data", str(tmp_path / "my.txt"), "--folder", str(tmp_path / "run"), "--epochs", "1"]
    command = ["finetune", "gpt-char", "--weights", weights["gpt-char"], *options, "--learning-rate", "0.03"]
    handler, tell = signal.getsignal(signal.SIGINT), Screen.tell

    def interrupting(self: Screen, report: Any) -> None:
        tell(self, report)
        if report.event == "step" and report.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Screen, "tell", interrupting)
    assert main(command) == 130 and signal.getsignal(signal.SIGINT) is handler
    said = capsys.readouterr()
    assert "SIGINT: ending after this step, with the best so far" in said.err
    assert "stopped; the same command goes on: " in said.out and (tmp_path / "run" / "adapter" / "card.json").exists()
    monkeypatch.undo()
    assert main(command) == 0 and "done: " in capsys.readouterr().out


MISTAKES = {
    "finetune resnet99 --data x": "there is no model 'resnet99'",
    "finetune gpt-novels-none --data x": "there is no model",
    "finetune resnet9 --data FOLDER/none": "none cannot be read: No such file or directory",
    "finetune resnet9 --data FOLDER/x.png": "an image model learns from a folder",
    "finetune resnet9 --data FOLDER": "needs folders named after classes with images in them",
    "finetune dcgan --data x": "dcgan is neither a language model nor an image classifier",
    "evaluate resnet9 --adapter FOLDER": "holds no adapter",
    "generate gpt-char --adapter FOLDER": "gpt-char has no trained weights",
    "predict resnet9 x.png --adapter FOLDER/x": "holds no adapter",
}


@pytest.mark.parametrize(("command", "says"), MISTAKES.items(), ids=MISTAKES)
def test_mistakes_are_answered_in_a_line(command: str, says: str, capsys: Capture, tmp_path: Path) -> None:
    known = zoo.names()
    if "gpt-char" in command and zoo.entry("gpt-char").shipped:
        pytest.skip("it has weights")
    (tmp_path / "x.png").touch()
    assert main(command.replace("FOLDER", str(tmp_path)).split()) == 1 and zoo.names() == known
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and says in said


def test_other_commands_take_adapters_where_they_make_sense(tmp_path: Path, adapter: Path, weights: Any) -> None:
    from deploy.commands import freeze_command

    answer = freeze_command("zoo:resnet20", tmp_path / "mine.nd", Path(weights["resnet20"]), adapter)
    assert answer.data["bytes"] > 0
    with pytest.raises(NeedleError, match=r"json\.load takes no adapter; leave out --adapter"):
        freeze_command("json:x", tmp_path / "mine.nd", None, adapter)
