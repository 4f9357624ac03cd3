"""`needle-zoo finetune`: its arguments, and a run on the screen that Ctrl-C ends with the best it had."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from needle.commands import Answer, number, whole
from needle.training.progress import say
from needle.weights import discard_unfinished

from ..registry import entry
from ..seeds import SEEDS
from .config import METHODS, Config
from .job import Job
from .prepare import named
from .screen import Screen, outcome


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes; what is not given is as `Config` has it."""

    def add(flag: str, what: str, **options: Any) -> None:
        parser.add_argument(flag, help=what, default=argparse.SUPPRESS, **options)

    what = "a text (.txt), rows with prompt and completion or image and label (.jsonl), or a folder of images by class"
    parser.add_argument("--data", metavar="PATH", required=True, help=what)
    what = "the run's folder (default: runs/NAME-DATA); a run that is there goes on"
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help=what)
    add("--weights", "the base's, a file that `train` wrote (default: those inside the package)", metavar="FILE")
    add("--validation-data", "data to measure on (default: a part that is held out)", metavar="PATH")
    add(
        "--method",
        f"what learns (default: lora): {'; '.join(f'{k}, {v}' for k, v in METHODS.items())}",
        choices=[*METHODS],
    )
    add("--rank", "of the adapter's matrices (default: 16, of images 32)", type=whole(1))
    add("--alpha", "the adapter's change is multiplied by alpha / rank (default: 2 rank)", type=number(0, above=True))
    add("--targets", "layers to adapt, names or patterns (default: all products)", nargs="+", metavar="NAME")
    add("--epochs", "passes over the data (default: about 400 steps)", type=whole(1))
    add("--batch", "examples in a step (default: by the size of the data)", type=whole(1))
    add("--learning-rate", "the highest (default: chosen by a short probe)", type=number(0, above=True), metavar="RATE")
    add("--validation", "the part that is held out (default: 0.1)", type=number(0, 0.9))
    add("--patience", "measurements without a better one after which it ends (default: 3)", type=whole(1))
    add("--crop", "images are moved by up to so many pixels (default: 2)", type=whole(0))
    add(
        "--flip",
        "the probability that an image is mirrored; 0 where left and right differ (default: 0.5)",
        type=number(0, 1),
    )
    add("--seed", "the same seed gives the same bytes (default: 0)", type=whole(0, SEEDS))
    parser.set_defaults(interrupted="run the same command again to go on")


NAMES = (
    "weights", "validation_data", "method", "rank", "alpha", "targets", "epochs", "batch", "learning_rate",
    "validation", "patience", "crop", "flip", "seed",
)  # fmt: skip


def finetune_command(args: argparse.Namespace) -> Answer:
    """A run, from where it stands to its end or to Ctrl-C."""
    entry(args.name)
    given = {name: getattr(args, name) for name in NAMES if name in args}
    config = Config(args.name, args.data, **given)
    folder = args.folder or Path("runs") / f"{args.name}-{Path(args.data).stem}"
    screen = Screen("")
    screen.line(f"{named(config)}, {config.method}, into {folder}")
    with _signals() as caught:
        result = Job(config, folder).run(stop=lambda: bool(caught), report=screen.tell)
    screen.end_line()
    if result is None:
        raise KeyboardInterrupt
    text = outcome(config, result, folder)
    return Answer(asdict(result), text, 128 + caught[0] if result.stopped and caught else 0)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of SIGINT and SIGTERM that came inside the block; the second ends the process at once."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            discard_unfinished()
            os._exit(128 + number)
        caught.append(number)
        say(f"\n{signal.Signals(number).name}: ending after this step, with the best so far", sys.stderr)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
