"""`needle-zoo list | card | data | train | finetune | record | evaluate | predict | sample | generate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from needle.commands import Answer, CommandParser, Distinct, number, offer, run, whole

from . import commands
from .finetune import command as finetuning
from .programs import ENGINES
from .registry import names
from .seeds import SEEDS
from .shelf import ABOUT

OPTIONAL = ("card", "evaluate")  # commands that may do without the name of a model
SHEET = 10_000  # pictures on a sheet, which is made in memory


def parser() -> CommandParser:
    """The command line's grammar."""
    root = CommandParser(prog="needle-zoo", description="Models that were really trained with needle.")
    root.shared()
    subcommands = root.add_subparsers(dest="command", required=True)

    def command(name: str, do: Callable[[argparse.Namespace], Answer | None], about: str) -> CommandParser:
        added: CommandParser = subcommands.add_parser(name, help=about, description=about)
        added.answers()
        added.pluggable()
        added.set_defaults(run=do)
        if name not in ("list", "data"):
            count: dict[str, Any] = {"nargs": "?"} if name in OPTIONAL else {}
            offer(added.add_argument("name", metavar="NAME", help="a model of `needle-zoo list`", **count), names())
        return added

    command("list", commands.list_command, "the models and their measured numbers")
    card = command("card", commands.card_command, "print a model's card, or write the pages of all")
    data = command("data", commands.data_command, "the data sets: where they are, their sizes and licences")
    train = command("train", commands.train_command, "train a model by its recipe, resumable")
    about = "teach a trained model a text or classes of your own, resumable"
    finetuning.arguments(command("finetune", finetuning.finetune_command, about))
    record = command("record", commands.record_command, "record a finished run: its numbers, its weights as float16")
    about = "recompute the numbers on a model's card, failing on drift, or measure a file of weights"
    evaluate = command("evaluate", commands.evaluate_command, about)
    predict = command("predict", commands.predict_command, "the most probable labels of an image")
    sample = command("sample", commands.sample_command, "a sheet of pictures that a model makes")
    generate = command("generate", commands.generate_command, "text that a language model writes")
    what = "a data set of `needle-zoo data`, downloaded and checked if it is not on this machine"
    offer(data.add_argument("name", metavar="DATASET", nargs="?", help=what), list(ABOUT))
    what = "write FOLDER/NAME.md for every model, its curves, and the table in FOLDER.md"
    card.add_argument("--pages", type=Path, metavar="FOLDER", help=what)
    what = "the folder that `train` left, such as runs/NAME-seed0"
    record.add_argument("--run", type=Path, dest="run_folder", metavar="FOLDER", required=True, help=what)
    record.add_argument("--machine", metavar="TEXT", help="on what it was trained (default: what the run says)")
    for each, lacking in ((train, ", or downloaded"), (evaluate, ""), (record, "")):
        own = "; with --adapter text, rows or images of yours, by default what its run held out" * (each is evaluate)
        what = f"folder of the data set (default: found in NEEDLE_DATA or NEEDLE_HOME{lacking}){own}"
        each.add_argument("--data", metavar="FOLDER", help=what)
    for each in (evaluate, predict, sample, generate):
        what = "a file that `train` wrote (default: the weights inside the package)"
        each.add_argument("--weights", type=Path, metavar="FILE", help=what)
    for each in (evaluate, predict, generate):
        what = "what `finetune` made (the folder of a run), an adapter of PEFT, or the name of one in the package"
        each.add_argument("--adapter", type=Path, metavar="FOLDER", help=what)
    _training_options(train)
    evaluate.add_argument("--all", action="store_true", help="every model, one after another, saying what it skips")
    what = "where `train` left the weights of models that are not in the package (default: runs)"
    evaluate.add_argument("--folder", default="runs", metavar="FOLDER", help=what)
    evaluate.add_argument("--tiny", action="store_true", help="on generated data, as `train --tiny` trains")
    predict.add_argument("image", type=Path, metavar="FILE", help="an image file")
    predict.add_argument("--top", type=whole(1), default=5, help="how many labels (default: 5)")
    what = "the PNG file to write (default: sample.png)"
    sample.add_argument("--output", default="sample.png", metavar="FILE", help=what)
    what = f"how many pictures (default: 64, at most {SHEET})"
    sample.add_argument("--count", type=whole(1, SHEET), default=64, help=what)
    _text_options(generate)
    for each in (sample, generate):
        each.add_argument("--seed", type=whole(0), default=0, help="the same seed makes the same (default: 0)")
    return root


def _training_options(train: argparse.ArgumentParser) -> None:
    what = "one training run for each (default: 0)"
    train.add_argument("--seeds", type=whole(0, SEEDS), nargs="+", action=Distinct, default=[0], help=what)
    what = "where checkpoints and logs go (default: runs)"
    train.add_argument("--folder", default="runs", metavar="FOLDER", help=what)
    train.add_argument("--epochs", type=whole(1), help="train for fewer or more epochs than the recipe says")
    train.add_argument("--tiny", action="store_true", help="the smallest configuration, on generated data, in seconds")
    what = "threads that prepare batches; the bytes stay the same"
    train.add_argument("--workers", type=whole(0), default=0, help=what)
    what = "steps between checkpoints (default: an epoch)"
    train.add_argument("--save-every", type=whole(1), metavar="STEPS", help=what)
    what = "the age at which a checkpoint is replaced inside an epoch (default: 5)"
    train.add_argument("--save-minutes", type=number(0, above=True), default=5, metavar="MINUTES", help=what)
    what = "put the weights and the numbers beside the model's source: into the package, or beside your own file"
    train.add_argument("--record", action="store_true", help=what)
    train.set_defaults(interrupted="run the same command again to go on from the last checkpoint")


def _text_options(generate: argparse.ArgumentParser) -> None:
    generate.add_argument("--prompt", default="\n", help="the text to go on from (default: the end of a line)")
    generate.add_argument("--tokens", type=whole(0), default=200, help="how many at most (default: 200)")
    what = "0 takes the most probable (default: 0.8)"
    generate.add_argument("--temperature", type=number(0), default=0.8, help=what)
    generate.add_argument("--top-k", type=whole(1), help="draw from the k most probable alone")
    what = "draw from the fewest whose probabilities sum to this alone"
    generate.add_argument("--top-p", type=number(0, 1, above=True), help=what)
    generate.add_argument("--stop", action="append", help="end before this text; may be given several times")
    what = "what computes: compiled calls a compiler the first time and is fastest then (default: instant)"
    generate.add_argument("--engine", choices=ENGINES, default="instant", help=what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    return run(parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
