"""The folder of a fine-tuning run is its own: another's stays as it was, and two runs are not in it at once."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zoo
from needle.errors import NeedleError
from needle.training.lock import locked
from tests.zoo import finetune_runs as small
from zoo import registry
from zoo.finetune import Config, Job, Report
from zoo.finetune.records import Result
from zoo.finetune.screen import commands
from zoo.train import train


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A few steps of a small language model that has learned nothing before."""
    characters = "".join(sorted(set(small.text())))
    built = {"tokenizer": {"kind": "characters", "vocabulary": characters}, "width": 16, "layers": 1}
    (tmp_path / "my.txt").write_text(small.text(30))
    weights = small.weights("gpt-char", tmp_path, **built)
    return Config("gpt-char", str(tmp_path / "my.txt"), weights, epochs=1, batch=16, learning_rate=0.01)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(config: Config, folder: Path, says: str) -> None:
    before = contents(folder)
    with pytest.raises(NeedleError, match=says):
        Job(config, folder).run()
    assert contents(folder) == before


def test_the_folder_of_a_training_stays_as_it_was(config: Config, tmp_path: Path) -> None:
    train(zoo.entry("gpt-char"), 0, folder=str(tmp_path), tiny=True, epochs=1)
    folder = tmp_path / "gpt-char-tiny-seed0"
    refused(config, folder, r"holds checkpoint\.safetensors, log\.csv, and no config of a fine-tuning run: use another")
    (folder / "checkpoint.safetensors").unlink()
    refused(config, folder, r"holds log\.csv, and no config of a fine-tuning run")


def test_a_config_of_something_else_stays_as_it_was(config: Config, tmp_path: Path) -> None:
    for text in ('{"model_type": "gpt2"}', "[1]", "{"):
        (tmp_path / "config.json").write_text(text)
        refused(config, tmp_path, r"holds config\.json, and no config of a fine-tuning run")


def test_a_run_of_another_config_or_other_data_stays_as_it_was(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Job(config, folder).run()
    refused(replace(config, rank=8), folder, r"with another config: config\.rank: 'auto' there, 8 now")
    Path(config.data).write_text(small.text(40))
    refused(config, folder, r"with other data: .*my\.txt has changed since it began")


def test_a_run_that_never_began_gives_way(config: Config, tmp_path: Path) -> None:
    assert Job(replace(config, learning_rate="auto"), tmp_path / "run").run(stop=lambda: True) is None
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    assert Job(config, tmp_path / "run").run() is not None


@pytest.mark.parametrize("event", ["begins", "probe", "step"])
def test_a_folder_is_one_run_s_from_its_plan_to_its_last_step(event: str, config: Config, tmp_path: Path) -> None:
    folder, met = tmp_path / "run", []

    def meanwhile(report: Report) -> None:
        if report.event == event and not met:
            with pytest.raises(NeedleError, match=r"another run is in .*run: process \d+") as raised:
                Job(config, folder).run()
            met.append(raised)
            if event == "begins":
                with pytest.raises(NeedleError, match="another run is in"):
                    Job(replace(config, seed=1), folder).run()

    with locked(tmp_path):  # as a service does that works on several
        assert Job(config, folder, keep=True).run(report=meanwhile) is not None
    assert met and not (folder / "run.lock").exists()


def test_what_it_says_to_do_next_can_be_copied(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, Any] = {"after": {"sample": ""}}
    result = Result("x", "adapter", "", 1, 1, 0.1, {}, {}, shown)
    folder = Path("runs/ft 9")
    assert all("--plugin" not in line for line in commands(config, result, folder))
    own = replace(zoo.entry("gpt-char"), source=tmp_path / "my models.py")
    monkeypatch.setitem(registry._entries, "gpt-char", own)
    for line in commands(config, result, folder):
        words = shlex.split(line)
        after = [words[words.index(flag) + 1] for flag in ("--plugin", "--adapter")]
        assert after == [str(own.source), str(folder)]
    assert words[-2:] == ["-o", "ft 9.nd"]
