"""ResNet9 compiled, and in the instant engine, beside ONNX Runtime; each on as many threads as the environment says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from bench.case import Run, Sides
from bench.cases.data import rng
from deploy import Compiled, Graph, build, freeze
from deploy.build import program_name
from needle.backend_ndarray import ndarray_backend_cpu
from needle.types import Type
from zoo.course.models import ResNet9

LARGEST = 32  # batch
THREADS = ndarray_backend_cpu.num_threads()


@cache
def programs() -> tuple[Graph, Compiled]:
    """The network and its program, compiled once for all batch sizes."""
    graph = freeze(ResNet9(), Type((1, 3, 32, 32)), input_names=["image"], output_names=["logits"])
    built = build(graph, tempfile.mkdtemp(prefix="needle-bench-"), name="resnet9")
    return graph, Compiled(built.library, max_batch=LARGEST, threads=THREADS)


def resnet9(batch: int) -> Sides:
    graph, ours = programs()
    return beside_onnx(graph, ours, batch)


def instant(batch: int) -> Sides:
    """The same kernels, with sizes that are numbers at run time."""
    from deploy import Instant

    graph = freeze(ResNet9(), Type((1, 3, 32, 32)), input_names=["image"], output_names=["logits"])
    return beside_onnx(graph, Instant(graph, max_batch=LARGEST, threads=THREADS), batch)


def zoo_model(name: str, batch: int) -> Sides:
    """A model of the zoo, built for this batch, beside both runtimes; trained where the zoo has weights."""
    import zoo

    model = zoo.load(name, pretrained=name in ("airnet", "resnet9"))
    model.eval()
    graph = freeze(model, model.example(), input_names=["image"], output_names=["logits"])
    built = build(graph, name=program_name(name), favoured=batch)
    compiled = Compiled(built.library, built.weights, max_batch=batch, threads=THREADS)
    return beside_onnx(graph, compiled, batch, openvino=True)


def first_answer() -> Sides:
    """From a graph in memory to the answer for one image."""
    from deploy import Instant

    graph = freeze(ResNet9(), Type((1, 3, 32, 32)), input_names=["image"], output_names=["logits"])
    x = rng.standard_normal((1, 3, 32, 32), np.float32)

    def peer() -> Run:
        from bench.onnx_twin import session, twin

        model = twin(graph)
        return lambda: session(model, THREADS)(x)

    return Sides(lambda: Instant(graph, threads=THREADS)(x), {"ONNX Runtime": peer})


def other_weights() -> Sides:
    """From the weights of another seed to a model that answers with them: the library stays."""
    graph, _ = programs()
    built, arrays = build(graph, name="resnet9"), graph.weights()

    def switch() -> None:
        Compiled(built.library, built.weights_of(arrays), max_batch=1, threads=THREADS).close()

    def peer() -> Run:
        from bench.onnx_twin import session, twin

        model = twin(graph)
        return lambda: session(model, THREADS)

    return Sides(switch, {"ONNX Runtime": peer})


def beside_onnx(
    graph: Graph, ours: Callable[[np.ndarray], np.ndarray], batch: int, openvino: bool = False
) -> Sides:
    x = rng.standard_normal((batch, *map(int, graph.inputs[0].shape[1:])), np.float32)

    def peer(made_by: str) -> Run:
        from bench import onnx_twin

        theirs = getattr(onnx_twin, made_by)(onnx_twin.twin(graph), THREADS)
        difference = np.abs(ours(x) - theirs(x)).max() / np.abs(theirs(x)).max()
        if difference > 1e-4:
            raise ValueError(f"the two programs disagree by {difference:.1e}")
        return lambda: theirs(x)

    peers = {"ONNX Runtime": partial(peer, "session")}
    if openvino:
        peers["OpenVINO"] = partial(peer, "openvino_session")
    return Sides(lambda: ours(x), peers)


def quantized(name: str, batch: int) -> Sides:
    """A model of the zoo in int8, built for this batch, beside both runtimes in float32, and one in int8."""
    import zoo
    from deploy.quantize import quantize

    model = zoo.load(name, pretrained=name in ("airnet", "resnet9"))
    model.eval()
    graph = freeze(model, model.example(), input_names=["image"], output_names=["logits"])
    shape = tuple(map(int, graph.inputs[0].shape[1:]))
    images, x = (rng.standard_normal((n, *shape), np.float32) for n in (64, batch))
    built = build(quantize(graph, {"image": images}), name=program_name(f"{name}_int8"), favoured=batch)
    ours = Compiled(built.library, built.weights, max_batch=batch, threads=THREADS)

    def peer(made_by: str) -> Run:
        from bench import onnx_int8, onnx_twin

        twin = onnx_twin.twin(graph)
        if made_by == "int8_session":
            theirs = onnx_int8.int8_session(twin, images, THREADS)
        else:
            theirs = getattr(onnx_twin, made_by)(twin, THREADS)
        return lambda: theirs(x)

    made = {"ONNX Runtime": "session", "OpenVINO": "openvino_session", "ONNX Runtime, int8": "int8_session"}
    return Sides(lambda: ours(x), {label: partial(peer, by) for label, by in made.items()})


def coded(format: str, batch: int) -> Sides:
    """One token of a GPT 6 x 384 with 128 in the cache; weights in fewer bits beside float32."""
    import zoo
    from deploy import Instant
    from deploy.quantize import code_weights
    from zoo.models.gpt import GPT

    model: GPT = zoo.load("gpt-char", context=256, width=384, layers=6, heads=6)  # type: ignore[assignment]
    model.eval()
    step, example, options = model.decoding(slots=8)
    graph = freeze(step, example, **options)
    row = np.zeros(batch, np.int32)
    given = {"ids": row[:, None], "slot": np.arange(batch, dtype=np.int32), "position": row + 128}

    def run_of(graph: Graph) -> Run:
        instant = Instant(graph, max_batch=8, threads=THREADS)
        return lambda: instant.run(**given)

    return Sides(run_of(code_weights(graph, format)), {"float32": lambda: run_of(graph)})
