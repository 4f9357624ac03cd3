"""Language models compiled, beside ONNX Runtime and OpenVINO on the graph that `deploy.onnx` writes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from bench.case import Run, Sides
from bench.cases.data import rng
from deploy import Compiled, Graph, build, freeze
from deploy.ir import dims
from needle.backend_ndarray import ndarray_backend_cpu
from needle.types import Type
from zoo.models.gpt import GPT
from zoo.models.lstm import RecurrentLM

THREADS = ndarray_backend_cpu.num_threads()
Given = Mapping[str, np.ndarray]


def gpt() -> GPT:
    """6 layers of width 384, 65 characters, context 256."""
    import zoo

    model: Any = zoo.load("gpt-char", context=256, width=384, layers=6, heads=6)
    model.eval()
    return model  # type: ignore[no-any-return]


def generated(engine: str, tokens: int) -> Sides:
    """The seconds of one token of so many that gpt-char goes on to write, by an engine and eagerly.

    What a text begins with, the program among it, is not counted.
    """
    import zoo

    model: Any = zoo.load("gpt-char", pretrained=True)

    def by(engine: str) -> Run:
        def seconds() -> float:
            text = model.stream("ROMEO:", tokens + 1, seed=1, engine=engine)
            next(text)
            start = perf_counter()
            count = sum(1 for _ in text)
            assert count == tokens
            return (perf_counter() - start) / count

        return seconds

    return Sides(by(engine), {"eager": lambda: by("eager")}, told=True)


def prefill(time: int) -> Sides:
    """The logits of a whole prompt."""
    graph = freeze(gpt(), Type((1, time), "int32"), input_names=["ids"], output_names=["logits"])
    return beside(graph, {"ids": rng.integers(0, 65, (1, time)).astype(np.int32)})


def token(batch: int, position: int) -> Sides:
    """One token of each of `batch` texts, with so many in the cache; the peers have the cache as inputs and outputs."""
    step, example, options = gpt().decoding(slots=batch)
    graph = freeze(step, example, **options)
    row = np.arange(batch, dtype=np.int32)
    return beside(graph, {"ids": row[:, None], "slot": row, "position": np.full(batch, position, np.int32)})


def lstm(batch: int, time: int) -> Sides:
    """The logits of `time` steps of an LSTM 2 x 200 over 10,000 words."""
    from needle.data.text import WordTokenizer

    words = WordTokenizer(["<unk>", "<eos>", *(f"w{i}" for i in range(9_998))])
    model = RecurrentLM(words, width=200, hidden=200, layers=2)
    model.eval()
    graph = freeze(model, Type((batch, time), "int32"), input_names=["ids"], output_names=["logits"])
    return beside(graph, {"ids": rng.integers(0, 10_000, (batch, time)).astype(np.int32)})


def beside(graph: Graph, given: Given) -> Sides:
    """Ours, built for this batch, and both runtimes on the same graph and numbers."""
    batch, time = given["ids"].shape
    built = build(graph, name="text", favoured=batch)
    most = {"time": time} if "time" in dims(graph) else {}
    ours = Compiled(built.library, built.weights, max_batch=batch, threads=THREADS, most=most)
    expected = ours.run(**given)["logits"]

    def peer(make: Callable[[bytes, Given], Callable[[], np.ndarray]]) -> Run:
        from deploy import onnx

        kept = [x for x in graph.inputs if x.op.name in dict(graph.state)]
        zeros = {x.op.name: np.zeros(tuple(map(int, x.shape)), x.type.dtype) for x in kept}
        run = make(onnx.dumps(graph), {**given, **zeros})
        found = run()
        if not graph.state and np.abs(found - expected).max() > 1e-4 * np.abs(expected).max():
            raise ValueError("the two programs disagree")
        return run

    peers = {"ONNX Runtime": partial(peer, _onnxruntime), "OpenVINO": partial(peer, _openvino)}
    return Sides(lambda: ours.run(**given), peers)


def _onnxruntime(model: bytes, given: Given) -> Callable[[], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    run = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
    return lambda: run(None, dict(given))[0]  # type: ignore[no-any-return]


def _openvino(model: bytes, given: Given) -> Callable[[], np.ndarray]:
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }  # fmt: skip
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda: request.infer(dict(given), share_inputs=True, share_outputs=True)[0]  # type: ignore[no-any-return]
