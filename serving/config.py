"""`needle-serve --config FILE`: flags from a TOML file, by their names without dashes; the command line wins.

    models = ["resnet9", "mine=net.nd"]
    port = 8080
    max-queue = 64
    log-requests = true
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.engine.errors import ServingError

FLAG = "--config"
KINDS = (str, int, float, bool)
NOT_IN_FILES = {"help", "version", "completion", "config", "json"}


def with_config(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """The arguments with those of the file that `--config` names in front of them.

    Raises ServingError for a file that cannot be read, is no TOML, or has a name or a value that no flag takes.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument(FLAG, type=Path)
    path = own.parse_known_args(list(arguments))[0].config
    return [*_from_file(parser, path), *arguments] if path else list(arguments)


def _from_file(parser: argparse.ArgumentParser, path: Path) -> list[str]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServingError(f"[{path}] is no TOML file: {error}") from None
    except OSError as error:
        raise ServingError(f"[{path}] cannot be read: {error.strerror}") from None
    flags = {flag[2:]: action for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    return [word for name, value in settings.items() for word in _words(path, flags, name, value)]


def _words(path: Path, flags: dict[str, argparse.Action], name: str, value: Any) -> list[str]:
    """One setting as arguments."""
    if name not in flags or name in NOT_IN_FILES:
        known = sorted(flags.keys() - NOT_IN_FILES)
        near = difflib.get_close_matches(name, known, 1)
        raise ServingError(f"[{path}] no setting is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    action, values = flags[name], value if isinstance(value, list) else [value]
    if not all(isinstance(x, KINDS) for x in values):
        raise ServingError(f"[{path}] {name} must be a text, a number, true or false, or a list of such")
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ServingError(f"[{path}] {name} must be true or false, got {value!r}")
        return [f"--{name}"] if value else []
    if any(isinstance(x, bool) for x in values):
        raise ServingError(f"[{path}] {name} is not a matter of true or false, got {value!r}")
    if action.nargs in ("*", "+"):
        return [f"--{name}", *map(str, values)]
    if len(values) > 1 and not isinstance(action, argparse._AppendAction):
        raise ServingError(f"[{path}] {name} must be one value, got {value!r}")
    return [f"--{name}={x}" for x in values]
