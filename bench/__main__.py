"""`python -m bench [name ...]`: run the benchmarks, print the ratios and write docs/benchmarks.md.

Each benchmark is a module of this package that prints JSON lines; it runs in a process of its own, with the number of
threads its comparison is about. One whose peer is not installed is skipped and said to be.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

# name -> (threads, the libraries it needs, what it compares)
BENCHMARKS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "matmul": (1, ("numpy",), "Matrix product beside numpy's BLAS"),
    "training": (2, ("torch",), "Eager training steps beside PyTorch"),
    "epoch": (2, ("torch",), "One epoch of ResNet9 on CIFAR-10, augmentation included"),
    "loader": (2, (), "A training step fed by the data loader beside the step alone"),
    "kernels": (2, ("torch",), "Fused kernels beside PyTorch"),
    "compiled": (1, ("onnx", "onnxruntime"), "Compiled models beside ONNX Runtime"),
}
THREAD_VARIABLES = ("NEEDLE_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
REPORT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def run(name: str) -> list[dict[str, Any]]:
    """The measurements of one benchmark; empty, with a word on stderr, when a peer is missing."""
    threads, needs, _ = BENCHMARKS[name]
    missing = [library for library in needs if importlib.util.find_spec(library) is None]
    if missing:
        print(f"{name}: skipped, {', '.join(missing)} not installed", file=sys.stderr)
        return []
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run([sys.executable, "-m", f"bench.{name}"], env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{name}: failed with exit code {done.returncode}", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def duration(seconds: float | None) -> str:
    """Three significant digits with a unit that suits."""
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements as a Markdown table.

    The ratio is the peer's time over ours, above 1 where needle is faster; for costs, ours over the peer's.
    """
    cost = all(row.get("cost") for row in rows)
    lines = [f"| | needle | peer | {'needle / peer' if cost else 'peer / needle'} |", "|---|---|---|---|"]
    for row in rows:
        over, under = (row["ours"], row["peer"]) if cost else (row["peer"], row["ours"])
        ratio = f"**{over / under:.2f}x**" if row["peer"] else ""
        times = f"{duration(row['ours'])} | {duration(row['peer'])} {row['peer_name']}"
        lines.append(f"| {row['name']} | {times} | {ratio} |")
    return "\n".join(lines)


def processor() -> str:
    """What this machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    text = [
        "# Benchmarks",
        "",
        f"Printed by `make bench` on {processor()}, {os.cpu_count()} processors. Both programs run in one process in",
        "the order A B A B; the figures are medians, and the ratio is what counts: above 1, needle is faster.",
    ]
    for name in chosen:
        rows = run(name)
        if rows:
            print(f"\n{BENCHMARKS[name][2]}\n{table(rows)}", flush=True)
            text += ["", f"## {BENCHMARKS[name][2]}", "", table(rows)]
    if not sys.argv[1:]:
        REPORT.write_text("\n".join(text) + "\n")
        print(f"\nwritten to {REPORT.relative_to(Path.cwd()) if REPORT.is_relative_to(Path.cwd()) else REPORT}")


if __name__ == "__main__":
    main()
