"""ONNX files with a few changes, of bytes or of what they mean: reading one gives a graph or an OnnxError."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

OPERATORS = (
    "Relu", "Conv", "Reshape", "Slice", "Concat", "Gather", "Resize", "LSTM", "Loop", "If", "Expand", "Tile", "Pad",
    "TopK", "Split", "QuantizeLinear", "ConstantOfShape", "Range", "Einsum", "Unsqueeze", "Nothing",
)  # fmt: skip
NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 2**16, 2**31 - 1, 2**40, 2**63 - 1)


@cache
def samples() -> list[bytes]:
    """Small models of many operators."""
    from onnx import helper, numpy_helper

    def made(nodes: list[Any], inputs: list[Any], outputs: list[Any], **arrays: Any) -> bytes:
        tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()]
        graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        data: bytes = model.SerializeToString()
        return data

    def value(name: str, *shape: Any, kind: int = 1) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    node, ones = helper.make_node, np.ones
    body = helper.make_graph([node("Add", ["v", "v"], ["w"]), node("Identity", ["c"], ["d"])], "body",
                             [value("i", kind=7), value("c", kind=9), value("v", "n")],
                             [value("d", kind=9), value("w", "n")])  # fmt: skip
    branch = helper.make_graph([node("Neg", ["x"], ["b"])], "branch", [], [value("b", "n")])
    return [
        made([node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 0, 0], strides=[2, 2]), node("Relu", ["c"], ["r"]),
              node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]), node("GlobalAveragePool", ["p"], ["a"]),
              node("Flatten", ["a"], ["f"]), node("Gemm", ["f", "m"], ["y"], transB=1)],
             [value("x", "n", 2, 8, 8)], [value("y", "n", 3)],
             w=ones((4, 2, 3, 3), "float32"), b=ones(4, "float32"), m=ones((3, 4), "float32")),
        made([node("Shape", ["x"], ["s"]), node("Gather", ["s", "i"], ["g"], axis=0), node("Concat", ["g", "t"], ["h"],
              axis=0), node("Reshape", ["x", "h"], ["r"]), node("Slice", ["r", "i", "e"], ["y"])],
             [value("x", "n", 4, 3)], [value("y", "m", "k")], i=np.array([0]), t=np.array([-1]), e=np.array([2**31])),
        made([node("LSTM", ["x", "W", "R"], ["y", "", ""], hidden_size=3, direction="bidirectional")],
             [value("x", 4, "n", 2)], [value("y", 4, 2, "n", 3)],
             W=ones((2, 12, 2), "float32"), R=ones((2, 12, 3), "float32")),
        made([node("Loop", ["m", "", "x"], ["y"], body=body)], [value("x", "n")], [value("y", "n")], m=np.array(3)),
        made([node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
             [value("x", "n"), value("c", kind=9)], [value("y", "n")]),
        made([node("Tile", ["x", "r"], ["t"]), node("Pad", ["t", "p"], ["q"]), node("TopK", ["q", "k"], ["y", "z"]),
              node("Resize", ["q", "", "u"], ["w"])], [value("x", 2, 3)], [value("y", 4, 2), value("w", 8, 10)],
             r=np.array([2, 1]), p=np.array([0, 1, 0, 1]), k=np.array([2]), u=np.array([2, 2], "float32")),
        made([node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
              node("Einsum", ["d", "d"], ["y"], equation="ij,kj->ik")], [value("x", "n", 3)], [value("y", "n", "m")]),
    ]  # fmt: skip


def bytes_changed(data: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, cut out, doubled, or put in."""
    found = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(found) + 1) if found else 0
        match draw.randrange(5):
            case 0 if at < len(found):
                found[at] = draw.randrange(256)
            case 1:
                del found[at : at + draw.randint(1, 9)]
            case 2:
                found[at:at] = found[at : at + draw.randint(1, 40)]
            case 3:
                found[at:at] = b"\xff" * draw.randint(1, 9) + b"\x01"
            case _:
                del found[at:]
    return bytes(found)


def meaning_changed(data: bytes, draw: random.Random) -> bytes:
    """Another operator, input, attribute, number, element type or size."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(draw.randint(1, 3)):
        graph = model.graph
        if not graph.node:
            break
        node = draw.choice(graph.node)
        names = [x for n in graph.node for x in (*n.input, *n.output)] + [""]
        match draw.randrange(8):
            case 0:
                node.op_type = draw.choice(OPERATORS)
            case 1 if node.input:
                node.input[draw.randrange(len(node.input))] = draw.choice(names)
            case 2:
                node.input.append(draw.choice(names))
            case 3 if node.attribute:
                attribute = draw.choice(node.attribute)
                attribute.i = draw.choice(NUMBERS)
                if attribute.ints:
                    attribute.ints[draw.randrange(len(attribute.ints))] = draw.choice(NUMBERS)
            case 4 if graph.initializer:
                tensor = draw.choice(graph.initializer)
                if tensor.dims:
                    tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice(NUMBERS)
                tensor.data_type = draw.choice((tensor.data_type, *range(28)))
            case 5 if graph.initializer:
                tensor = draw.choice(graph.initializer)
                numbers = [draw.choice(NUMBERS) for _ in range(len(tensor.raw_data) // 8)]
                tensor.raw_data = np.array(numbers, "int64").tobytes() if tensor.data_type == 7 else tensor.raw_data
            case 6:
                sizes = draw.choice(graph.input).type.tensor_type.shape.dim if graph.input else []
                if sizes:
                    draw.choice(sizes).dim_value = draw.choice(NUMBERS)
            case _:
                model.opset_import[0].version = draw.choice((1, 7, 10, 13, 18, 21, 24, 99))
    changed: bytes = model.SerializeToString()
    return changed


def draw_call(draw: random.Random) -> tuple[str, Callable[[], object]]:
    """A changed file, in words, and the call that reads it."""
    from deploy import onnx

    number = draw.randrange(len(samples()))
    change = draw.choice((bytes_changed, meaning_changed))
    seed = draw.randrange(2**32)
    data = change(samples()[number], random.Random(seed))
    return f"onnx.loads({change.__name__}(samples()[{number}], Random({seed})))", lambda: onnx.loads(data)
