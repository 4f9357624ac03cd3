"""Training by a recipe: it learns, resumes to the same bytes, and records what `load` and `evaluate` use."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from needle.data.datasets.cifar10_dataset import read_cifar10
from needle.errors import DataError, NeedleError, SettingError
from zoo import evaluate, registry, train
from zoo.datasets import Split
from zoo.recipes import muon

IMAGES = 384


def write_split(folder: Path, split: str, rng: np.random.Generator) -> None:
    """Drawn images in the format of lossless contact sheets: each class is a bright bar at its own height."""
    from PIL import Image

    labels = rng.integers(0, 10, IMAGES).astype("uint8")
    pixels = rng.integers(0, 90, (1000, 32, 32, 3), dtype="uint8")
    for i, label in enumerate(labels):
        pixels[i, 3 * label : 3 * label + 4] += 150
    sheet = pixels.reshape(25, 40, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(800, 1280, 3)
    Image.fromarray(sheet).save(folder / f"{split}_00.webp", lossless=True)
    labels.tofile(folder / f"{split}_labels.bin")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(3)
    for split in ("train", "test"):
        write_split(folder, split, rng)
    return folder


@pytest.fixture
def resnet9(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> registry.Entry:
    """The record of resnet9 with a short recipe, whose weights and cards go to a folder of the test."""
    recipe = replace(zoo.entry("resnet9").recipe, epochs=5, batch=64, crop=1, flip=0.0)
    short = replace(zoo.entry("resnet9"), recipe=recipe, home=tmp_path)
    monkeypatch.setitem(registry._entries, "resnet9", short)
    return short


def test_the_drawn_sheets_read_back(data: Path) -> None:
    pixels, labels = read_cifar10(data, train=True)
    assert pixels.shape == (IMAGES, 3, 32, 32) and all(
        pixels[i, :, 3 * label : 3 * label + 4].min() >= 150 for i, label in enumerate(labels)
    )


def test_it_learns_records_loads_and_evaluates(resnet9: registry.Entry, data: Path, tmp_path: Path, capsys) -> None:
    run = train.train(resnet9, 1, data=str(data), folder=str(tmp_path / "runs"), record=True)
    assert run.metrics["top1"] > 0.5  # ten classes: chance is 0.1
    assert run.shipped is not None and run.log["epoch"] == [1, 2, 3, 4, 5]
    assert run.command == "needle-zoo train resnet9 --seeds 1" and run.machine
    assert zoo.entry("resnet9").measured["top1"].value == run.shipped.metrics["top1"]
    assert zoo.entry("resnet9").measured["top1"].mean == run.metrics["top1"]
    assert zoo.load("resnet9", pretrained=True).training is False
    assert evaluate.evaluate(resnet9, data=str(data)).steady
    card = tmp_path / "cards" / "resnet9.json"
    facts = json.loads(card.read_text())
    facts["runs"][0]["shipped"]["metrics"]["top1"] += 0.01
    card.write_text(json.dumps(facts))
    found = evaluate.evaluate(resnet9, data=str(data))
    assert not found.steady and "DRIFTED" in found.text()
    weights = tmp_path / "weights" / run.shipped.file
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(DataError, match="sha256"):
        zoo.load("resnet9", pretrained=True)


def test_a_checkpoint_of_another_recipe_is_refused(resnet9: registry.Entry, data: Path, tmp_path: Path) -> None:
    options = {"data": str(data), "folder": str(tmp_path / "runs")}
    train.train(resnet9, 3, epochs=1, **options)
    with pytest.raises(NeedleError, match=r"config\.recipe\.epochs: 1 there, 2 now"):
        train.train(resnet9, 3, epochs=2, **options)


def test_a_run_s_times_are_a_report_and_no_more(tmp_path: Path) -> None:
    entry, home = zoo.entry("gpt-char"), tmp_path / "gpt-char-tiny-seed0"
    options: dict[str, Any] = {"folder": str(tmp_path), "tiny": True, "epochs": 2}
    assert train.train(entry, 0, **options).seconds > 0
    for text, seconds in ((None, 0), ("", 0), ("1,2.500,4\n2,", 2.5), ("1,1.000,3\n1,2.000,9\n2,0.500\n", 2.5)):
        (home / "run.json").unlink()
        (home / "times.csv").unlink() if text is None else (home / "times.csv").write_text(text)
        assert train.train(entry, 0, **options).seconds == seconds
        assert json.loads((home / "run.json").read_text())["seconds"] == seconds


def test_a_seed_that_there_is_not_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for seed in (-1, 2**32, 1.5, True):
        with pytest.raises(SettingError, match=r"\[train\] seed must be a whole number from 0 to 4294967295, got"):
            train.train(zoo.entry("gpt-char"), seed, folder=str(tmp_path / "runs"), tiny=True)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_passes_over_the_batches_of_an_epoch_do_not_disturb_each_other() -> None:
    recipe, spec = muon.MuonRecipe(batch=4), zoo.entry("resnet9").input.spec()
    split = Split(np.random.default_rng(0).integers(0, 256, (14, 3, 32, 32), dtype="uint8"), np.arange(14))

    def made() -> muon.EpochBatches:
        return muon.EpochBatches(split, recipe, spec, seed=0)

    def labels(batches: Iterable[Any]) -> list[list[int]]:
        return [y.numpy().tolist() for _, y in batches]

    loader = made()
    epochs = [labels(loader) for _ in range(2)]
    assert [len(batch) for batch in epochs[0]] == [4, 4, 4] and epochs[0] != epochs[1] and loader.epoch == 2
    first, second = zip(*zip(made(), made(), strict=True), strict=True)
    assert labels(first) == labels(second) == epochs[0]
    loader.set_epoch(0)
    older = iter(loader)
    loader.set_epoch(1)
    assert labels(older) == epochs[0]
    running = iter(loader)
    _, y = next(running)
    assert str(y.dtype) == "int64" and loader.state_dict() == {"epoch": 1, "position": 1}
    other = made()
    other.load_state_dict(loader.state_dict())
    for (ours, _), (theirs, _) in zip(running, other, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_schedule_rises_and_falls() -> None:
    values = [muon.triangle(step / 100, warmup=0.1) for step in range(101)]
    assert values[0] == 0 and values[100] == 0 and max(values) == values[10] == 1


def test_what_was_set_by_hand_belongs_to_the_state_of_the_step(resnet9: registry.Entry) -> None:
    steps = [resnet9.recipe.step(resnet9.make(**resnet9.tiny.model), 10) for _ in range(2)]
    steps[0].muon.momentum, steps[0].adam.weight_decay, steps[0].adam.beta2 = 0.5, 0.25, 0.9
    steps[1].load_state_dict(steps[0].state_dict())
    assert (steps[1].muon.momentum, steps[1].adam.weight_decay, steps[1].adam.beta2) == (0.5, 0.25, 0.9)


@pytest.mark.parametrize(("name", "kind"), [("resnet9", "MuonStep"), ("dcgan", "AdversarialStep")])
def test_the_state_of_another_step_is_refused(name: str, kind: str) -> None:
    entry = zoo.entry(name)
    step = entry.recipe_for(tiny=True).step(entry.make(**entry.tiny.model), 10)
    state = step.state_dict()
    with pytest.raises(NeedleError, match=rf"\[{kind}\] the state has 'other.t', but this step consists of .*model"):
        step.load_state_dict(state | {"other.t": np.array(1)})
    if "done" in state:
        with pytest.raises(NeedleError, match=r"\[MuonStep\] the state lacks 'done'"):
            step.load_state_dict({key: array for key, array in state.items() if key != "done"})
