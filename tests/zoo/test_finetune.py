"""Fine-tuning: it learns, its adapter is the base's program with other weights, and it goes on to the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deploy
import needle as ndl
import zoo
from deploy.nd import structure
from needle.errors import NeedleError, SettingError
from needle.nn import lora
from tests.zoo import finetune_runs as small
from zoo.finetune import Config, Job, Report, estimate, measure
from zoo.finetune.prepare import prepared
from zoo.finetune.probe import chosen
from zoo.finetune.rounds import Rounds

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The weights of small models, by name."""
    return small.bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture
def config(bases: dict[str, str], tmp_path: Path) -> Config:
    """Of a language model and a text: a few dozen steps."""
    (tmp_path / "my.txt").write_text(small.text())
    return Config(
        "gpt-char", str(tmp_path / "my.txt"), bases["gpt-char"], rank=4, epochs=2, batch=32, learning_rate=0.02,
        validations=4,
    )  # fmt: skip


@pytest.fixture
def photos(bases: dict[str, str], tmp_path: Path) -> Config:
    return Config(
        "resnet20", str(small.image_folder(tmp_path / "photos")), bases["resnet20"], rank=4, epochs=16, batch=8,
        learning_rate=0.02, validations=4, flip=0.0, crop=1,
    )  # fmt: skip


def run(config: Config, folder: Path) -> tuple[Any, list[Report]]:
    told: list[Report] = []
    return Job(config, folder).run(report=told.append), told


