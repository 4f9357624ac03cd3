"""The memory that a program takes at its peak, beyond what its process had: measured in a process of its own.

`python -m bench.memory MODULE.FUNCTION SIZES` prints the bytes; SIZES are JSON. Linux alone says them, in /proc.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

CALLS = 3  # of the program: caches and the state of optimizers are there after the first


def peak(make: str, *sizes: Any) -> int:
    """The bytes at the peak of building and calling what `make`, a name in `bench.cases`, gives for these sizes."""
    command = [sys.executable, "-m", "bench.memory", make, json.dumps(sizes)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _status(field: str) -> int:
    """A number of bytes that the system keeps of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(make: str, sizes: str) -> None:
    import numpy as np

    module, function = make.split(".")
    build = getattr(import_module(f"bench.cases.{module}"), function)(*json.loads(sizes))  # which imports what it needs
    np.random.seed(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = _status("VmRSS")
    run = build()
    for _ in range(CALLS):
        run()
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
