"""A run is a function of its seed: the same bits for any number of threads, with AVX2 as with AVX-512, and as ever."""

import pytest

from tests import goldens

THREE = list(goldens.golden("processes").values())


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_threads_do_not_change_the_trained_weights(threads: str) -> None:
    assert goldens.trained_in_a_process(NEEDLE_NUM_THREADS=threads) == THREE
    assert len(set(THREE)) == 3


def test_register_width_does_not_change_the_trained_weights() -> None:
    from needle.backend_ndarray import ndarray_backend_cpu

    if ndarray_backend_cpu.__isa__ != "x86-64-v4":
        pytest.skip("needs a processor with both AVX2 and AVX-512")
    assert goldens.trained_in_a_process(NEEDLE_ISA="v3") == THREE
