"""Python files of the user's own that a command runs first, so that the models they register are known to it.

They are named on the command line (`--plugin FILE`) or in NEEDLE_PLUGINS (several with the system's path separator
between them), and are code: run only what you would run with Python.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from ..errors import NeedleError


class PluginError(NeedleError):
    """A plugin's file is missing, or the code in it failed."""


def load_plugins(paths: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Run the files of NEEDLE_PLUGINS, then those of `paths`, each once. Raises PluginError with file and line."""
    named = [name for name in os.environ.get("NEEDLE_PLUGINS", "").split(os.pathsep) if name]
    for path in (*named, *paths):
        _load(Path(path))


def _load(path: Path) -> None:
    if not path.is_file():
        raise PluginError(f"[plugin] {path} is not a file; --plugin and NEEDLE_PLUGINS name Python files")
    file = path.resolve()
    name = f"needle_plugin_{file.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=None)
    if spec is None or spec.loader is None:
        raise PluginError(f"[plugin] {path} is not a Python file: its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"[plugin] {_where(path, file, error)}: {type(error).__name__}: {_words(error)}") from error


def _where(path: Path, file: Path, error: Exception) -> str:
    """The user's file and the line in it that failed."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _words(error: Exception) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error)
