"""What the subcommands of `needle-zoo` do; cli.py only reads their arguments."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from needle.commands import Answer, ticking, write

from . import shelf
from .adapted import SHIPPED, base_of, read_card, shipped_adapters
from .base import Model
from .card import render, shown
from .evaluate import Evaluation, attempt, evaluate, measure
from .finetune.measure import measure as measure_own
from .finetune.measure import measure_held
from .image_classifier import ImageClassifier
from .language_model import LanguageModel
from .models.dcgan import DCGAN
from .pages import write_pages
from .pictures import save_grid
from .record import finished, record
from .registry import ZooError, entry, load, names
from .train import train


def list_command(args: argparse.Namespace) -> Answer:
    """Every model with its task and its measured numbers."""
    facts: list[dict[str, Any]] = []
    lines = []
    adapters: dict[str, list[str]] = {}
    for name in shipped_adapters():
        adapters.setdefault(base_of(SHIPPED / name), []).append(name)
    for each in map(entry, names()):
        measured = {metric: vars(number) for metric, number in each.measured.items()}
        state = {"trained": bool(each.runs), "weights": [file.file for _, file in each.shipped]}
        state["adapters"] = adapters.get(each.name, [])
        facts.append({"name": each.name, "task": each.task, **state, "measured": measured})
        numbers = ", ".join(f"{metric} {shown(metric, number['value'])}" for metric, number in measured.items())
        lines.append(f"{each.name:<14} {each.task}; {numbers or ('trained' if each.runs else 'not trained yet')}")
        for name in adapters.get(each.name, ()):
            lines.append(f"{'':<14} with --adapter {name}: {read_card(SHIPPED / name).get('data')}")
    return Answer(facts, "\n".join(lines))


def data_command(args: argparse.Namespace) -> Answer:
    """Every data set, or the folder of one, which is downloaded if it is not here."""
    if args.name is None:
        found = [shelf.facts(name) for name in shelf.ABOUT]
        return Answer(found, "\n".join(map(shelf.line, found)))
    shelf.get(args.name)
    fact = shelf.facts(shelf.known(args.name))
    return Answer(fact, shelf.line(fact))


def card_command(args: argparse.Namespace) -> Answer:
    """A model's card, or the pages of all."""
    if args.pages is not None:
        if args.name is not None:
            raise ZooError("[card] --pages writes the pages of all models: leave out the name")
        changed = [str(path) for path in write_pages(map(entry, names()), args.pages)]
        return Answer(changed, "\n".join(changed) or f"{args.pages}: every page is up to date")
    if args.name is None:
        raise ZooError("[card] needs the name of a model, or --pages FOLDER")
    named = entry(args.name)
    facts = named.card() | {"recipe": asdict(named.recipe), "runs": [asdict(run) for run in named.runs]}
    return Answer(facts | {"shown": named.record.shown}, render(named))


def record_command(args: argparse.Namespace) -> Answer:
    """A finished run, recorded."""
    named = entry(args.name)
    finished(named, args.run_folder)  # a mistake is said before anything is measured
    with ticking(f"{named.name}: measuring the weights in {args.run_folder}"):
        run = record(named, args.run_folder, data=args.data, machine=args.machine)
    if run.shipped is None:
        other = "another seed's weights are in the package"
        reason = other if named.shipped else f"they are never published, as {named.withheld}"
        return Answer(asdict(run), f"{named.name} seed {run.seed}: recorded without its weights: {reason}")
    why = f", {run.shipped.note}" if run.shipped.note else ""
    numbers = ", ".join(f"{metric} {shown(metric, value)}" for metric, value in run.shipped.metrics.items())
    file = named.home / "weights" / run.shipped.file
    return Answer(asdict(run), f"{named.name} seed {run.seed}: {numbers}; {file} as {run.shipped.dtype}{why}")


def train_command(args: argparse.Namespace) -> Answer:
    """One training run for each seed; each says itself what it does and where its weights are."""
    named = entry(args.name)
    keys = ("data", "folder", "record", "epochs", "tiny", "workers", "save_every", "save_minutes")
    options = {key: getattr(args, key) for key in keys}
    runs = [train(named, seed, **options) for seed in args.seeds]
    return Answer([{"name": named.name, **asdict(run)} for run in runs], "")