def test_a_language_model_learns_a_text(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = np.random.get_state()[1].copy()
    result, told = run(config, tmp_path / "run")
    assert capsys.readouterr() == ("", "") and (np.random.get_state()[1] == state).all()
    assert result.after["bits_per_byte"] < 0.9 * result.before["bits_per_byte"] and not result.stopped
    assert result.argument == "adapter" and len(result.sha256) == 64
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {*small.KEPT, "adapter", "config.json", "times.csv"}
    model = zoo.load("gpt-char", weights=config.weights, adapter=tmp_path / "run")
    assert measure(model, config.data)["loss"] < 0.9 * measure(base(config), config.data)["loss"]
    assert model.card["adapter"]["after"] == result.after
    sample = result.shown["after"]
    assert model.generate("\n", sample["max_tokens"], temperature=0.8, seed=0) == sample["sample"]
    size = sum(path.stat().st_size for path in (tmp_path / "run" / "adapter").iterdir())
    assert size < Path(config.weights or "").stat().st_size

    events = [report.event for report in told]
    assert events[:2] == ["begins", "probe"] and events[-1] == "ends" and not told[0].tries_rates
    steps = [report for report in told if report.event == "step"]
    assert [report.step for report in steps] == list(range(1, steps[0].total + 1))
    assert all(report.learning_rate and report.loss for report in steps) and steps[-1].seconds_left == 0
    assert all(0 <= report.accuracy <= 1 for report in steps) and steps[-1].accuracy > steps[0].accuracy
    assert [r.tokens for r in steps] == sorted({r.tokens for r in steps}) and steps[-1].tokens == result.tokens
    assert events.count("validation") == 4 and events.count("checkpoint") >= 4
    json.dumps([asdict(report) for report in told])  # plain data


def test_what_was_learned_at_each_measurement_can_be_kept(config: Config, tmp_path: Path) -> None:
    told: list[Report] = []
    result = Job(config, tmp_path / "run", keep=True).run(report=told.append)
    kept = [report for report in told if report.event == "kept"]
    assert len(kept) == 4 and [r.event for r in told].count("validation") == 4
    assert sorted(int(path.name) for path in (tmp_path / "run" / "steps").iterdir()) == [r.step for r in kept]
    best = min(kept, key=lambda report: report.validation["loss"])
    model = zoo.load("gpt-char", weights=config.weights, adapter=str(best.checkpoint))
    final = zoo.load("gpt-char", weights=config.weights, adapter=tmp_path / "run")
    assert best.validation == model.card["adapter"]["after"] == final.card["adapter"]["after"] == result.after
    same = zip(model.state_dict().values(), final.state_dict().values(), strict=True)
    assert all(np.array_equal(a, b) for a, b in same)


def base(config: Config) -> Any:
    return zoo.load(config.base, weights=config.weights)


def test_completions_alone_are_learned(config: Config, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(small.rows())
    rows = replace(config, data=str(tmp_path / "rows.jsonl"), epochs=30, batch=8)
    task = prepared(rows)
    x, y = task.learn.x, task.learn.y
    tokenizer = task.model.tokenizer
    for ids, targets in zip(x, y, strict=True):
        kept = targets[targets != -1].tolist()
        prompt, completion = tokenizer.decode(ids.tolist()), tokenizer.decode(kept)
        assert completion in [f"{where}\n" for where in small.WORDS[2]]
        first = int(np.flatnonzero(targets != -1)[0])
        assert prompt[: first + 1] in [f"{who} " for who in small.WORDS[0]]
    result, _ = run(rows, tmp_path / "run")
    assert result.after["token_accuracy"] > 0.95 > result.before["token_accuracy"]
    assert all(each["answer"] == each["completion"] for each in result.shown["after"]["answers"])


@pytest.mark.parametrize("kind", ["folder", "rows"])
def test_an_image_model_learns_classes_of_one_s_own(kind: str, photos: Config, tmp_path: Path) -> None:
    if kind == "rows":
        (tmp_path / "rows.jsonl").write_text(small.image_rows())
        photos = replace(photos, data=str(tmp_path / "rows.jsonl"))
    result, told = run(photos, tmp_path / "run")
    assert result.after["accuracy"] == 1 > result.before["accuracy"]
    model = zoo.load("resnet20", weights=photos.weights, adapter=tmp_path / "run")
    assert model.card["labels"] == list(small.CLASSES) and model.card["output"]["count"] == 3
    assert [model.predict(small.picture(label, 99))[0][0] for label in range(3)] == list(small.CLASSES)
    assert told[0].estimate is not None and told[0].estimate.held_out == 3
    assert result.shown["after"] == {"mistakes": [], "wrong": 0, "of": 3}


@pytest.mark.parametrize("method", [pytest.param("full", marks=pytest.mark.thorough), "head"])
def test_other_methods_leave_a_file_of_weights(method: str, photos: Config, tmp_path: Path) -> None:
    result, _ = run(replace(photos, method=method), tmp_path / "run")
    assert result.argument == "weights" and result.path == str(tmp_path / "run" / "model.safetensors")
    model = zoo.load("resnet20", weights=result.path)
    assert model.card["labels"] == list(small.CLASSES)
    assert measure(model, photos.data)["accuracy"] > 0.6 or method == "head"  # its features are blind to the place
    same = [at for at, a in base(photos).state_dict().items() if np.array_equal(a, model.state_dict().get(at))]
    assert len(same) == (0 if method == "full" else len(base(photos).state_dict()) - 2)


def test_from_scratch_is_worse(photos: Config, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match='with method="full"'):
        replace(photos, pretrained=False)
    result, _ = run(replace(photos, method="full", pretrained=False, epochs=1), tmp_path / "run")
    assert result.after["loss"] > 0.5


def test_classes_that_are_the_base_s_keep_its_head(photos: Config, tmp_path: Path) -> None:
    first, _ = run(replace(photos, method="full"), tmp_path / "first")
    again = replace(photos, weights=first.path, epochs=1)
    task = prepared(again)
    assert task.whole == {} and task.evaluate()["accuracy"] == 1


@pytest.mark.parametrize("kind", ["text", "images"])
def test_a_merged_adapter_is_the_base_s_program_with_other_weights(
    kind: str, config: Config, photos: Config, tmp_path: Path
) -> None:
    chosen = config if kind == "text" else photos
    run(replace(chosen, epochs=1), tmp_path / "run")
    model, plain = zoo.load(chosen.base, weights=chosen.weights, adapter=tmp_path / "run"), base(chosen)
    if kind == "images":  # as many classes as the base has; another number is another structure
        assert structure(frozen(model)) != structure(frozen(zoo.load(chosen.base, tiny=True)))
    graph = frozen(model)
    assert structure(graph) == structure(frozen(plain))
    other = frozen(plain).with_weights(graph.weights())
    shape = (2, *model.example().shape[1:])
    x = np.random.default_rng(0).integers(0, 9, shape).astype("float32")
    meant = model(ndl.Tensor(x, requires_grad=False)).numpy()
    np.testing.assert_allclose(deploy.Instant(other)(x), meant, rtol=2e-4, atol=2e-4)


def frozen(model: Any) -> deploy.Graph:
    return deploy.freeze(model, model.example())


@pytest.mark.thorough
def test_no_compiler_is_called_for_an_adapter(config: Config, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "home"))
    built = deploy.build(frozen(base(config)))
    run(replace(config, epochs=1), tmp_path / "run")
    model = zoo.load(config.base, weights=config.weights, adapter=tmp_path / "run")
    monkeypatch.setattr(sys.modules["deploy.build"], "compile_objects", None)  # whoever compiles fails
    again = deploy.build(frozen(model))
    assert again.seconds == 0 and again.library == built.library and again.weights != built.weights
    x = np.ones((1, *model.example().shape[1:]), "float32")
    meant = model(ndl.Tensor(x, requires_grad=False)).numpy()
    np.testing.assert_allclose(deploy.Compiled(again.library, again.weights)(x), meant, rtol=2e-4, atol=2e-4)


# A run is a function of its config: threads, kills and stops do not change a byte.


def in_a_process(config: Config, folder: Path, **environment: str) -> dict[str, str] | None:
    """What a run left, by its hashes; None where it was killed."""
    program = [
        sys.executable,
        str(ROOT / "tests" / "zoo" / "finetune_runs.py"),
        str(folder),
        json.dumps(config.facts()),
    ]
    done = subprocess.run(
        program, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True
    )
    if done.returncode == -9:
        return None
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["text", "images"])
def test_killed_and_on_any_number_of_threads_it_ends_with_the_same_bytes(
    kind: str, config: Config, photos: Config, tmp_path: Path
) -> None:
    chosen = replace(config if kind == "text" else photos, dropout=0.1, learning_rate="auto", epochs=4)
    whole = in_a_process(chosen, tmp_path / "whole", NEEDLE_NUM_THREADS="1")
    assert whole is not None
    for threads, kills in (("2", ("1", "5", "7")), ("4", ())):
        folder = tmp_path / threads
        for at in kills:
            assert in_a_process(chosen, folder, NEEDLE_NUM_THREADS=threads, KILL_AT=at) is None
        assert in_a_process(chosen, folder, NEEDLE_NUM_THREADS=threads) == whole
    other = in_a_process(replace(chosen, seed=1), tmp_path / "other")
    assert (
        other is not None and other["adapter/adapter_model.safetensors"] != whole["adapter/adapter_model.safetensors"]
    )


