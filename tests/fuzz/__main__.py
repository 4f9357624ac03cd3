"""`python -m tests.fuzz --calls 100000 --seed 0`: random calls of needle's surface, with only documented outcomes.

`python -m tests.fuzz onnx` reads changed ONNX files instead; of them only what has the root NeedleError may come.

A call may give a value, or raise

- an exception of `needle.errors` (or another one with the root NeedleError),
- TypeError for an argument of a kind that makes no sense, as Python's own functions do,
- ValueError whose message begins with the place in brackets,
- ValueError of numpy's own, "the truth value of an array", for an array where one number or flag belongs,
- MemoryError for sizes that no machine has.

Anything else fails: other exceptions, a crash, a hang, memory beyond a limit. The calls run in processes of their own,
CHUNK at a time, which note each call before they make it. What failed is printed with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

CHUNK = 10_000
MEMORY = 4 << 30  # bytes of address space
SECONDS_EACH, SECONDS = 20, 600  # for a call, and for a chunk


def allowed(error: BaseException) -> bool:
    """Whether a call may raise this."""
    from needle.errors import NeedleError

    if isinstance(error, NeedleError | MemoryError | TypeError):
        return True
    return isinstance(error, ValueError) and str(error).startswith(("[", "The truth value of an"))


def _too_long(*_: object) -> None:
    raise TimeoutError(f"no end after {SECONDS_EACH} s")


def run_chunk(surface: str, seed: int, calls: int, note: Path) -> int:
    """Make the calls of one chunk; print a line for each failure, then how many gave a value. 1 if any failed."""
    import numpy

    from needle.errors import NeedleError
    from tests.fuzz import calls as surface_calls
    from tests.fuzz import models
    from tests.fuzz.draw import Draw

    reads = surface == "onnx"
    draw_call = models.draw_call if reads else surface_calls.draw_call
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    numpy.random.seed(seed)
    signal.signal(signal.SIGALRM, _too_long)
    draw: Any = random.Random(seed) if reads else Draw(seed)
    values, failures = 0, Counter[str]()
    noted = os.open(note, os.O_WRONLY)  # once: to open a file takes longer than most calls
    for number in range(calls):
        text, run = draw_call(draw)
        os.pwrite(noted, f"call {number}: {text}\0".encode(), 0)
        signal.alarm(SECONDS_EACH)
        try:
            run()
            values += 1
        except Exception as error:
            if not (isinstance(error, NeedleError | MemoryError) if reads else allowed(error)):
                where = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
                failures[place] += 1
                if failures[place] == 1:
                    print(f"seed {seed} call {number}: {text}\n    {place}: {error!s:.300}")
    signal.alarm(0)
    os.close(noted)
    for place, count in failures.items():
        print(f"  {count:5} x {place}")
    print(f"values {values}", flush=True)
    return 1 if failures else 0


def _noted(note: str) -> str:
    """The call that a chunk was in: over what an earlier one left, up to a zero byte."""
    return Path(note).read_bytes().split(b"\0")[0].decode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("surface", nargs="?", default="calls", choices=("calls", "onnx"))
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunk", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chunk:
        return run_chunk(args.surface, args.seed, args.calls, Path(args.chunk))
    failed = values = 0
    for start in range(0, args.calls, CHUNK):
        calls, seed = min(CHUNK, args.calls - start), args.seed * 1_000_003 + start
        with tempfile.NamedTemporaryFile() as note:
            options = ["--seed", str(seed), "--calls", str(calls), "--chunk", note.name]
            command = [sys.executable, "-m", "tests.fuzz", args.surface, *options]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=os.environ)
            except subprocess.TimeoutExpired:
                print(f"seed {seed}: no end after {SECONDS} s, at {_noted(note.name)}")
                failed += 1
                continue
            if done.returncode not in (0, 1) or "values" not in done.stdout:
                print(f"seed {seed}: exit {done.returncode} in {_noted(note.name)}\n{done.stderr[-2000:]}")
                failed += 1
                continue
            failed += done.returncode
            *lines, last = done.stdout.splitlines()
            values += int(last.split()[1])
            if lines:
                print("\n".join(lines), flush=True)
    verdict = f"{failed} chunks FAILED" if failed else "the others a documented exception"
    print(f"{args.calls} calls, {values} gave a value, {verdict}")
    return 1 if failed or values < args.calls // 10 else 0


if __name__ == "__main__":
    sys.exit(main())
