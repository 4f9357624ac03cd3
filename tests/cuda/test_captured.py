"""Calls of CUDA programs are captured once and started again: each time with the inputs of that time."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from deploy import Compiled, Graph, freeze
from needle import nn

from .test_programs import emulated

COUNTS = Path(__file__).with_name("counts.cpp")
KEPT = 8  # how many captured calls a program keeps
pytestmark = pytest.mark.thorough
MODEL = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm1d(7), nn.Linear(7, 3))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return freeze(MODEL, ndl.Tensor(np.ones((1, 5))))


@pytest.fixture(scope="module")
def folder(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("captured")
    emulated(graph, made, COUNTS)
    return made


class Watched:
    """A program in the emulator, and what that has counted since it was opened."""

    def __init__(self, folder: Path, max_batch: int) -> None:
        self.library: Any = ctypes.CDLL(str(folder / "libmodel.so"))
        self.library.emulator_take.restype = ctypes.c_void_p
        self.before = [self.library.emulator_launches(), self.library.emulator_captures()]
        self.program = Compiled(folder / "libmodel.so", folder / "model.weights", max_batch=max_batch)

    @property
    def launches(self) -> int:
        return int(self.library.emulator_launches()) - self.before[0]

    @property
    def captures(self) -> int:
        return int(self.library.emulator_captures()) - self.before[1]

    def memory(self, values: np.ndarray) -> int:
        """Memory of the device that holds the values."""
        at = int(self.library.emulator_take(ctypes.c_size_t(values.nbytes)))
        self.copy(at, values.ctypes.data, values.nbytes)
        return at

    def copy(self, to: int, source: int, count: int) -> None:
        self.library.emulator_copy(ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(count))

    def run_device(self, x: int, y: int, batch: int) -> np.ndarray:
        """What a call with memory of the device leaves at y."""
        sizes, operands = (ctypes.c_int64 * 1)(batch), (ctypes.c_void_p * 2)(x, y)
        assert self.library.model_call_device(ctypes.c_void_p(self.program._model), sizes, operands) == 0
        answer = np.empty((batch, 3), "float32")
        self.copy(answer.ctypes.data, y, answer.nbytes)
        return answer


def draw(batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An input, and what the model answers."""
    x = np.random.default_rng(seed).standard_normal((batch, 5)).astype("float32")
    return x, MODEL(ndl.Tensor(x)).numpy()


def test_a_second_call_starts_what_the_program_captured_when_it_was_made(folder: Path) -> None:
    watched = Watched(folder, max_batch=3)
    assert (watched.captures, watched.launches) == (1, 0)
    each = 0
    for seed in range(3):
        x, expected = draw(3, seed)
        np.testing.assert_allclose(watched.program(x), expected, rtol=1e-5, atol=1e-6)
        each = each or watched.launches
        assert watched.captures == 1 and watched.launches == each * (seed + 1) > 0


def test_the_last_sizes_are_kept(folder: Path) -> None:
    watched, most = Watched(folder, max_batch=KEPT + 2), KEPT + 2

    def captures(batch: int) -> int:
        before, (x, expected) = watched.captures, draw(batch, watched.launches)
        np.testing.assert_allclose(watched.program(x), expected, rtol=1e-5, atol=1e-6)
        return watched.captures - before

    assert [captures(batch) for batch in (2, 5, 2, most, 5)] == [1, 1, 0, 0, 0]
    assert [captures(batch) for batch in range(1, most + 1)] == [1, 0, 1, 1, 0, 1, 1, 1, 1, 1]
    assert [captures(batch) for batch in range(most, 2, -1)] == [0] * KEPT
    assert [captures(batch) for batch in (1, 2, 3, 10, 9)] == [1, 1, 0, 1, 1]


def test_pointers_of_the_device_are_those_of_the_call(folder: Path) -> None:
    watched = Watched(folder, max_batch=4)
    (x, of_x), (other, of_other) = draw(2, 0), draw(2, 1)
    empty = np.zeros((4, 3), "float32")
    first, second, y, z = (watched.memory(values) for values in (x, other, empty, empty))
    for _ in range(2):
        np.testing.assert_allclose(watched.run_device(first, y, 2), of_x, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(watched.run_device(second, z, 2), of_other, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(watched.run_device(first, y, 1), of_x[:1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(watched.program(other), of_other, rtol=1e-5, atol=1e-6)
    assert watched.captures == 5  # one of them when the program was made
    watched.copy(first, other.ctypes.data, other.nbytes)
    np.testing.assert_allclose(watched.run_device(first, y, 2), of_other, rtol=1e-5, atol=1e-6)
    assert watched.captures == 5


def test_a_program_stays_on_the_device_that_it_was_made_on(folder: Path) -> None:
    library: Any = ctypes.CDLL(str(folder / "libmodel.so"))
    library.emulator_use(1)
    there = Watched(folder, max_batch=2)
    library.emulator_use(0)
    here = Watched(folder, max_batch=2)
    for seed in range(2):
        x, expected = draw(2, seed)
        for watched in (here, there):
            np.testing.assert_allclose(watched.program(x), expected, rtol=1e-5, atol=1e-6)
