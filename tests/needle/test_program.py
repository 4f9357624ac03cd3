"""Programs of kernel calls: every kernel against numpy, sizes that follow the dims, several callers, any memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from needle.backend_ndarray import NDArray, cpu
from needle.backend_ndarray.kernels import kernels
from needle.ops.pointwise import Pointwise, PointwiseGradient
from tests.cases import CASES as CASES_OF_OPS
from tests.needle import program_cases
from tests.needle.program_byte_cases import BYTE_CASES
from tests.needle.program_cases import (
    EPILOGUES,
    Arrays,
    Case,
    Program,
    conv,
    empty,
    linear,
    normal,
    pointwise,
    program,
)
from tests.needle.program_element_cases import ELEMENT_CASES
from tests.needle.program_sequence_cases import SEQUENCE_CASES

CASES = [*program_cases.CASES, *ELEMENT_CASES, *SEQUENCE_CASES, *BYTE_CASES]


def results(runnable: Any, n: int, given: tuple[Arrays, dict[int, Any]], threads: int) -> Arrays:
    arrays, expected = given
    arrays = [array.copy() for array in arrays]
    runnable.run([n], arrays, threads)
    return [arrays[i] for i in expected]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kernel}-{case.functor or len(case.integers)}")
def test_each_kernel_follows_numpy_with_the_same_bits_for_all_threads(case: Case) -> None:
    runnable = program(case)
    for n in (1, 9):
        given = case.given(n)
        alone, shared = results(runnable, n, given, 1), results(runnable, n, given, 2)
        for got, again, wanted in zip(alone, shared, given[1].values(), strict=True):
            np.testing.assert_array_equal(got, again)
            np.testing.assert_allclose(got, np.reshape(wanted, got.shape), rtol=2e-4, atol=2e-5)


def test_every_kernel_has_a_case() -> None:
    assert set(Program.kernels) == {case.kernel for case in CASES}
    for case in CASES:
        integers, numbers, operands = Program.kernels[case.kernel]
        assert integers in (-1, len(case.integers))
        assert numbers in (-1, len(case.numbers))
        assert operands in (-1, len(case.given(1)[0]))


def test_every_pointwise_op_is_a_functor() -> None:
    """With the numbers and the operands of its samples."""
    samples = [case for case in CASES_OF_OPS if isinstance(case.op, Pointwise | PointwiseGradient)]
    assert len({case.op.functor for case in samples}) > 40
    for case in samples:
        operands = [(k, 0, 4) for k in range(1 + len(case.inputs))]
        Program(0, [("const", 0, 0)], [("map", case.op.functor, [0], list(case.op.numbers), operands)])


@pytest.mark.parametrize("case", [conv((9, 8, 5, 37, 3, 2, 1), EPILOGUES[-1]), linear(70, 45, EPILOGUES[-1])])
def test_an_image_has_the_same_bits_in_every_batch(case: Case) -> None:
    runnable = program(case)
    (x, w, y, *rest), _ = case.given(9)
    runnable.run([9], [x, w, y, *rest], 2)
    rest = [array[:1].copy() if len(array) == 9 else array for array in rest]
    alone = np.empty_like(y[:1])
    runnable.run([1], [x[:1].copy(), w, alone, *rest], 1)
    np.testing.assert_array_equal(alone, y[:1])


def test_convolution_has_the_bits_of_eager_code() -> None:
    runnable = program(conv((9, 8, 5, 37, 3, 2, 1), []))
    (x, w, y, scratch), _ = conv((9, 8, 5, 37, 3, 2, 1), []).given(9)
    runnable.run([9], [x, w, y, scratch], 1)
    compiled = kernels(NDArray([0.0], device=cpu()))
    eager = compiled.conv(NDArray(x, device=cpu()), NDArray(normal(3, 3, 5, 37), device=cpu()), 2, 1)
    np.testing.assert_array_equal(eager.numpy(), y)


def test_calls_run_in_order_and_offsets_are_expressions_in_bytes() -> None:
    """relu into the arena, then a sum of its rows: of rows that begin behind a header that depends on both dims."""
    sizes = [
        ("dim", 0, 0), ("dim", 1, 0), ("const", 4, 0), ("const", 30, 0), ("mul", 0, 3),  # 4: elements
        ("mul", 1, 2), ("const", 0, 0), ("const", 1, 0), ("mul", 4, 2), ("add", 5, 8),  # 5: bytes before, 9: behind
    ]  # fmt: skip
    calls = [
        ("map", "Relu", [4], [], [(0, 5, 4), (1, 6, 4)]),
        ("map", "Negate", [4], [], [(0, 9, 4), (0, 5, 4)]),
        ("reduce", "SumFold", [0, 3, 7], [], [(0, 9, 4), (2, 6, 4)]),
    ]
    runnable = Program(2, sizes, calls)
    for n, before in ((2, 3), (5, 16)):
        arena, x, y = empty(before + 2 * 30 * n), normal(n, 30), empty(n)
        runnable.run((n, before), (arena, x, y), 1)
        np.testing.assert_allclose(y, -np.maximum(x, 0).sum(1), rtol=1e-5)
        assert np.isnan(arena[:before]).all()


EXPRESSIONS = [
    ("add", 7, -2, 5), ("sub", 7, 9, -2), ("mul", -3, 4, -12), ("floordiv", 7, 2, 3), ("floordiv", -7, 2, -4),
    ("floordiv", -8, 2, -4), ("ceildiv", 7, 2, 4), ("ceildiv", -7, 2, -3), ("ceildiv", 8, 2, 4), ("min", -3, 2, -3),
    ("max", -3, 2, 2), ("floordiv", 0, 5, 0), ("sub", 0, 2**63 - 1, 1 - 2**63),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "a", "b", "value"), EXPRESSIONS)
@pytest.mark.parametrize("first", ["const", "dim"])
def test_expressions_are_those_of_python(operation: str, a: int, b: int, value: int, first: str) -> None:
    """Known when a program is made, or in a run; seen as where an operand starts, in the message that refuses it."""
    sizes = [(first, 0, 0), ("const", a, 0), ("add", 0, 1), ("const", b, 0), (operation, 2, 3)]
    sizes += [("const", value, 0), ("sub", 4, 5), ("const", 77, 0), ("add", 6, 7)]
    with pytest.raises(ValueError, match=r"operand 1 starts at byte 77 of the 64 of base 1"):
        nothing = [("map", "Relu", [6], [], [(0, 6, 4), (1, 8, 4)])]
        Program(1, sizes, nothing).run([0], [np.zeros(16, "float32"), np.zeros(16, "float32")], 1)


def test_several_callers_at_once() -> None:
    """One program, bases of their own, on one pool and on different ones."""
    case = conv((9, 8, 5, 37, 3, 2, 1), EPILOGUES[-1])
    runnable, wrong = program(case), []
    given = {n: case.given(n) for n in (2, 9)}
    wanted = {n: results(runnable, n, given[n], 1) for n in given}

    def call(n: int, threads: int) -> None:
        for _ in range(40):
            if not np.array_equal(results(runnable, n, given[n], threads)[0], wanted[n][0]):
                wrong.append((n, threads))

    callers = [threading.Thread(target=call, args=each) for each in ((2, 2), (9, 2), (9, 1))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_bases_are_any_memory(tmp_path: Path) -> None:
    runnable = program(pointwise("Relu", [], lambda x: np.maximum(x, 0), 1))
    x, y = normal(1, 20011), bytearray(4 * 20011)
    x.tofile(tmp_path / "x")
    for given in (np.memmap(tmp_path / "x", mode="r"), x.tobytes(), memoryview(x), x.astype("float32").view("int32")):
        y[:] = bytes(len(y))
        runnable.run([1], [y, given, b"not used"], 1)
        np.testing.assert_array_equal(np.frombuffer(y, "float32"), np.maximum(x, 0)[0])


def test_a_program_without_calls() -> None:
    Program(0, [], []).run([], [], 1)
    Program(1, [("dim", 0, 0)], []).run([3], [], 2)
    Program.__new__(Program).run([], [], 1)