@pytest.mark.thorough
@pytest.mark.parametrize("place", [1, 5])
def test_a_run_that_is_stopped_keeps_its_best_and_goes_on(place: int, config: Config, tmp_path: Path) -> None:
    whole, told = run(config, tmp_path / "whole")
    assert told[-1].step > 5
    seen: list[int] = []
    job = Job(config, tmp_path / "stopped")
    stopped = job.run(
        stop=lambda: bool(seen) and seen[-1] >= place,
        report=lambda report: seen.append(report.step) if report.event == "step" else None,
    )
    assert stopped is not None and stopped.stopped and stopped.steps == place
    assert whole.before["loss"] >= stopped.after["loss"] >= whole.after["loss"]
    model = zoo.load("gpt-char", weights=config.weights, adapter=tmp_path / "stopped")
    assert measure(model, config.data)["loss"] <= measure(base(config), config.data)["loss"]
    assert replace(job.run(), path="") == replace(whole, path="")  # type: ignore[type-var]
    assert small.digests(tmp_path / "stopped") == small.digests(tmp_path / "whole")
    assert job.run() == replace(whole, path=str(tmp_path / "stopped" / "adapter"))  # it is done, and says so again


def test_it_ends_when_it_no_longer_gets_better(config: Config, tmp_path: Path) -> None:
    short = replace(config, learning_rate=3.0, patience=1, validations=8)
    result, told = run(short, tmp_path / "run")
    assert result.steps < told[0].total and not result.stopped
    assert result.after["loss"] <= result.before["loss"]  # it kept what was best, if only the base
    again, _ = run(short, tmp_path / "run")
    assert again == result


@pytest.mark.thorough
def test_stopped_before_the_first_step_there_is_no_result(config: Config, tmp_path: Path) -> None:
    auto = replace(config, learning_rate="auto")
    assert Job(auto, tmp_path / "run").run(stop=lambda: True) is None
    result, told = run(auto, tmp_path / "run")
    rates = next(report.rates for report in told if report.event == "probe")
    assert len(rates) >= 5 and rates[0][0] == 0 and result.learning_rate == chosen(rates) and told[0].tries_rates
    assert not run(auto, tmp_path / "run")[1][0].tries_rates  # what was tried is kept
    scaled, _ = run(replace(auto, learning_rate_multiplier=0.5), tmp_path / "scaled")
    assert scaled.learning_rate == 0.5 * result.learning_rate


