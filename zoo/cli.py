"""`needle-zoo list | train NAME | evaluate NAME | card NAME | predict NAME IMAGE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from needle.errors import NeedleError

from . import ZooError, entry, load, names
from .card import render, shown
from .vision import ImageClassifier


def _list(args: argparse.Namespace) -> int:
    for name in names():
        record = entry(name)
        numbers = ", ".join(f"{metric} {shown(metric, number.value)}" for metric, number in record.measured.items())
        print(f"{name:<14} {record.task}; {numbers or 'not trained yet'}")
    return 0


def _card(args: argparse.Namespace) -> int:
    print(render(entry(args.name)), end="")
    return 0


def _train(args: argparse.Namespace) -> int:
    from .train import train

    options = {
        key: getattr(args, key) for key in ("data", "folder", "record", "epochs", "tiny", "workers", "save_every")
    }
    for seed in args.seeds:
        train(entry(args.name), seed, **options)
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from .evaluate import evaluate

    return 0 if evaluate(entry(args.name), data=args.data) else 1


def _predict(args: argparse.Namespace) -> int:
    model = load(args.name, pretrained=args.weights is None, weights=args.weights)
    if not isinstance(model, ImageClassifier):
        raise ZooError(f"[predict] {args.name} gives no labels: {entry(args.name).task}")
    for label, probability in model.predict(args.image, top=args.top):
        print(f"{100 * probability:6.2f} %  {label}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    root = argparse.ArgumentParser(prog="needle-zoo", description="Models that were really trained with needle.")
    commands = root.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the models and their measured numbers").set_defaults(run=_list)
    for name, run, about in (
        ("card", _card, "print a model's card"),
        ("train", _train, "train a model by its recipe, resumable"),
        ("evaluate", _evaluate, "recompute the numbers on a model's card; fails on drift"),
        ("predict", _predict, "the most probable labels of an image"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("name", metavar="NAME", help="a model of `needle-zoo list`")
        command.set_defaults(run=run)
    train, evaluate, predict = (commands.choices[name] for name in ("train", "evaluate", "predict"))
    for command in (train, evaluate):
        command.add_argument("--data", help="folder of the data set (default: found in NEEDLE_DATA, or downloaded)")
    train.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training run for each (default: 0)")
    train.add_argument("--folder", default="runs", help="where checkpoints and logs go (default: runs)")
    train.add_argument("--epochs", type=int, help="train for fewer or more epochs than the recipe says")
    train.add_argument("--tiny", action="store_true", help="the smallest configuration, on generated data, in seconds")
    train.add_argument(
        "--workers", type=int, default=0, help="threads that prepare batches ahead; the bytes are the same"
    )
    train.add_argument("--save-every", type=int, metavar="STEPS", help="steps between checkpoints (default: an epoch)")
    train.add_argument("--record", action="store_true", help="put the weights and the numbers into the package")
    predict.add_argument("image", help="an image file")
    predict.add_argument("--weights", help="a file that `train` wrote (default: the weights inside the package)")
    predict.add_argument("--top", type=int, default=5, help="how many labels (default: 5)")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except NeedleError as error:
        print(f"needle-zoo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("needle-zoo: interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
