"""Registering a model is testing it: each one builds, trains, resumes, is used, and freezes, at its smallest."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import needle as ndl
import zoo
from deploy import EmitError, freeze, interpreter
from deploy.generate import generate
from deploy.lower import CALLS, Refused, lower
from deploy.passes import optimize
from needle.weights import load_safetensors
from tests import goldens
from zoo import Entry, card
from zoo.image_classifier import ImageClassifier
from zoo.language_model import LanguageModel
from zoo.models.dcgan import DCGAN
from zoo.registry import HERE
from zoo.train import train

SEED = goldens.SEED
REASONS = tuple(row.reason for row in CALLS.values() if isinstance(row, Refused))


@pytest.fixture(scope="module", params=zoo.names())
def entry(request: pytest.FixtureRequest) -> Entry:
    return zoo.entry(request.param)


@pytest.fixture(scope="module")
def folder(entry: Entry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted tiny training left behind."""
    home = tmp_path_factory.mktemp(entry.name)
    train(entry, SEED, folder=str(home), tiny=True)
    return home / f"{entry.name}-tiny-seed{SEED}"


def weights(folder: Path) -> Path:
    return next(path for path in folder.glob("*.safetensors") if path.name != "checkpoint.safetensors")


@pytest.fixture
def model(entry: Entry, folder: Path) -> zoo.Model:
    return zoo.load(entry.name, weights=weights(folder))