@pytest.mark.parametrize(("rates", "rate"), [
    ([(0.0, 3.0), (0.1, 2.9), (0.2, 1.0), (0.3, 1.1)], 0.2),
    ([(0.0, 3.0), (0.1, 1.4), (0.2, 1.3), (0.3, 1.0)], 0.1),  # four fifths of the gain of the best
    ([(0.0, 3.0), (0.1, 1.5), (0.2, None), (0.3, 1.0)], 0.3),
    ([(0.0, 1.0), (0.1, 2.0), (0.2, 3.0)], 0.1),  # none is better than nothing
    ([(0.0, None), (0.1, 2.0), (0.2, 1.0)], 0.2),
])  # fmt: skip
def test_the_lowest_rate_of_those_that_do_nearly_as_well_is_chosen(rates: Any, rate: float) -> None:
    assert chosen(tuple(rates)) == rate
    with pytest.raises(NeedleError, match="no learning rate gave a finite loss"):
        chosen(((0.0, 1.0), (0.1, None)))


@pytest.mark.thorough
def test_a_plan_that_is_damaged_is_made_again(config: Config, tmp_path: Path) -> None:
    result, _ = run(config, tmp_path / "run")
    for text in ("", "[1]", "{}", '{"data_sha256": 1}'):
        (tmp_path / "run" / "plan.json").write_text(text)
        assert run(config, tmp_path / "run")[0] == result


def test_another_config_or_other_data_are_refused_in_its_folder(config: Config, tmp_path: Path) -> None:
    run(config, tmp_path / "run")
    with pytest.raises(NeedleError, match=r"is of a run with another config: config\.rank: 4 there, 8 now"):
        run(replace(config, rank=8), tmp_path / "run")
    Path(config.data).write_text(small.text(150))
    with pytest.raises(NeedleError, match=r"is of a run with other data: .*my\.txt has changed since it began"):
        run(config, tmp_path / "run")


def test_without_anything_held_out_the_last_weights_are_the_result(config: Config, tmp_path: Path) -> None:
    result, told = run(replace(config, validation=0.0), tmp_path / "run")
    assert result.before == result.after == {} and not any(report.validation for report in told)
    assert zoo.load("gpt-char", weights=config.weights, adapter=tmp_path / "run").generate("a", 5)


def test_data_of_its_own_to_measure_on(config: Config, photos: Config, tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text(small.text(20))
    text = prepared(replace(config, validation_data=str(tmp_path / "held.txt")))
    assert text.learn.bytes == len(small.text()) - 1 and text.measured.tokens == text.measured.bytes
    for found in (text.evaluate(), measure(text.model, config.data)):  # of characters a token is a byte
        assert found["bits_per_byte"] == pytest.approx(found["loss"] / np.log(2)) and 0 < found["token_accuracy"] < 1
    task = prepared(replace(photos, validation_data=photos.data))
    assert task.held == task.examples == 36


def test_every_token_is_measured_once(config: Config) -> None:
    task = prepared(config)
    ids = task.model.tokenizer.encode(Path(config.data).read_text())
    cut = round(0.9 * len(ids))
    y = task.measured.y
    assert y[y != -1].tolist() == ids[cut + 1 :] and task.measured.bytes == len(ids) - cut - 1


def test_the_estimate_is_near_what_is_measured(config: Config) -> None:
    state = np.random.get_state()[1].copy()
    found = estimate(config)
    assert (np.random.get_state()[1] == state).all()
    model = base(config)
    count = lora.add(model, 4, targets=["*.q", "*.k", "*.v", "*.out", "*.up", "*.down"])
    assert (found.learning, found.parameters) == (count.trainable, count.total)
    assert found.steps == prepared(config).steps() and 0 < found.seconds < 60 and 10**7 < found.bytes < 10**8


def test_rounds_go_on_where_they_were_left(config: Config) -> None:
    task = prepared(config)

    def rounds() -> Rounds:
        return Rounds(task.loader(24), 5)

    def ids(batches: Any) -> list[Any]:
        return [x.numpy().tolist() for x, _ in batches]

    loader, plain = rounds(), task.loader(24)
    found = ids(loader) + ids(loader) + ids(loader)
    passes = ids(plain) + ids(plain)
    assert found == passes[:15] and len(plain) > 7 and len(plain) % 5
    for epoch, position in ((0, 3), (1, 2), (2, 4)):
        again = rounds()
        again.load_state_dict({"epoch": epoch, "position": position})
        assert ids(again) == found[5 * epoch + position : 5 * (epoch + 1)]
