"""Measure needle side by side with other libraries, or with another commit of its own.

    python -m bench [name ...]                  beside PyTorch, numpy and ONNX Runtime; without names, for the report
    python -m bench against COMMIT [name ...]   beside a commit
    python -m bench artefacts [model ...]       what `needle-deploy build` leaves, in bytes and in time
    python -m bench finetune [word ...]         adapters beside full fine-tuning and training from scratch, on real data
    python -m bench soak [minutes]              a server under load that trains, while its workers are ended and killed

Each group of cases runs in a process of its own, with the number of threads its comparison is about.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import against, load
from bench.builds import RefusedError
from bench.case import Case, select
from bench.cases import GROUPS
from bench.table import LEGEND, Row, header

REPORT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PEERS = ("torch", "numpy", "onnxruntime", "openvino", "peft")


class SkippedError(Exception):
    """A group is not measured, for a library is not installed."""


class FailedError(Exception):
    """A group's process has ended before its last row."""


def rows(key: str, cases: list[Case]) -> Iterator[Row]:
    """The rows of one group, out of a process of its own. Raises SkippedError or FailedError."""
    group = GROUPS[key]
    missing = [library for library in group.needs if importlib.util.find_spec(library) is None]
    if missing:
        raise SkippedError(f"{key}: skipped, {', '.join(missing)} not installed")
    command = [sys.executable, "-m", "bench.group", key, *(case.name for case in cases)]
    with subprocess.Popen(command, env=group.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("{"):  # and not what a library prints
                    yield Row(**json.loads(line))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise FailedError(f"{key}: failed with exit status {process.returncode}")


def section(key: str, cases: list[Case]) -> tuple[str, load.Watch]:
    """The report's text on one group, printed row by row, and what else ran meanwhile."""
    group, lines = GROUPS[key], list[str]()

    def show(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    with load.Watch() as watch:
        for number, row in enumerate(rows(key, cases)):
            if number == 0:
                print()
                show(f"## {group.title}\n")
                show(header("needle", "peer", "needle / peer" if group.cost else "peer / needle"))
            show(str(row))
    show(f"\n{'One thread' if group.threads == 1 else f'{group.threads} threads'}. {watch}")
    return "\n".join(lines), watch


def processor() -> str:
    """What this machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def introduction(busy: bool) -> str:
    """The head of the report: machine, versions, what the columns mean."""
    found = [name for name in PEERS if importlib.util.find_spec(name)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name).split('+')[0]}" for name in found)
    machine = f"Printed by `make bench` on {processor()}, {os.cpu_count()} processors, beside {versions}."
    caveat = ["", "**Measured on a busy machine.**"] if busy else []
    return "\n".join(["# Benchmarks", "", machine, LEGEND, *caveat])


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"a group ({', '.join(GROUPS)}) or how cases begin")
    parser.add_argument("--force", action="store_true", help="write docs/benchmarks.md on a busy machine too")
    return parser


def main(arguments: list[str]) -> int:
    """The exit status: 1 if a group could not be measured."""
    options = parser().parse_args(arguments)
    if options.force and options.names:
        parser().error("--force writes the whole report: leave the names out")
    try:
        chosen = select(GROUPS, options.names)
    except KeyError as error:
        parser().error(f"no group is called {error} and no case begins so")
    busy, lacking, tables = load.look(), list[Exception](), list[str]()
    load.warn(busy)
    print(LEGEND)
    for key, cases in chosen.items():
        try:
            text, watch = section(key, cases)
        except (SkippedError, FailedError) as why:
            print(why, file=sys.stderr, flush=True)
            lacking.append(why)
            continue
        tables.append(text)
        busy = busy or (watch.busy and f"during {key}, {watch.busy}")
    load.warn(busy)
    if not options.names:
        reasons = [*([busy] if busy else []), *map(str, lacking)]
        publish("\n\n".join([introduction(bool(busy)), *tables]), reasons, options.force)
    return 1 if any(isinstance(why, FailedError) for why in lacking) else 0


def publish(report: str, reasons: list[str], force: bool) -> None:
    """Write the report; for any reason against it, the last quiet and complete one stays unless somebody insists."""
    if reasons and not force:
        why = "; ".join(reasons)
        print(f"{REPORT.name} stays as it was; --force overwrites it. Reasons: {why}", file=sys.stderr)
        return
    REPORT.write_text(report + "\n")
    print(f"\nwritten to {os.path.relpath(REPORT)}")


def run(arguments: list[str]) -> int | str:
    """The exit status of a command line, or the sentence that says why there is nothing to measure."""
    try:
        if arguments[:1] == ["artefacts"]:
            from bench.artefacts import main as artefacts

            return artefacts(arguments[1:])
        if arguments[:1] == ["finetune"]:
            from bench.finetuning.__main__ import main as finetune

            return finetune(arguments[1:])
        if arguments[:1] == ["soak"]:
            from bench.soak import main as soak

            return soak(arguments[1:])
        return against.main(arguments[1:]) if arguments[:1] == ["against"] else main(arguments)
    except RefusedError as error:
        return str(error)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the groups' processes end too
    sys.exit(run(sys.argv[1:]))
