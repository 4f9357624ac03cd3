"""Corners of operators that the official cases leave out, beside ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from deploy import Instant, interpreter
from deploy import onnx as exchange
from deploy.compare import relative_error
from tests.deploy.onnx_models import INT64, helper, model, node, onnx, value

runtime = pytest.importorskip("onnxruntime")
draw = np.random.default_rng(0)
BYTE, INT32 = 2, 6


def agree(data: bytes, *arrays: np.ndarray, instant: bool = True) -> None:
    """What the interpreter and, if it may, a program gives is what ONNX Runtime gives."""
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, dict(zip([x.name for x in session.get_inputs()], arrays, strict=True)))
    graph = exchange.loads(data)
    given = dict(zip([x.op.name for x in graph.inputs], arrays, strict=True))
    for found in [interpreter.run(graph, given), *([Instant(graph).run(**given)] if instant else [])]:
        (y,) = found.values()
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        assert relative_error(y, expected) < 1e-5


@pytest.mark.parametrize("opset", [11, 12])
@pytest.mark.parametrize("how", ["nearest floor", "nearest round_prefer_ceil", "linear floor"])
def test_half_pixels_of_tensorflow_are_not_those_of_others(how: str, opset: int) -> None:
    mode, rounding = how.split()
    resize = node("Resize", ["x", "roi", "by"], ["y"], mode=mode, nearest_mode=rounding,
                  coordinate_transformation_mode="tf_half_pixel_for_nn")  # fmt: skip
    for by in (2, 1.5):
        arrays = {"roi": np.zeros(0, "float32"), "by": np.array([1, 1, by, by], "float32")}
        data = model([resize], [value("x", ["n", 1, 4, 5])], [value("y", [None] * 4)], arrays, opset)
        agree(data, draw.random((1, 1, 4, 5), "float32"))
    if how == "nearest floor":  # of an open size every element is repeated
        arrays["by"] = np.array([1, 1, 2, 2], "float32")
        data = model([resize], [value("x", [1, 1, "h", 5])], [value("y", [None] * 4)], arrays, opset)
        agree(data, draw.random((1, 1, 3, 5), "float32"))


@pytest.mark.parametrize("auto", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_a_transposed_convolution_of_a_given_size_pads_more_in_front(auto: str) -> None:
    for stride in ([1, 1], [2, 3]):
        shape = [3 * n + 4 - n - 1 for n in stride]
        transposed = node("ConvTranspose", ["x", "w"], ["y"], strides=stride, output_shape=shape, auto_pad=auto)
        data = model([transposed], [value("x", [2, 2, 4, 4])], [value("y", [None] * 4)],
                     {"w": draw.random((2, 3, 4, 4), "float32")}, 11)  # fmt: skip
        agree(data, draw.random((2, 2, 4, 4), "float32"))


@pytest.mark.parametrize("part", [(-10, -9, -1), (-10, -(2**31), -1), (4, -10, -2), (9, 0, -3), (-3, 9, 2), (3, 1, 1)])
def test_slices_that_begin_before_the_first_element(part: tuple[int, int, int]) -> None:
    arrays = {name: np.array([n]) for name, n in zip(("start", "end", "step"), part, strict=True)}
    cut = node("Slice", ["x", "start", "end", "axis", "step"], ["y"])
    agree(model([cut], [value("x", [5, 2])], [value("y", [None, 2])], {**arrays, "axis": np.array([0])}),
          draw.random((5, 2), "float32"))  # fmt: skip


@pytest.mark.parametrize("part", [(1, -1), (2, 5), (0, -1), (-3, 2**63 - 1), (-5, -2), (3, 2), (2, 2**63 - 1)])
@pytest.mark.parametrize("step", [1, 2])
def test_slices_of_an_open_axis_may_be_empty(part: tuple[int, int], step: int) -> None:
    arrays = {"start": np.array([part[0]]), "end": np.array([part[1]]), "axis": np.array([0]), "step": np.array([step])}
    cut = node("Slice", ["x", "start", "end", "axis", "step"], ["y"])
    data = model([cut], [value("x", ["n", 2])], [value("y", [None, 2])], arrays)
    for n in (1, 2, 3, 4, 6, 9):
        agree(data, draw.random((n, 2), "float32"), instant=False)


@pytest.mark.parametrize(("operator", "attributes"), [("Div", {}), ("Mod", {}), ("Mod", {"fmod": 1})], ids=str)
def test_quotients_of_sizes_below_zero_are_rounded_to_zero(operator: str, attributes: dict[str, int]) -> None:
    """(sign (n - less)) / 2 and its remainder, whatever is known of n."""
    for less in (0, 1, 3, 9):
        for sign in (1, -1):
            numbers = {"place": np.array(0), "less": np.array(less), "sign": np.array(sign), "two": np.array(2)}
            nodes = [
                node("Shape", ["x"], ["s"]), node("Gather", ["s", "place"], ["n"]), node("Sub", ["n", "less"], ["d"]),
                node("Mul", ["d", "sign"], ["m"]), node(operator, ["m", "two"], ["y"], **attributes),
            ]  # fmt: skip
            data = model(nodes, [value("x", ["n"])], [value("y", [], INT64)], numbers)
            for n in (1, 2, 5, 8):
                agree(data, np.zeros(n, "float32"), instant=False)


def test_a_size_whose_quotient_is_a_shape_is_large_enough() -> None:
    """(n - 3) / 2 + 1 elements: n is 4 or more, the first of those tried for which rounding is one thing."""
    numbers = {"place": np.array([0]), "three": np.array([3]), "two": np.array([2]), "one": np.array([1])}
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "place"], ["n"]), node("Sub", ["n", "three"], ["d"]),
        node("Div", ["d", "two"], ["q"]), node("Add", ["q", "one"], ["k"]), node("Expand", ["half", "k"], ["y"]),
    ]  # fmt: skip
    data = model(nodes, [value("x", ["n"])], [value("y", [None])], {**numbers, "half": np.array([0.5], "float32")})
    for n in (4, 5, 6, 9):
        agree(data, np.zeros(n, "float32"))


@pytest.mark.parametrize("ends", [(0, 1), (1, 3), (-1, 99), (-2, -1)])
def test_a_shape_is_cut_by_attributes_too(ends: tuple[int, int]) -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("Slice", ["s"], ["d"], starts=ends[:1], ends=ends[1:], axes=[0])]
    nodes.append(node("Expand", ["one", "d"], ["y"]))
    data = model(nodes, [value("x", ["n", 2, 3])], [value("y", [None])], {"one": np.ones(1, "float32")}, 9)
    agree(data, np.zeros((4, 2, 3), "float32"))


@pytest.mark.parametrize("mode", ["avg", "max"])
def test_regions_that_are_empty_are_zero(mode: str) -> None:
    boxes = np.array([[1, 1, 3, 3], [2, 2, 2, 2], [0, 0, 0, 5]], "float32")
    align = node("RoiAlign", ["x", "boxes", "image"], ["y"], mode=mode, output_height=2, output_width=2)
    ports = [value("x", [1, 2, 6, 6]), value("boxes", ["n", 4]), value("image", ["n"], INT64)]
    data = model([align], ports, [value("y", [None] * 4)], opset=16)
    agree(data, draw.random((1, 2, 6, 6), "float32"), boxes, np.zeros(3, "int64"), instant=False)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("opset", [11, 13])
def test_a_softmax_of_bytes_is_that_of_the_opset_it_names(axis: int, opset: int) -> None:
    softmax = helper.make_node(
        "QLinearSoftmax", ["x", "xs", "xz", "ys", "yz"], ["y"], domain="com.microsoft", axis=axis, opset=opset
    )
    arrays = {"xs": np.float32(0.05), "xz": np.uint8(128), "ys": np.float32(1 / 256), "yz": np.uint8(0)}
    data = model([softmax], [value("x", [2, 3, 4], BYTE)], [value("y", [2, 3, 4], BYTE)], arrays)
    made = onnx.ModelProto.FromString(data)
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    agree(made.SerializeToString(), draw.integers(0, 256, (2, 3, 4)).astype("uint8"))


@pytest.mark.parametrize("exponent", [-2, -1, 3])
def test_powers_of_whole_numbers_are_rounded_to_zero(exponent: int) -> None:
    for kind, dtype in ((INT64, "int64"), (INT32, "int32")):
        data = model([node("Pow", ["x", "e"], ["y"])], [value("x", [5], kind)], [value("y", [5], kind)],
                     {"e": np.array(exponent)})  # fmt: skip
        agree(data, np.array([1, 2, -1, -2, 3], dtype))
