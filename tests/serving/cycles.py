"""Memory after many times loading and unloading a model: `python tests/serving/cycles.py [1000]` prints it as it goes.

Not part of the test suite, which tries a few; this takes a minute.
"""

import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from conftest import real
from flood import resident

from deploy import freeze
from needle import nn


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        freeze(nn.Linear(500, 1000), np.ones((1, 500), np.float32)).save(Path(folder) / "m.nd")
        with real("--models", f"{folder}/m.nd", "--engine", "instant") as server:
            for turn in range(count + 1):
                if turn % max(1, count // 10) == 0:
                    print(f"after {turn} cycles: {resident(server.process.pid):.1f} MiB", flush=True)
                for order in ("unload", "load"):
                    path = f"http://{server.address}/v2/repository/models/m/{order}"
                    urllib.request.urlopen(urllib.request.Request(path, b"{}"), timeout=60).close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
