"""`needle-zoo list | card | train | evaluate | predict | sample | generate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from needle.errors import NeedleError

from . import ZooError, entry, load, names
from .card import render, shown
from .dcgan import DCGAN
from .pictures import save_grid
from .text import LanguageModel
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

    keys = ("data", "folder", "record", "epochs", "tiny", "workers", "save_every", "save_minutes")
    options = {key: getattr(args, key) for key in keys}
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


def _sample(args: argparse.Namespace) -> int:
    model = load(args.name, pretrained=args.weights is None, weights=args.weights)
    if not isinstance(model, DCGAN):
        raise ZooError(f"[sample] {args.name} makes no pictures: {entry(args.name).task}")
    save_grid(args.output, model.sample(args.count, seed=args.seed))
    print(args.output)
    return 0


def _generate(args: argparse.Namespace) -> int:
    model = load(args.name, pretrained=args.weights is None, weights=args.weights)
    if not isinstance(model, LanguageModel):
        raise ZooError(f"[generate] {args.name} writes no text: {entry(args.name).task}")
    sampling = {key: getattr(args, key) for key in ("temperature", "top_k", "top_p", "seed", "stop")}
    print(args.prompt, end="")
    for piece in model.stream(args.prompt, args.tokens, **sampling):
        print(piece, end="", flush=True)
    print()
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    root = argparse.ArgumentParser(prog="needle-zoo", description="Models that were really trained with needle.")
    commands = root.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the models and their measured numbers").set_defaults(run=_list)

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about)
        added.add_argument("name", metavar="NAME", help="a model of `needle-zoo list`")
        added.set_defaults(run=run)
        return added

    command("card", _card, "print a model's card")
    train = command("train", _train, "train a model by its recipe, resumable")
    evaluate = command("evaluate", _evaluate, "recompute the numbers on a model's card; fails on drift")
    predict = command("predict", _predict, "the most probable labels of an image")
    sample = command("sample", _sample, "a sheet of pictures that a model makes")
    generate = command("generate", _generate, "text that a language model writes")
    for each in (train, evaluate):
        each.add_argument("--data", help="folder of the data set (default: found in NEEDLE_DATA, or downloaded)")
    for each in (predict, sample, generate):
        each.add_argument("--weights", help="a file that `train` wrote (default: the weights inside the package)")
    _training_options(train)
    predict.add_argument("image", help="an image file")
    predict.add_argument("--top", type=int, default=5, help="how many labels (default: 5)")
    sample.add_argument("--output", default="sample.png", help="the PNG file to write (default: sample.png)")
    sample.add_argument("--count", type=int, default=64, help="how many pictures (default: 64)")
    _text_options(generate)
    for each in (sample, generate):
        each.add_argument("--seed", type=int, default=0, help="the same seed makes the same (default: 0)")
    return root


def _training_options(train: argparse.ArgumentParser) -> None:
    train.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training run for each (default: 0)")
    train.add_argument("--folder", default="runs", help="where checkpoints and logs go (default: runs)")
    train.add_argument("--epochs", type=int, help="train for fewer or more epochs than the recipe says")
    train.add_argument("--tiny", action="store_true", help="the smallest configuration, on generated data, in seconds")
    train.add_argument("--workers", type=int, default=0, help="threads that prepare batches; the bytes stay the same")
    train.add_argument("--save-every", type=int, metavar="STEPS", help="steps between checkpoints (default: an epoch)")
    train.add_argument("--save-minutes", type=float, default=5, metavar="MINUTES",
                       help="the age at which a checkpoint is replaced inside an epoch (default: 5)")  # fmt: skip
    train.add_argument("--record", action="store_true", help="put the weights and the numbers into the package")


def _text_options(generate: argparse.ArgumentParser) -> None:
    generate.add_argument("--prompt", default="\n", help="the text to go on from (default: the end of a line)")
    generate.add_argument("--tokens", type=int, default=200, help="how many at most (default: 200)")
    generate.add_argument("--temperature", type=float, default=0.8, help="0 takes the most probable (default: 0.8)")
    generate.add_argument("--top-k", type=int, help="draw from the k most probable alone")
    generate.add_argument("--stop", action="append", help="end before this text; may be given several times")
    generate.add_argument("--top-p", type=float, help="draw from the fewest whose probabilities sum to this alone")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except NeedleError as error:
        print(f"needle-zoo: {error}", file=sys.stderr)
        return 1
    except SystemExit:  # a run has saved itself, and said so
        raise
    except KeyboardInterrupt:
        print("needle-zoo: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
