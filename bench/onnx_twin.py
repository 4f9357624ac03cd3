"""A frozen network as an exporter would write it for ONNX Runtime: channels first, batch normalisation folded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from deploy import Graph
from deploy.fused_ops import FusedConv, FusedMatMul, FusedTransposedConv
from deploy.interpreter import values_of
from deploy.ir import Input, Node
from deploy.passes import PIPELINE
from deploy.passes.rewrite import rewrite
from needle import ops


class Twin:
    """The same network as an ONNX model; values of four axes are kept channels first."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.names: dict[Node, str] = {}
        for node in graph.order():
            self.names[node] = self.translate(node)
        last = self.names[graph.outputs[0][1]]
        self.add("Identity", [last], name="logits")
        image = helper.make_tensor_value_info(
            "image", TensorProto.FLOAT, ["batch", *map(int, graph.inputs[0].shape[1:])]
        )
        logits = helper.make_tensor_value_info(
            "logits", TensorProto.FLOAT, ["batch", *map(int, graph.outputs[0][1].shape[1:])]
        )
        made = helper.make_graph(self.nodes, "twin", [image], [logits], self.weights)
        self.model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def add(self, op: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def weight(self, node: Node, order: tuple[int, ...] | None = None) -> str:
        """The name of what a known node gives, with its axes in this order."""
        (array,) = values_of([node])
        return self.constant(array if order is None else array.transpose(order))

    def integers(self, values: list[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def translate(self, node: Node) -> str:
        """The name of this node's value in the ONNX model."""
        match node:
            case Node(Input(name), ()):
                return str(name)
            case Node() if node.known:
                return ""  # written where it is used
            case Node(ops.Permute(), (x,)):
                return self.names[x]  # between the two layouts
            case Node(ops.Reshape(), (x,)) if len(node.shape) == 2 and all(size == 1 for size in x.shape[1:-1]):
                return self.add("Flatten", [self.names[x]])
            case Node(ops.Reshape(), (x,)) if len(x.shape) == len(node.shape) == 4:
                return self.names[x]  # a permute that moves axes of size 1
            case Node(ops.Reshape((_, height, width, channels)), (x,)):
                return self.add("Reshape", [self.names[x], self.integers([0, channels, height, width])])
            case Node(FusedConv(stride, padding, epilogue), (x, w, *rest)):
                y = [self.names[x], self.weight(w, (3, 2, 0, 1)), *self.bias(epilogue, rest)]
                return self.steps(epilogue, rest, self.add("Conv", y, strides=[stride] * 2, pads=[padding] * 4))
            case Node(FusedTransposedConv(stride, padding, _, _, epilogue), (x, w, *rest)):
                y = [self.names[x], self.weight(w, (2, 3, 0, 1)), *self.bias(epilogue, rest)]
                around = {"strides": [stride] * 2, "pads": [padding] * 4}
                return self.steps(epilogue, rest, self.add("ConvTranspose", y, **around))
            case Node(FusedMatMul(epilogue), (x, w, *rest)):
                y = [self.names[x], self.weight(w), *self.bias(epilogue, rest)]
                return self.steps(epilogue, rest, self.add("Gemm", y))
            case Node(ops.BatchNormInference(eps), (x, *rest)):
                return self.add("BatchNormalization", [self.names[x], *map(self.weight, rest)], epsilon=eps)
            case Node(ops.MaxPool(kernel, stride, padding), (x,)):
                shape = {"kernel_shape": list(kernel), "strides": list(stride), "pads": list(padding) * 2}
                return self.add("MaxPool", [self.names[x]], **shape)
            case Node(ops.DivScalar(), (Node(ops.Summation((2, 3)), (x,)),)):  # the mean of a map
                return self.add("Flatten", [self.add("GlobalAveragePool", [self.names[x]])])
            case Node(ops.Summation((2, 3)), _):
                return ""
            case Node(ops.MulScalar(scalar), (x,)):
                return self.add("Mul", [self.names[x], self.constant(np.array(scalar, np.float32))])
            case Node(ops.ReLU() | ops.Tanh(), (x,)):
                return self.add("Relu" if isinstance(node.op, ops.ReLU) else "Tanh", [self.names[x]])
            case Node(ops.GELU(), (x,)):  # 0.5 x (1 + erf(x / sqrt(2))), which runtimes recognise
                half = self.add("Mul", [self.names[x], self.constant(np.array(0.5**0.5, np.float32))])
                grown = self.add("Add", [self.add("Erf", [half]), self.constant(np.array(1, np.float32))])
                product = self.add("Mul", [self.names[x], grown])
                return self.add("Mul", [product, self.constant(np.array(0.5, np.float32))])
        raise TypeError(f"the twin has no {node!r}")

    def bias(self, epilogue: tuple[str, ...], rest: list[Node]) -> list[str]:
        """The name of a product's bias, if it has one, which is taken from `rest`."""
        return [self.weight(rest.pop(0))] if epilogue[:1] == ("bias",) else []

    def steps(self, epilogue: tuple[str, ...], rest: list[Node], y: str) -> str:
        for step in epilogue[epilogue[:1] == ("bias",) :]:
            y = self.add("Relu", [y]) if step == "relu" else self.add("Add", [y, self.names[rest.pop(0)]])
        return y


def twin(graph: Graph) -> bytes:
    """The ONNX model of the graph before small maps are treated."""
    for rule in PIPELINE[: [x.__name__ for x in PIPELINE].index("cut_padding_taps")]:
        graph = rewrite(graph, rule)  # type: ignore[arg-type]
    data: bytes = Twin(graph).model.SerializeToString()
    return data


def session(model: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """ONNX Runtime, with all its optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    run = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
    return lambda x: run(None, {"image": x})[0]


def openvino_session(model: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """OpenVINO in float32, as fast as it answers one request."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }  # fmt: skip
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda x: request.infer([x], share_inputs=True, share_outputs=True)[0]
