"""`python -m bench against COMMIT [name ...]`: the cases of the working tree's bench/, run by a commit and by the tree.

Each side is compiled for this processor and runs in a process of its own; the two take turns, and the ratio is the
commit's time over the working tree's: above 1, the working tree is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean
from types import TracebackType
from typing import Any

from bench import builds, load
from bench.case import Case, Group, select
from bench.cases import GROUPS
from bench.table import LEGEND, Row, compared, header
from bench.timing import Timer, interleaved


class EndedError(Exception):
    """The process of `side` has ended by itself."""

    def __init__(self, side: Side, code: int) -> None:
        what = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        super().__init__(f"the process of {side.name} ended with {what}")
        self.side = side


class Side:
    """A process that runs cases with the needle of one folder; what kills it is that case's failure alone."""

    def __init__(self, name: str, tree: Path, group: Group) -> None:
        self.name, self.tree, self.group = name, tree, group
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> subprocess.Popen[str]:
        """With nothing to import from but the folder, bench/ and what is installed."""
        link = builds.STORE / "cases" / "bench"
        if link.resolve() != builds.ROOT / "bench":
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(builds.ROOT / "bench")
        path = {"PYTHONPATH": f"{self.tree}{os.pathsep}{link.parent}", "NEEDLE_HOME": str(self.tree / "home")}
        command = [sys.executable, "-m", "bench.child", str(self.tree)]
        environment = self.group.environment() | path
        return subprocess.Popen(
            command, cwd=self.tree, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises EndedError if the process ends instead."""
        self.process = self.process or self.start()
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        raise EndedError(self, self.close())

    def close(self) -> int:
        """End the process; its exit status, or less than zero for the signal that ended it."""
        process, self.process = self.process, None
        if process is None:
            return 0
        with process:  # closes its pipes; a process that runs ends with its requests
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            return process.wait()

    def prepare(self, group: str, case: Case) -> str:
        """Set the case up; why that is not possible, or nothing."""
        try:
            return str(self.ask({"prepare": [group, case.name]})["missing"])
        except EndedError as error:
            return str(error)

    def timer(self) -> Timer:
        return lambda calls: float(self.ask({"calls": calls})["seconds"])


def measure(key: str, case: Case, old: Side, new: Side) -> Row:
    """The row of a case; a side that cannot run it is said to miss it, and why."""
    missing = {side: side.prepare(key, case) for side in (old, new)}
    if any(missing.values()):
        note = "; ".join(f"missing in {side.name}: {why}" for side, why in missing.items() if why)
        return Row(case.name, note=note, lost=not missing[old])
    try:
        before, now = interleaved([old.timer(), new.timer()], case.turns)
    except EndedError as error:
        return Row(case.name, note=str(error), lost=error.side is new)
    return compared(case.name, before, now, invert=True)


def run(groups: dict[str, list[Case]], old: tuple[str, Path], new: tuple[str, Path]) -> Iterator[Row]:
    """Every row, printed when it is measured."""
    for key, cases in groups.items():
        group = GROUPS[key]
        print(f"\n{key}, threads: {group.threads}\n\n{header(old[0], new[0], 'old / new')}", flush=True)
        with Side(*old, group) as a, Side(*new, group) as b:
            for case in cases:
                row = measure(key, case, a, b)
                print(row, flush=True)
                yield row


def summary(rows: list[Row]) -> str:
    """The geometric mean of the ratios that count, and how many rows do not."""
    counted = [row.ratio for row in rows if row.ratio is not None and not row.noisy]
    mean = f"geometric mean {geometric_mean(counted):.3f}x over {len(counted)} rows" if counted else "no row counts"
    return f"{mean}; noisy: {sum(row.noisy for row in rows)}, missing: {sum(row.ratio is None for row in rows)}"


def failures(rows: list[Row], worst: float) -> list[str]:
    """What has become slower than `worst` beyond noise, or cannot be run any more."""
    quiet = [(row.name, row.ratio) for row in rows if row.ratio is not None and not row.noisy]
    slow = [f"{name} is at {ratio:.3f}x, below {worst}x" for name, ratio in quiet if ratio < worst]
    return slow + [f"{row.name} runs in the commit and not in the working tree" for row in rows if row.lost]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench against", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", help="what git knows a commit by; HEAD compares with uncommitted changes")
    groups = ", ".join(key for key, group in GROUPS.items() if group.commits)
    parser.add_argument("names", nargs="*", metavar="name", help=f"a group ({groups}) or how cases begin")
    parser.add_argument("--worst", type=ratio, metavar="RATIO", help="exit with 1 if a row that is not noisy is below")
    return parser


def ratio(text: str) -> float:
    """A ratio of times; argparse reports the ValueError of anything else."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError
    return value


def main(arguments: list[str]) -> int:
    """The exit status."""
    options = parser().parse_args(arguments)
    try:
        groups = select({key: group for key, group in GROUPS.items() if group.commits}, options.names)
    except KeyError as error:
        parser().error(f"no group is called {error} and no case begins so")
    with builds.store():
        name, tree = builds.commit(options.commit)
        new = builds.working_tree()
        print(f"{LEGEND}\n")
        load.warn(load.look())
        with load.Watch() as watch:
            rows = list(run(groups, (name, tree), ("working tree", new)))
    print(f"\n{summary(rows)}\n{watch}")
    load.warn(watch.busy)
    failed = [] if options.worst is None else failures(rows, options.worst)
    for line in failed:
        print(f"[against] {line}", file=sys.stderr)
    return 1 if failed else 0
