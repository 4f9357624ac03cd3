"""One side of a comparison of commits: a process that runs cases when it is asked, a line of JSON for a line of JSON.

    {"prepare": ["eager", "sum of 8x8"]}  ->  {"missing": ""}, or why this side cannot run the case
    {"calls": 1000}                       ->  {"seconds": 0.0021}, of so many calls of the case that was prepared last
"""

from __future__ import annotations

import contextlib
import importlib.machinery as machinery
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cases import GROUPS
from bench.group import reason
from bench.timing import timer

ROOMS = ("needle", "deploy", "zoo")


def isolate(tree: Path) -> None:
    """Import needle's rooms from `tree` alone: an editable installation has a finder and a path that lead elsewhere."""
    sys.path[:] = [
        entry for entry in sys.path
        if Path(entry).resolve() == tree or not any((Path(entry) / room / "__init__.py").is_file() for room in ROOMS)
    ]  # fmt: skip
    standard = (machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder)
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder in standard]


def prepare(tree: Path, group: str, name: str) -> Callable[[int], float]:
    """The timer of a case, after one call. Raises ImportError unless all of it comes from `tree`."""
    import numpy as np

    np.random.seed(0)  # layers draw their weights from it
    case = next(case for case in GROUPS[group].cases if case.name == name)
    run = case.build().ours
    for room in ROOMS:
        place = getattr(sys.modules.get(room), "__file__", None)
        if place and tree not in Path(place).resolve().parents:
            for module in [key for key in sys.modules if key.partition(".")[0] == room]:
                del sys.modules[module]  # the cases that need no such room can run
            raise ImportError(f"{room} is missing here")
    run()
    return timer(run)


def serve(tree: Path, requests: Any, answers: Any) -> None:
    """Answer until the requests end."""
    seconds: Callable[[int], float] | None = None
    for line in requests:
        request = json.loads(line)
        if "prepare" in request:
            seconds = None  # the memory of the case before it
            try:
                seconds, missing = prepare(tree, *request["prepare"]), ""
            except Exception as error:  # whatever another state of the library raises
                missing = reason(error)
            answer: dict[str, Any] = {"missing": missing}
        else:
            assert seconds is not None
            answer = {"seconds": seconds(request["calls"])}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a case prints is no answer
    tree = Path(sys.argv[1]).resolve()
    isolate(tree)
    with contextlib.suppress(KeyboardInterrupt):  # which is the parent's to report
        serve(tree, sys.stdin, answers)


if __name__ == "__main__":
    main()
