"""Networks of torchvision, read from ONNX files and compiled, beside ONNX Runtime on the same files.

A file is `NAME.onnx` in the folder that NEEDLE_ONNX names, or is written now where torchvision is installed; weights
are random.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from bench.case import Run, Sides
from bench.cases.data import rng
from deploy import Compiled, Instant, build, onnx
from needle.backend_ndarray import ndarray_backend_cpu

THREADS = ndarray_backend_cpu.num_threads()


def file_of(name: str) -> bytes:
    """The bytes of a network's file."""
    folder = os.environ.get("NEEDLE_ONNX")
    if folder:
        return (Path(folder) / f"{name}.onnx").read_bytes()
    from tests.onnx_models import architecture, exported

    return exported(*architecture(name), "old")


def network(name: str, engine: str = "compiled") -> Sides:
    """One image of 224 x 224."""
    data = file_of(name)
    graph = onnx.loads(data)
    key = graph.inputs[0].op.name
    if engine == "instant":
        ours: Compiled | Instant = Instant(graph, max_batch=1, threads=THREADS)
    else:
        built = build(graph, name=name)
        ours = Compiled(built.library, built.weights, max_batch=1, threads=THREADS)
    x = rng.standard_normal((1, 3, 224, 224), np.float32)

    def peer() -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: x}
        (expected,) = session.run(None, given)
        difference = np.abs(next(iter(ours.run(**{key: x}).values())) - expected).max() / np.abs(expected).max()
        if difference > 1e-4:
            raise ValueError(f"the two programs disagree by {difference:.1e}")
        return lambda: session.run(None, given)

    return Sides(partial(ours.run, **{key: x}), {"ONNX Runtime": peer})
