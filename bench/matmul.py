"""Square single-precision matrix products beside numpy's BLAS, both on as many threads as the environment says."""

from __future__ import annotations

import numpy as np

from bench.timing import interleaved, report
from needle.backend_ndarray import NDArray, cpu

SIZES = (256, 512, 1024, 2048)


def measure(n: int) -> tuple[float, float]:
    """Median seconds of (n, n) @ (n, n): needle's and numpy's."""
    rng = np.random.default_rng(n)
    a, b = (rng.standard_normal((n, n), np.float32) for _ in range(2))
    x, y = NDArray(a, device=cpu()), NDArray(b, device=cpu())
    return interleaved(lambda: x @ y, lambda: a @ b)


def run() -> list[tuple[str, float, float]]:
    """Rows (name, seconds of needle, seconds of numpy)."""
    return [(f"matmul {n}", *measure(n)) for n in SIZES]


if __name__ == "__main__":
    for name, ours, peer in run():
        report(name, ours, peer, "numpy")