def test_the_loss_falls(folder: Path) -> None:
    with open(folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    name = "loss" if "loss" in rows[0] else "loss_d"
    assert len(rows) > 1 and float(rows[-1][name]) < 0.9 * float(rows[0][name])


def test_it_is_trained_to_the_bytes_it_always_was(entry: Entry, model: zoo.Model) -> None:
    assert goldens.digest(model.state_dict()) == goldens.golden("tiny")[entry.name]


def test_the_names_in_its_files_stay(entry: Entry) -> None:
    assert goldens.layout(entry.name) == goldens.golden("layouts")[entry.name]


ADAM = {"beta1", "beta2", "eps", "lr", "m", "t", "v", "weight_decay"}
MUON = {"decay", "lr", "momentum", "normalized", "t", "u", "weight_decay"}
NESTEROV = {"lr", "momentum", "nesterov", "t", "u", "weight_decay"}


def parts(*optimizers: set[str]) -> dict[str, set[str]]:
    """The names in the state of a TrainStep besides its model's, by their first words."""
    schedules = {f"schedule{i}": {"peak", "taken"} for i in range(len(optimizers))}
    return {f"optimizer{i}": names for i, names in enumerate(optimizers)} | schedules | {"clip_norm": {""}}


PARTS = {
    "airnet": parts(MUON, NESTEROV, NESTEROV),
    "dcgan": {"generator": ADAM, "discriminator": ADAM},
    "gpt-char": parts(ADAM, ADAM),
    "gpt-novels": parts(ADAM, ADAM, MUON),
    "lstm-char": parts(ADAM, ADAM),
    "lstm-ptb": parts(ADAM, ADAM),
    "resnet20": {"muon": MUON, "adam": ADAM, "done": {""}},
    "resnet8-fashion": {"muon": MUON, "adam": ADAM, "done": {""}},
    "resnet9": {"muon": MUON, "adam": ADAM, "done": {""}},
    "resnet9-dawn": {"muon": MUON, "adam": ADAM, "done": {""}},
}


def test_the_names_in_its_checkpoints_stay(entry: Entry, folder: Path) -> None:
    found: dict[str, set[str]] = {}
    for name in load_safetensors(folder / "checkpoint.safetensors"):
        if name.startswith("step.") and not name.startswith("step.model."):
            part, _, rest = name.removeprefix("step.").partition(".")
            found.setdefault(part, set()).add(rest.partition(".")[0])
    assert found == PARTS[entry.name]


def test_its_program_stays(entry: Entry) -> None:
    assert goldens.program(entry.name) == goldens.golden("programs")[entry.name]


class Interrupted:
    """A step that ends the run in place of its n-th call, wherever in an epoch that is."""

    def __init__(self, step: Any, calls: Iterator[int], stop_at: int) -> None:
        self.step, self.calls, self.stop_at = step, calls, stop_at

    def __call__(self, *batch: Any) -> dict[str, float]:
        if next(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        return self.step(*batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.step, name)


@pytest.mark.thorough
def test_an_interrupted_training_ends_with_the_same_bytes(
    entry: Entry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, calls = type(entry.recipe).step, iter(range(1_000_000))
    recipe = type(entry.recipe)

    def again() -> Any:
        return train(entry, SEED, folder=str(tmp_path), tiny=True, save_every=2)

    for stop_at in (3, 7):
        monkeypatch.setattr(recipe, "step", lambda *args, stop=stop_at: Interrupted(make(*args), calls, stop))
        with pytest.raises(KeyboardInterrupt):
            again()
    monkeypatch.setattr(recipe, "step", make)
    again()
    other = tmp_path / folder.name
    assert weights(other).read_bytes() == weights(folder).read_bytes()
    assert (other / "log.csv").read_text() == (folder / "log.csv").read_text()


def test_weights_make_the_same_round_trip(entry: Entry, folder: Path, model: zoo.Model) -> None:
    saved = load_safetensors(weights(folder))
    state = model.state_dict()
    assert set(saved) == set(state) and all(np.array_equal(saved[name], state[name]) for name in saved)
    assert not model.training


def test_it_can_be_used(model: zoo.Model, folder: Path) -> None:
    match model:
        case ImageClassifier():
            answer = model.predict(Image.new("RGB", (40, 30), "red"), top=3)
            assert len(answer) == 3 and answer == sorted(answer, key=lambda pair: -pair[1])
        case LanguageModel():
            assert len(model.generate("the", 12)) >= 12 and len(model.predict("the cat", top=3)) == 3
        case DCGAN():
            assert model.sample(2, seed=0).shape == (2, 32, 32, 1)
            assert len(list(folder.glob("samples/epoch-*.png"))) > 1
        case _:
            raise AssertionError(f"say here how a {type(model).__name__} is used")


def test_the_card_renders_and_says_what_was_measured(entry: Entry) -> None:
    text = card.render(entry)
    assert str(entry.input) in text and str(entry.output) in text and entry.limits in text
    assert f"needle-zoo train {entry.name}" in text and (entry.runs or "Not trained yet" in text)
    for metric, number in entry.measured.items():
        assert f"{metric}: **{card.shown(metric, number.value)}**" in text and number.by in text
        assert entry.recipe.meanings[metric] in text
    for run in entry.runs:
        assert run.commit in text and run.command in text
    for _, file in entry.shipped:
        assert file.sha256 in text
        arrays = load_safetensors(HERE / "weights" / file.file, sha256=file.sha256)
        assert {str(a.dtype) for a in arrays.values()} == {file.dtype}
    assert not entry.withheld or not entry.shipped


def test_it_freezes_and_the_graph_means_what_the_model_computes(model: zoo.Model) -> None:
    example = model.example(2)
    rng = np.random.default_rng(0)
    draw = rng.integers(0, len(model.tokenizer), example.shape) if isinstance(model, LanguageModel) else None
    x = np.asarray(rng.standard_normal(example.shape) if draw is None else draw, dtype="float32")
    graph = freeze(model, example)
    found = interpreter.run(graph, {graph.inputs[0].op.name: x})
    expected = model(ndl.Tensor(x, requires_grad=False)).numpy()
    np.testing.assert_allclose(found[graph.outputs[0][0]], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_it_compiles_or_says_why_not(entry: Entry, model: zoo.Model) -> None:
    try:
        generate(lower(optimize(freeze(model, model.example()))), "tiny")
    except EmitError as refusal:
        assert not isinstance(model, ImageClassifier) and str(refusal).endswith(REASONS)
