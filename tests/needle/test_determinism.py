"""A run is a function of its seed: the same bits for any number of threads, with AVX2 as with AVX-512, and as ever."""

import os
import subprocess
import sys

import pytest

from needle.backend_ndarray import ndarray_backend_cpu
from tests import goldens

THREE = list(goldens.golden("processes").values())


@pytest.mark.parametrize("threads", [*(pytest.param(n, marks=pytest.mark.thorough) for n in "12"), "4"])
def test_threads_do_not_change_the_trained_weights(threads: str) -> None:
    assert goldens.trained_in_a_process(NEEDLE_NUM_THREADS=threads) == THREE
    assert len(set(THREE)) == 3


def test_register_width_does_not_change_the_trained_weights() -> None:
    asked = os.environ | {"NEEDLE_ISA": "v3"}
    program = "from needle.backend_ndarray.ndarray_backend_cpu import __isa__; print(__isa__)"
    chosen = subprocess.run(
        [sys.executable, "-c", program], env=asked, capture_output=True, text=True, check=True
    ).stdout
    if (ndarray_backend_cpu.__isa__, chosen.strip()) != ("x86-64-v4", "x86-64-v3"):
        pytest.skip(
            "needs a processor with AVX-512 and an extension with the kernels of AVX2 as well (make test VARIANTS=all)"
        )
    assert goldens.trained_in_a_process(NEEDLE_ISA="v3") == THREE
