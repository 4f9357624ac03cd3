"""The grammar that the commands share: `--version`, `--completion`, `--json`, `--plugin`, and numbers with bounds."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import __version__

SHELLS = ("bash", "zsh", "fish")


class CommandParser(argparse.ArgumentParser):
    """A parser with the flags of this family of commands, each kind added by its method. No flag may be shortened:
    an abbreviation that works today would break when a flag is added.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def shared(self) -> None:
        """Add the flags that every command has before its subcommand."""
        self.add_argument("--version", action="version", version=f"{self.prog} {__version__}")
        what = f"print the completion script of a shell: {', '.join(SHELLS)}"
        self.add_argument("--completion", action=_Completion, choices=SHELLS, metavar="SHELL", help=what)

    def answers(self) -> None:
        """Add `--json`: the answer as data."""
        self.add_argument("--json", action="store_true", help="print the answer as JSON")

    def pluggable(self) -> None:
        """Add `--plugin`: files that register models."""
        what = "a Python file that registers models with @zoo.model, run first; also NEEDLE_PLUGINS"
        self.add_argument("--plugin", action="append", default=[], metavar="FILE", help=what)


class _Completion(argparse.Action):
    """Prints the completion script and exits, whatever else is missing, as `--version` does."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(completion(parser, values))
        parser.exit()


def completion(root: argparse.ArgumentParser, shell: str) -> str:
    """The script that teaches `shell` to complete the command: flags, choices, `offers`, and files by metavar."""
    import shtab  # in here: nothing but this needs it

    for action in _actions(root):
        known: Any = action
        if known.metavar in ("FILE", "FOLDER"):
            known.complete = shtab.FILE if known.metavar == "FILE" else shtab.DIRECTORY
        elif hasattr(known, "offers"):
            known.choices = tuple(known.offers)
    return str(shtab.complete(root, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)


def offer(action: argparse.Action, values: Sequence[str]) -> None:
    """Let shells complete an argument with `values`; others are accepted too (plugins add some)."""
    known: Any = action
    known.offers = values


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A reader of whole numbers from `least` to `most`, for `type=` of an argument."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            bounds = f"from {least} on" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number {bounds}, got {text!r}")
        return value

    return read


def number(least: float, most: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """A reader of finite numbers from `least`, or only above it, to `most`, for `type=` of an argument."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most and not (above and value == least)):
            end = f" to {most:g}" if most < math.inf else "" if above else " on"
            bounds = f"{'above' if above else 'from'} {least:g}{end}"
            raise argparse.ArgumentTypeError(f"must be a number {bounds}, got {text!r}")
        return value

    return read


class Distinct(argparse.Action):
    """Several values of which none may be given twice: the second would do the first one's work again."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
        if twice is not None:
            raise argparse.ArgumentError(self, f"{twice} was given twice")
        setattr(namespace, self.dest, values)
