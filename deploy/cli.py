"""needle-deploy: freeze a model, look at it, compile it, run it, compare it, time it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from needle.errors import NeedleError

from . import commands
from .errors import DeployError


def parser() -> argparse.ArgumentParser:
    """The arguments of every subcommand."""
    top = argparse.ArgumentParser(prog="needle-deploy", description=__doc__)
    sub = top.add_subparsers(dest="command", required=True, metavar="command")

    freeze = sub.add_parser("freeze", help="record a trained model as a .nd file")
    freeze.add_argument("model", help="package:name, such as zoo:resnet9")
    freeze.add_argument("-o", "--output", type=Path, required=True)
    freeze.set_defaults(run=lambda a: commands.freeze_command(a.model, a.output))

    inspect = sub.add_parser("inspect", help="print the graph in a .nd file")
    inspect.add_argument("path", type=Path)
    inspect.add_argument("--optimized", action="store_true", help="after the compiler's passes")
    inspect.set_defaults(run=lambda a: commands.inspect_command(a.path, a.optimized))

    build = sub.add_parser("build", help="compile a .nd file to a shared library, a command and a header")
    build.add_argument("path", type=Path)
    build.add_argument("-o", "--output", type=Path, help="folder for the files (default: the path without its suffix)")
    build.set_defaults(run=lambda a: commands.build_command(a.path, a.output))

    run = sub.add_parser("run", help="run a .nd file on an image or a .npy array")
    run.add_argument("path", type=Path)
    run.add_argument("input", type=Path)
    run.add_argument("--top", type=int, default=5, help="how many labels to print")
    run.set_defaults(run=lambda a: commands.run_command(a.path, a.input, a.top))

    verify = sub.add_parser("verify", help="compare the program with the interpreter, needle's kernels, the module")
    verify.add_argument("path", type=Path)
    verify.add_argument("--model", help="package:name of the eager module")
    verify.set_defaults(run=lambda a: commands.verify_command(a.path, a.model))

    bench = sub.add_parser("bench", help="time the compiled program")
    bench.add_argument("path", type=Path)
    bench.add_argument("--batch", type=int, default=1)
    bench.add_argument("--threads", type=int, default=1)
    bench.add_argument("--seconds", type=float, default=1.0)
    bench.set_defaults(run=lambda a: commands.bench_command(a.path, a.batch, a.threads, a.seconds))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; mistakes are one line on standard error and status 2."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (DeployError, NeedleError, OSError) as error:
        print(f"needle-deploy {options.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