def evaluate_command(args: argparse.Namespace) -> Answer:
    """The metrics of the recorded weights beside the recorded ones, or those of a file of weights."""
    if args.all == (args.name is not None):
        raise ZooError("[evaluate] needs the name of a model or --all, and not both")
    if args.all:
        if args.weights is not None or args.adapter is not None or args.data is not None or args.tiny:
            raise ZooError("[evaluate] --all measures the recorded weights of all models on their data, and no others")
        return evaluate_all(args.folder)
    if args.adapter is not None:
        return evaluate_adapter(args)
    if args.weights is not None or args.tiny:
        if args.weights is None:
            raise ZooError("[evaluate] the recorded runs are measured on the whole data set: leave out --tiny")
        metrics = measure(entry(args.name), args.weights, data=args.data, tiny=args.tiny, during=ticking)
        lines = [f"{metric:<14} {shown(metric, value)}" for metric, value in metrics.items()]
        return Answer(metrics, "\n".join(lines) or f"{args.name} has no metrics")
    found = evaluate(entry(args.name), args.data, args.folder, during=ticking)
    return Answer(found.facts(), found.text(), 0 if found.steady else 1)


def evaluate_adapter(args: argparse.Namespace) -> Answer:
    """The metrics of a base with an adapter, on data of the user's or on what the adapter's run held out."""
    model = load(args.name, weights=args.weights, adapter=args.adapter)
    with ticking(f"{args.name}: measuring with {args.adapter}"):
        metrics = measure_held(model, args.adapter) if args.data is None else measure_own(model, args.data)
    return Answer(metrics, "\n".join(f"{metric:<14} {shown(metric, value)}" for metric, value in metrics.items()))


def evaluate_all(folder: str) -> Answer:
    """Every model with weights, one after another; fails when one does, or when there was none to measure."""
    found: list[Evaluation] = []
    for place, name in enumerate(names(), 1):
        with ticking(f"{place}/{len(names())}  {name}"):
            found.append(attempt(entry(name), folder))
    done = [each for each in found if not each.skipped]
    drifted = [each.name for each in done if not each.steady]
    retrained = ", ".join(each.name for each in done if each.retrained)
    verdict = "all as recorded" + (f" but {retrained}, whose weights are of another training" if retrained else "")
    verdict = f"{', '.join(drifted)}: not what was recorded" if drifted else verdict
    counts = f"{len(done)} of {len(found)} models measured, {len(found) - len(done)} skipped"
    lines = [*(each.text() for each in found), f"{counts}: {verdict if done else 'nothing to compare'}"]
    return Answer([each.facts() for each in found], "\n".join(lines), 0 if done and not drifted else 1)


def predict_command(args: argparse.Namespace) -> Answer:
    """The most probable labels of an image."""
    model = _loaded(args, ImageClassifier, "predict", "gives no labels")
    found = model.predict(args.image, top=args.top)
    lines = [f"{100 * probability:6.2f} %  {label}" for label, probability in found]
    return Answer([{"label": label, "probability": p} for label, p in found], "\n".join(lines))


def sample_command(args: argparse.Namespace) -> Answer:
    """A sheet of pictures, written to a file."""
    if not args.output or Path(args.output).is_dir():
        raise ZooError(f"[sample] --output must name a file, such as sample.png, got {args.output!r}")
    model = _loaded(args, DCGAN, "sample", "makes no pictures")
    save_grid(args.output, model.sample(args.count, seed=args.seed))
    return Answer({"path": args.output}, args.output)


def generate_command(args: argparse.Namespace) -> Answer | None:
    """Text, printed as soon as it is certain."""
    model = _loaded(args, LanguageModel, "generate", "writes no text")
    sampling = {key: getattr(args, key) for key in ("temperature", "top_k", "top_p", "seed", "stop", "engine")}
    pieces = model.stream(args.prompt, args.tokens, **sampling)
    if args.json:
        return Answer({"prompt": args.prompt, "text": "".join(pieces)}, "")
    write(args.prompt, end="")
    for piece in pieces:
        write(piece, end="")
    write("")
    return None


def _loaded(args: argparse.Namespace, kind: type[Any], command: str, lacks: str) -> Any:
    """The trained model, which must be of a kind that the command can use."""
    adapter = getattr(args, "adapter", None)
    model: Model = load(args.name, pretrained=args.weights is None, weights=args.weights, adapter=adapter)
    if not isinstance(model, kind):
        raise ZooError(f"[{command}] {args.name} {lacks}: {entry(args.name).task}")
    return model
