"""What the subcommands of `needle-zoo` do; cli.py only reads their arguments."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from needle.commands import Answer, write

from .base import Model
from .card import render, shown
from .evaluate import evaluate, measure
from .image_classifier import ImageClassifier
from .language_model import LanguageModel
from .models.dcgan import DCGAN
from .pictures import save_grid
from .registry import ZooError, entry, load, names
from .train import train


def list_command(args: argparse.Namespace) -> Answer:
    """Every model with its task and its measured numbers."""
    facts: list[dict[str, Any]] = []
    lines = []
    for record in map(entry, names()):
        measured = {metric: vars(number) for metric, number in record.measured.items()}
        facts.append({"name": record.name, "task": record.task, "trained": bool(record.runs), "measured": measured})
        numbers = ", ".join(f"{metric} {shown(metric, number['value'])}" for metric, number in measured.items())
        lines.append(f"{record.name:<14} {record.task}; {numbers or 'not trained yet'}")
    return Answer(facts, "\n".join(lines))


def card_command(args: argparse.Namespace) -> Answer:
    """A model's card."""
    record = entry(args.name)
    facts = record.card() | {"recipe": asdict(record.recipe), "runs": [asdict(run) for run in record.runs]}
    return Answer(facts, render(record))


def train_command(args: argparse.Namespace) -> Answer:
    """One training run for each seed; each says itself what it does and where its weights are."""
    record = entry(args.name)
    keys = ("data", "folder", "record", "epochs", "tiny", "workers", "save_every", "save_minutes")
    options = {key: getattr(args, key) for key in keys}
    runs = [train(record, seed, **options) for seed in args.seeds]
    return Answer([{"name": record.name, **asdict(run)} for run in runs], "")


def evaluate_command(args: argparse.Namespace) -> Answer:
    """The metrics of the recorded runs beside the recorded ones, or those of a file of weights."""
    if args.weights is not None or args.tiny:
        if args.weights is None:
            raise ZooError("[evaluate] the recorded runs are measured on the whole data set: leave out --tiny")
        metrics = measure(entry(args.name), args.weights, data=args.data, tiny=args.tiny)
        lines = [f"{metric:<14} {shown(metric, value)}" for metric, value in metrics.items()]
        return Answer(metrics, "\n".join(lines) or f"{args.name} has no metrics")
    found = evaluate(entry(args.name), data=args.data)
    return Answer(found.facts(), found.text(), 0 if found.steady else 1)


def predict_command(args: argparse.Namespace) -> Answer:
    """The most probable labels of an image."""
    model = _loaded(args, ImageClassifier, "predict", "gives no labels")
    found = model.predict(args.image, top=args.top)
    lines = [f"{100 * probability:6.2f} %  {label}" for label, probability in found]
    return Answer([{"label": label, "probability": p} for label, p in found], "\n".join(lines))


def sample_command(args: argparse.Namespace) -> Answer:
    """A sheet of pictures, written to a file."""
    model = _loaded(args, DCGAN, "sample", "makes no pictures")
    save_grid(args.output, model.sample(args.count, seed=args.seed))
    return Answer({"path": str(args.output)}, str(args.output))


def generate_command(args: argparse.Namespace) -> Answer | None:
    """Text, printed as soon as it is certain."""
    model = _loaded(args, LanguageModel, "generate", "writes no text")
    sampling = {key: getattr(args, key) for key in ("temperature", "top_k", "top_p", "seed", "stop")}
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
    model: Model = load(args.name, pretrained=args.weights is None, weights=args.weights)
    if not isinstance(model, kind):
        raise ZooError(f"[{command}] {args.name} {lacks}: {entry(args.name).task}")
    return model
