"""What is recorded of a finished run: numbers that were measured again, and weights as light as they may be."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from needle.errors import DataError, NeedleError
from needle.weights import load_safetensors, save_safetensors
from zoo import registry
from zoo.cli import main
from zoo.evaluate import attempt, evaluate
from zoo.recipes.language import WindowRecipe
from zoo.record import halved, record
from zoo.train import train

Capture = pytest.CaptureFixture[str]


class Made(WindowRecipe):
    """The recipe of a language model on the made-up text."""

    def data(self, folder: str | None = None) -> Any:
        return self.generated()


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[registry.Entry]:
    """gpt-char at its smallest, trained in a second, whose records go to a folder of the test."""
    known = zoo.entry("gpt-char")
    recipe = Made(epochs=1, batch=32, stride=32, lr=1e-2, warmup=4)
    small = replace(known, recipe=recipe, home=tmp_path / "home", build=lambda **o: known.build(**known.tiny.model | o))
    monkeypatch.setitem(registry._entries, "gpt-char", small)
    yield small


def run_of(entry: registry.Entry, seed: int, tmp_path: Path) -> Path:
    train(entry, seed, folder=str(tmp_path / "runs"))
    return tmp_path / "runs" / f"{entry.name}-seed{seed}"


def changed(folder: Path, **facts: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_the_first_seed_ships_as_float16_and_others_are_quoted(entry: registry.Entry, tmp_path: Path) -> None:
    folders = [run_of(entry, seed, tmp_path) for seed in (3, 1)]
    first, other = (record(entry, folder) for folder in folders)
    assert first.shipped is not None and first.shipped.dtype == "float16" and not first.shipped.note
    assert other.shipped is None and [run.seed for run in entry.runs] == [1, 3]
    path = entry.home / "weights" / first.shipped.file
    whole, half = load_safetensors(folders[0] / first.weights), load_safetensors(path, first.shipped.sha256)
    assert path.stat().st_size < 0.6 * (folders[0] / first.weights).stat().st_size
    assert all(np.array_equal(half[name], array.astype("float16")) for name, array in whole.items())
    model = zoo.load("gpt-char", pretrained=True)
    state = model.state_dict()
    assert all(array.dtype == "float32" and np.array_equal(array, half[name]) for name, array in state.items())
    number = entry.measured["loss"]
    assert number.value == first.shipped.metrics["loss"] != first.metrics["loss"]
    assert number.seeds == 2 and number.mean == np.mean([first.metrics["loss"], other.metrics["loss"]])
    samples = entry.record.shown["samples"]
    assert [model.generate(**{k: v for k, v in each.items() if k != "text"}) for each in samples] == [
        each["text"] for each in samples
    ]
    assert entry.runs[1].log["loss"] and entry.runs[1].command == "needle-zoo train gpt-char --seeds 3"
    again = record(entry, folders[0], machine="a quiet one")
    assert entry.runs[1] == again == replace(first, machine="a quiet one") and len(entry.runs) == 2
    with pytest.raises(zoo.ZooError, match=r"no weights of seed 1; there are \[3\]"):
        zoo.load("gpt-char", pretrained=True, seed=1)


def test_weights_that_float16_would_change_stay_as_they_are(entry: registry.Entry, tmp_path: Path) -> None:
    folder = run_of(entry, 0, tmp_path)
    path = folder / json.loads((folder / "run.json").read_text())["weights"]
    arrays = {name: np.array(array) for name, array in load_safetensors(path).items()}
    arrays["norm.weight"] *= 1e5  # followed by the head alone: finite logits, and no float16
    arrays["embedding.weight"] *= 1e-5
    facts = {"model": "gpt-char", "config": json.dumps(entry.recipe.generated().config)}
    changed(folder, sha256=save_safetensors(path, arrays, facts))
    model = zoo.load("gpt-char", weights=path)
    changed(folder, metrics=entry.recipe.evaluate(model, entry.recipe.generated()))
    run = record(entry, folder)
    assert run.shipped is not None and run.shipped.dtype == "float32"
    assert run.shipped.note.startswith("float16 does not hold all numbers of norm.weight")
    assert run.shipped.metrics == run.metrics and "The weights stay float32" in zoo.card.render(entry)
    assert evaluate(entry).steady


def test_float16_that_gives_other_metrics_is_not_shipped(
    entry: registry.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_of(entry, 0, tmp_path)
    whole = json.loads((folder / "run.json").read_text())["metrics"]
    monkeypatch.setattr(Made, "evaluate", lambda self, model, data: {
        name: value * (1 if np.any(model.state_dict()["embedding.weight"].astype("float16").astype("float32")
                                   != model.state_dict()["embedding.weight"]) else 1.1)
        for name, value in whole.items()
    })  # fmt: skip
    run = record(entry, folder)
    assert run.shipped is not None and run.shipped.dtype == "float32" and run.shipped.metrics == whole
    assert "as float16 it gives other numbers: seed 0  loss" in run.shipped.note and evaluate(entry).steady


def test_halving_leaves_whole_numbers_alone() -> None:
    half, why_not = halved({"w": np.array([0.1], "float32"), "n": np.array([70_000], "int64")})
    assert not why_not and half["w"].dtype == "float16" and half["n"].dtype == "int64"


def refused(entry: registry.Entry, folder: Path, says: str, kind: type[NeedleError] = zoo.ZooError) -> None:
    with pytest.raises(kind, match=says):
        record(entry, folder)
    assert not entry.runs and not (entry.home / "weights").exists()


def test_what_is_no_finished_run_of_the_model_is_refused(entry: registry.Entry, tmp_path: Path) -> None:
    folder = run_of(entry, 0, tmp_path)
    good = (folder / "run.json").read_text()
    metrics = json.loads(good)["metrics"]
    refused(entry, tmp_path, "holds no run.json, so no run has ended there; needle-zoo train gpt-char --folder")
    changed(folder, metrics=metrics | {"loss": metrics["loss"] + 0.01})
    refused(entry, folder, r"does not give what its run says: seed 0  loss +recorded +\S+  now")
    changed(folder, metrics=[1])
    refused(entry, folder, "is not what `needle-zoo train` writes: metrics must be numbers by name")
    (folder / "run.json").write_text("{}")
    refused(entry, folder, "lacks seed, weights, sha256, metrics, seconds, commit")
    (folder / "run.json").write_text("[")
    refused(entry, folder, "is not what `needle-zoo train` writes")
    (folder / "run.json").write_text(good)
    changed(folder, sha256="0" * 64)
    refused(entry, folder, "is not the published file", DataError)
    changed(folder, sha256=json.loads(good)["sha256"], tiny=True)
    refused(entry, folder, "a tiny run: its weights are not worth recording")
    changed(folder, tiny=False)
    (folder / "log.csv").unlink()
    refused(entry, folder, "log.csv cannot be read: No such file")


def test_runs_with_other_metrics_do_not_mix(entry: registry.Entry, tmp_path: Path) -> None:
    record(entry, run_of(entry, 0, tmp_path))
    folder = run_of(entry, 1, tmp_path)
    changed(folder, metrics={"loss": json.loads((folder / "run.json").read_text())["metrics"]["loss"]})
    with pytest.raises(zoo.ZooError, match="have the metrics loss, perplexity, this one loss"):
        record(entry, folder)
    assert len(entry.runs) == 1


def test_runs_of_other_settings_do_not_mix(entry: registry.Entry, tmp_path: Path) -> None:
    record(entry, run_of(entry, 0, tmp_path))
    folder = run_of(replace(entry, recipe=replace(entry.recipe, lr=0.02)), 1, tmp_path)
    with pytest.raises(zoo.ZooError, match=r"had other settings: lr 0\.01 there, 0\.02 here; remove it"):
        record(entry, folder)
    with pytest.raises(zoo.ZooError, match="epochs 1 there, 2 here"):  # before it trains, not after
        train(entry, 2, folder=str(tmp_path / "runs"), epochs=2, record=True)
    assert not (tmp_path / "runs" / "gpt-char-seed2").exists()


def test_weights_that_are_never_published_stay_where_they_were_made(
    entry: registry.Entry, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = replace(entry, withheld="it is a test")
    monkeypatch.setitem(registry._entries, "gpt-char", private)
    folder = run_of(private, 0, tmp_path)
    assert main(["record", "gpt-char", "--run", str(folder)]) == 0
    assert "recorded without its weights: they are never published, as it is a test" in capsys.readouterr().out
    assert private.runs[0].shipped is None and not (private.home / "weights").exists()
    model, shown = zoo.load("gpt-char", weights=folder / private.runs[0].weights), private.record.shown
    assert [model.generate("\n", 40, temperature=0.8, seed=seed) for seed in (0, 1)] == [
        each["text"] for each in shown["samples"]
    ]
    assert "## Samples" in zoo.card.render(private)
    record(private, run_of(private, 1, tmp_path))
    assert private.record.shown == shown  # of the first seed, as the weights in the package would be
    with pytest.raises(zoo.ZooError, match="never published, as it is a test; train it with: needle-zoo"):
        zoo.load("gpt-char", pretrained=True)
    skipped = attempt(private, str(tmp_path / "nowhere"))
    assert "weights are not published: needle-zoo train gpt-char makes them; --folder names where" in skipped.skipped
    assert "skipped" in skipped.text() and skipped.steady
    found = attempt(private, str(tmp_path / "runs"))
    assert not found.skipped and found.steady and {row.metric for row in found.rows} == {"loss", "perplexity"}


def test_who_trains_a_withheld_model_anew_sees_both_numbers(
    entry: registry.Entry, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = replace(entry, withheld="it is a test")
    monkeypatch.setattr(registry, "_entries", {"gpt-char": private})
    record(private, run_of(private, 0, tmp_path))
    command = ["evaluate", "gpt-char", "--folder", str(tmp_path / "runs")]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "another" not in said.out and "gpt-char seed 0: measuring gpt-char-tinyshakespeare-seed0" in said.err
    other = run_of(replace(private, recipe=replace(private.recipe, lr=0.02)), 0, tmp_path / "other")
    loss = json.loads((other / "run.json").read_text())["metrics"]["loss"]
    command[-1] = str(tmp_path / "other" / "runs")
    assert main(command) == 0
    said = capsys.readouterr()
    assert f"  now {zoo.card.shown('loss', loss):>8}  another training, +0." in said.out and "DRIFTED" not in said.out
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert not any(row["same_weights"] or row["drifted"] for row in rows) and rows[0]["now"] == pytest.approx(loss)
    assert main(["evaluate", "--all", *command[2:]]) == 0
    assert "all as recorded but gpt-char, whose weights are of another training" in capsys.readouterr().out
    card = private.home / "cards" / "gpt-char.json"
    card.write_text(card.read_text().replace('"loss": 2', '"loss": 3'))  # of the recorded bytes it is drift
    command[-1] = str(tmp_path / "runs")
    assert main(command) == 1 and "DRIFTED" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "shows"), [("dcgan", "sheet"), ("airnet", "confusion"), ("lstm-char", "samples")])
def test_every_family_records_what_it_makes(
    name: str, shows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = zoo.entry(name)
    recipe = replace(known.recipe_for(tiny=True), epochs=1)
    small = replace(known, recipe=recipe, home=tmp_path, build=lambda **o: known.build(**known.tiny.model | o))
    monkeypatch.setitem(registry._entries, name, small)
    monkeypatch.setattr(type(recipe), "data", lambda self, folder=None: self.generated())
    run = train(small, 0, folder=str(tmp_path / "runs"), record=True)
    assert run.shipped is not None and run.shipped.dtype == "float16" and shows in small.record.shown
    if shows == "confusion":
        right = sum(row[i] for i, row in enumerate(small.record.shown[shows]))
        assert right == round(64 * run.shipped.metrics["top1"])
    if shows == "sheet":
        for picture, size in (("sheet", (8 * 34 + 2, 8 * 34 + 2)), ("nearest", (16 * 34 + 2, 2 * 34 + 2))):
            with Image.open(tmp_path / "cards" / small.record.shown[picture]) as sheet:
                assert sheet.size == size
    assert evaluate(small).steady and evaluate(small).text()
    assert "## " + ("Confusion" if shows == "confusion" else "Samples") in zoo.card.render(small)


def test_a_record_that_is_none_is_refused(entry: registry.Entry) -> None:
    path = entry.home / "cards" / "gpt-char.json"
    path.parent.mkdir(parents=True)
    for text in ("[", '{"runs": [{"seed": 1}]}', '{"runs": 3}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"gpt-char\.json is not a record of runs"):
            entry.runs  # noqa: B018
