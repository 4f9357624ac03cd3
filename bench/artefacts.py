"""`python -m bench artefacts [MODEL ...]`: what `needle-deploy build` leaves, in bytes and in time.

For each model of the zoo (by default resnet9), compiled anew with an empty cache: seconds of the compiler, bytes of
code (library less weights) with all instruction sets and with one, milliseconds from the start of the static command to
its answer, and the most memory it held (where GNU time is installed). Then what a call costs that computes nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy

import deploy
import zoo
from bench import load
from deploy.build import program_name
from deploy.compiler import compiler, variants
from deploy.sources import frozen

KB = 1024
CALLS = 200_000

EMPTY = r"""
#include <stdio.h>
#include <time.h>
#include "empty.h"
int main(int argc, char** argv) {
    float x[1] = {0}, y[1];
    empty_model* model = empty_create(NULL, 1, 1, NULL, 0);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < CALLS; ++i) empty_run(model, 1, x, y);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / CALLS);
    return argc + argv[0][0] == 0;
}
"""


def main(arguments: list[str]) -> int:
    """Print the table of each model, then the cost of a call."""
    load.warn(load.look())
    with tempfile.TemporaryDirectory(prefix="needle-bench-") as folder:
        os.environ["NEEDLE_HOME"] = str(Path(folder) / "home")
        for name in arguments or ["resnet9"]:
            show(name, artefacts(name, Path(folder)))
        show("a call that computes nothing", call_cost(Path(folder) / "empty"))
    return 0


def show(title: str, rows: dict[str, str]) -> None:
    print(f"\n{title}\n\n| | |\n|---|---|", flush=True)
    for what, value in rows.items():
        print(f"| {what} | {value} |", flush=True)


def artefacts(name: str, folder: Path) -> dict[str, str]:
    """The rows of one model."""
    record = zoo.entry(name)
    graph = frozen(zoo.load(name, pretrained=bool(record.shipped)), f"zoo:{name}")
    program = program_name(name)
    whole = deploy.build(graph, folder / name / "all", name=program)
    one = deploy.build(graph, folder / name / "one", name=program, levels=list(variants())[1:2] or None)
    warm = [took(lambda: deploy.build(graph, name=program)) for _ in range(5)]
    written = took(lambda: deploy.build(graph, folder / name / "again", name=program))
    weights = whole.weights.stat().st_size
    assert whole.executable is not None
    file = whole.executable.stat().st_size
    return {
        "compiling, all instruction sets": f"{whole.seconds:.1f} s",
        "from a warm cache": f"{median(warm):.2f} s",
        "from a warm cache, with the files written": f"{written:.2f} s",
        "weights": f"{weights / KB:.0f} KB",
        "code of the library, all instruction sets": f"{(whole.library.stat().st_size - weights) / KB:.0f} KB",
        "code of the library, one": f"{(one.library.stat().st_size - weights) / KB:.0f} KB",
        "static command beyond weights, the C library in it": f"{(file - weights) / KB:.0f} KB",
        "static command from its start to the answer": f"{1e3 * started(whole.executable):.2f} ms",
        "memory of the command, weights among it": most_memory(whole.executable),
    }


def took(run: Callable[[], object]) -> float:
    """The seconds of one run."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def started(path: Path) -> float:
    """The median time of a run of `path --self-test`."""
    command = [path, "--self-test"]
    return median(took(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)) for _ in range(50))


def most_memory(path: Path) -> str:
    """By a program of little memory of its own: what this process holds counts until another is in its place."""
    time_ = shutil.which("time")
    if time_ is None:
        return "unknown: GNU time is not installed"
    done = subprocess.run([time_, "-f", "%M", path, "--self-test"], capture_output=True, text=True, check=True)
    return f"{done.stderr.strip()} KB"


def call_cost(folder: Path) -> dict[str, str]:
    """Through the C interface and through Python, of a graph that gives back the one number that it is given."""
    graph = deploy.freeze(lambda x: x, numpy.zeros((1, 1), "float32"))
    built = deploy.build(graph, folder, name="empty", levels=list(variants())[1:2] or None)
    (folder / "main.c").write_text(EMPTY.replace("CALLS", str(CALLS)))
    parts = [*compiler(), "-x", "c", "-O2", "main.c", "-x", "none", "libempty.a", "-pthread", "-o", "main"]
    subprocess.run(parts, cwd=folder, check=True)
    run = [folder / "main"]
    found = [float(subprocess.run(run, capture_output=True, text=True, check=True).stdout) for _ in range(5)]
    compiled, x = deploy.Compiled(built.library, built.weights, max_batch=1), numpy.zeros((1, 1), "float32")
    ways = {"through Compiled": lambda: compiled(x)}
    with contextlib.suppress(ImportError):
        ways["through ONNX Runtime's InferenceSession"] = onnxruntime_session(graph, folder, x)
    return {"through C": f"{median(found) / 1e3:.3f} us"} | {way: f"{1e6 * each(ways[way]):.2f} us" for way in ways}


def onnxruntime_session(graph: Any, folder: Path, x: numpy.ndarray) -> Callable[[], Any]:
    """A run of the same graph by the peer."""
    import onnxruntime

    from deploy import onnx

    onnx.save(graph, folder / "empty.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "empty.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})


def each(call: Callable[[], Any]) -> float:
    """Seconds of a call: the median of rounds of a thousand."""
    rounds = []
    for _ in range(15):
        begin = time.perf_counter()
        for _ in range(1000):
            call()
        rounds.append((time.perf_counter() - begin) / 1000)
    return median(rounds)

