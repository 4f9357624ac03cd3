"""How a command runs: its answer in words or as JSON, and every way to fail as one sentence and an exit code."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any

from ..errors import NeedleError
from .grammar import CommandParser
from .plugins import load_plugins
from .terminal import coloured

FAILED, INTERRUPTED, UNREAD = 1, 130, 141  # argparse itself answers wrong usage, with 2


class OutputError(NeedleError):
    """Standard output cannot be written."""


@dataclass(frozen=True)
class Answer:
    """What a command found: as plain data for `--json`, in words for people, and the exit code that goes with it."""

    data: Any
    text: str
    code: int = 0


def run(grammar: CommandParser, arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, call the `run` that the subcommand has set with them, print its Answer; the exit code.

    First the plugins are loaded, which `--plugin` and NEEDLE_PLUGINS name. With `--json` standard output holds the JSON
    alone: whatever else is printed goes to standard error. A command that returns None has printed what it had to say;
    a subcommand's `interrupted` is the advice after Ctrl-C.
    """
    prog, options = grammar.prog, argparse.Namespace()
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # one of PYTHONIOENCODING=ascii has no "é": that is no failure
            sys.stdout.reconfigure(errors="replace")
        options = grammar.parse_args(arguments)
        prog = f"{prog} {options.command}" if "command" in options else prog
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(prog, "warning", str(message))
            code = _answer(options)
        sys.stdout.flush()  # what cannot be written is found here, not when Python has gone
        return code
    except NeedleError as error:
        say(prog, "error", str(error))
    except SystemExit:  # of argparse, or of a run that has saved itself and said so
        raise
    except KeyboardInterrupt:
        advice = getattr(options, "interrupted", "")
        say(prog, "error", "interrupted" + (f"; {advice}" if advice else ""))
        return INTERRUPTED
    except BrokenPipeError:
        return UNREAD
    except OSError as error:
        where = "system" if error.filename is None else os.fspath(error.filename)
        say(prog, "error", f"[{where}] {error.strerror or error}")
    finally:
        _settle()
    return FAILED


def _answer(options: argparse.Namespace) -> int:
    """Do the command and print what it found."""
    as_json = "json" in options and options.json
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        load_plugins(getattr(options, "plugin", ()))
        answer: Answer | None = options.run(options)
    if answer is None:
        return 0
    if as_json or answer.text:
        write(json.dumps(answer.data) if as_json else answer.text.rstrip("\n"))
    return answer.code


def write(text: str, end: str = "\n") -> None:
    """Text on standard output, at once. Raises OutputError if it cannot be written, BrokenPipeError if nobody reads."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"[output] standard output cannot be written: {error.strerror}") from None


def say(prog: str, kind: str, message: str) -> None:
    """An "error" or a "warning" on standard error, as argparse words its own."""
    print(f"{prog}: {coloured(f'{kind}:', kind, sys.stderr)} {message}", file=sys.stderr)


def _settle() -> None:
    """Flush standard output; if it fails, let what is left go nowhere, or Python tries again, with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
