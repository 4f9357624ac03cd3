"""Programs that are refused: malformed ones when they are made, runs that do not fit before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from needle.backend_ndarray.ndarray_backend_cpu import Program

C = [("const", n, 0) for n in range(20)]  # entry n is the number n
ONE_MAP = ("map", "Relu", [1], [], [(0, 0, 4), (1, 0, 4)])
POOLING = [1, 1, 1, 1, 1, 1, 2, 0, 0, 1, 1, 2, 0, 0, 1]  # one window of one position in either axis of two
TWO = [(0, 0, 4), (1, 0, 4)]
MALFORMED = {
    "size 0 must be const, dim, add, sub, mul, floordiv, ceildiv, min or max, got 'pow'": (0, [("pow", 1, 2)], []),
    "size 0 must be one of 1 dims, got 1": (1, [("dim", 1, 0)], []),
    "size 1 must be one of 1 dims, got -1": (1, [C[0], ("dim", -1, 0)], []),
    "size 1 must be made of entries before it, got add of (0, 1)": (0, [C[0], ("add", 0, 1)], []),
    "size 1 must be made of entries before it, got max of (-1, 0)": (0, [C[0], ("max", -1, 0)], []),
    "size 2 needs a divisor of at least 1, got floordiv of (1, 0)": (0, [*C[:2], ("floordiv", 1, 0)], []),
    "size 2 needs a divisor of at least 1, got ceildiv of (1, -1)": (
        0, [C[1], ("const", -1, 0), ("ceildiv", 0, 1)], [],
    ),
    "size 2 overflows, got mul of (4611686018427387904, 2)": (0, [("const", 2**62, 0), C[2], ("mul", 0, 1)], []),
    "size 2 overflows, got sub of (-9223372036854775808, 1)": (0, [("const", -(2**63), 0), C[1], ("sub", 0, 1)], []),
    "the number of dims must not be negative, got -1": (-1, [], []),
    "call 0 (tanh): must be a kernel of Program.kernels": (0, C, [("tanh", "", [], [], [])]),
    "call 1 (map): must have another functor than 'Nothing'": (0, C, [ONE_MAP, ("map", "Nothing", [1], [], TWO)]),
    "call 0 (map): must have another functor than ''": (0, C, [("map", "", [1], [], TWO)]),
    "call 0 (reduce): must have another functor than 'Relu'": (0, C, [("reduce", "Relu", [1, 1, 1], [], TWO)]),
    "call 0 (softmax): takes no functor, got 'Relu'": (0, C, [("softmax", "Relu", [1, 1], [], TWO)]),
    "call 0 (map): an integer must be an index into the 20 sizes, got 20": (0, C, [("map", "Relu", [20], [], TWO)]),
    "call 0 (map): an integer must be an index into the 20 sizes, got -1": (0, C, [("map", "Relu", [-1], [], TWO)]),
    "call 0 (map): an offset must be an index into the 20 sizes, got 20": (
        0, C, [("map", "Relu", [1], [], [(0, 20, 4), (1, 0, 4)])],
    ),
    "call 0 (map): an element has 1, 2, 4 or 8 bytes, got 3": (
        0, C, [("map", "Relu", [1], [], [(0, 0, 4), (1, 0, 3)])],
    ),
    "call 0 (map): a base must be 0..65535, got -1": (0, C, [("map", "Relu", [1], [], [(-1, 0, 4), (1, 0, 4)])]),
    "call 0 (map): a base must be 0..65535, got 65536": (0, C, [("map", "Relu", [1], [], [(0, 0, 4), (65536, 0, 4)])]),
    "call 0 (map): the number of integers must be 1, got 2": (0, C, [("map", "Relu", [1, 1], [], TWO)]),
    "call 0 (map): the number of numbers must be 2, got 1": (0, C, [("map", "Clip", [1], [1.0], TWO)]),
    "call 0 (map): the number of operands must be 3, got 2": (0, C, [("map", "Add", [1], [], TWO)]),
    "call 0 (map_strided): needs more than 0 integers: the rank is missing": (
        0, C, [("map_strided", "Relu", [], [], TWO)],
    ),
    "call 0 (map_strided): the rank must be 0..16, got 17": (0, C, [("map_strided", "Relu", [17], [], TWO)]),
    "call 0 (map_strided): the rank must not depend on the dims": (
        1, [("dim", 0, 0)], [("map_strided", "Relu", [0] * 4, [], TWO)],
    ),
    "call 0 (copy_strided): the number of integers must be 7, got 6": (0, C, [("copy_strided", "", [2] * 6, [], TWO)]),
    "call 0 (reduce): the number of operands must be 2, got 4": (0, C, [("reduce", "SumFold", [1, 1, 1], [], TWO * 2)]),
    "call 0 (reduce): needs scratch to reduce 4097 elements": (
        0, [*C[:2], ("const", 4097, 0)], [("reduce", "SumFold", [1, 2, 1], [], TWO)],
    ),
    "call 0 (reduce): the count, without scratch, must not depend on the dims": (
        1, [("dim", 0, 0), C[1]], [("reduce", "SumFold", [1, 0, 1], [], TWO)],
    ),
    "call 0 (layer_norm): the number of numbers must be 1, got 0": (0, C, [("layer_norm", "", [1, 1], [], TWO * 3)]),
    "call 0 (group_norm): groups must divide 4 channels, got 3": (
        0, C, [("group_norm", "", [1, 1, 4, 3], [1.0], [(0, 0, 4)] * 7)],
    ),
    "call 0 (group_norm): the number of groups must be 1..1048576, got 0": (
        0, C, [("group_norm", "", [1, 1, 4, 0], [1.0], [(0, 0, 4)] * 7)],
    ),
    "call 0 (max_pool): output 0 reads outside the axis of 2": (
        0, C, [("max_pool", "", [*POOLING[:7], 2, *POOLING[8:]], [], TWO)],
    ),
    "call 0 (max_pool): the number of integers must be 15, got 16": (0, C, [("max_pool", "", [*POOLING, 0], [], TWO)]),
    "call 0 (max_pool): needs more than 14 integers: a place in a window is missing": (
        0, C, [("max_pool", "", POOLING[:14], [], TWO)],
    ),
    "call 0 (resample): the number of numbers must be 2, got 1": (0, C, [("resample", "", POOLING, [1.0], TWO)]),
    "call 0 (conv): the stride must be 1..1048576, got 0": (0, C, [("conv", "", [1] * 6 + [0] * 6, [], TWO * 2)]),
    "call 0 (winograd_conv): a tile has 2 or 4 outputs, got 3": (
        0, [*C, ("const", 3, 0)], [("winograd_conv", "", [1] * 6 + [len(C)] + [1] * 5, [], TWO * 2)],
    ),
    "call 0 (conv): needs at least 12 integers, got 8": (0, C, [("conv", "", [1] * 8, [], TWO * 2)]),
    "call 0 (conv): a step must be 0..6, got 7": (0, C, [("conv", "", [1] * 12 + [7], [], TWO * 2)]),
    "call 0 (conv): the number of operands must be 5, got 4": (0, C, [("conv", "", [1] * 12 + [0, 2], [], TWO * 2)]),
    "call 0 (linear): an epilogue has at most 16 steps": (
        0, C, [("linear", "", [1] * 3 + [0] * 17, [], [(0, 0, 4)] * 3)],
    ),
    "call 0 (linear): a step must not depend on the dims": (
        1, [("dim", 0, 0), C[1]], [("linear", "", [1, 1, 1, 0], [], [(0, 1, 4)] * 3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", MALFORMED)
def test_a_malformed_program_is_refused_when_it_is_made(message: str) -> None:
    with pytest.raises(ValueError) as error:
        Program(*MALFORMED[message])
    assert str(error.value) == f"[Program] {message}"


def test_a_run_that_does_not_fit_is_refused_before_anything_is_written() -> None:
    sizes = [("dim", 0, 0), ("dim", 1, 0), ("const", 12, 0), ("floordiv", 2, 0), ("const", 0, 0), ("mul", 1, 1)]
    calls = [("map", "Negate", [3], [], [(0, 4, 4), (1, 4, 4)]), ("map", "Negate", [3], [], [(2, 4, 4), (0, 5, 4)])]
    runnable = Program(2, sizes, calls)
    x, fixed, wide = np.ones(12, "float32"), np.ones(12, "float32"), np.ones((12, 2), "float32")
    fixed.flags.writeable = False
    y, z = np.zeros(12, "float32"), np.zeros(12, "float32")
    refused: dict[str, tuple[Any, Any, int]] = {
        "needs 2 dims, got 1": ([1], [y, x, z], 1),
        "dims must not be negative, got (1, -1)": ([1, -1], [y, x, z], 1),
        "needs 3 bases, got 2": ([1, 0], [y, x], 1),
        "the number of threads must be 1..256, got 0": ([1, 0], [y, x, z], 0),
        "the number of threads must be 1..256, got 257": ([1, 0], [y, x, z], 257),
        "size 3 needs a divisor of at least 1, got floordiv of (12, 0)": ([0, 0], [y, x, z], 1),
        "size 5 overflows, got mul of (4611686018427387904, 4611686018427387904)": ([1, 2**62], [y, x, z], 1),
        "call 1 (map): operand 1 starts at byte 49 of the 48 of base 0": ([1, 7], [y, x, z], 1),
        "call 1 (map): operand 1 must be aligned to its 4 bytes, got byte 9 of base 0": ([1, 3], [y, x, z], 1),
        "call 1 (map): operand 0 is written, but base 2 is read-only": ([1, 2], [y, x, fixed], 1),
        "base 1 must be a C-contiguous buffer, got ndarray": ([1, 2], [y, wide[:, 0], z], 1),
        "base 2 must be a C-contiguous buffer, got list": ([1, 2], [y, x, [1.0]], 1),
    }
    for message, arguments in refused.items():
        with pytest.raises(ValueError) as error:
            runnable.run(*arguments)
        assert str(error.value) == f"[Program] {message}"
        assert not y.any() and not z.any()
    runnable.run([1, 0], [y, fixed, z], 1)
    assert (z == 1).all()
