"""From what a source holds to a model of text: a language model of the zoo, or a `.nd` file of its decoding step."""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np

import deploy
from deploy.quantize import halve_exact
from needle.data.text import Tokenizer
from needle.types import Type
from serving.engine.errors import ServingError
from serving.engine.models import Arrays, Model, TensorSpec
from serving.engine.sources import RECORDING, Source
from serving.engine.text.engine import TextEngine
from serving.engine.text.programs import MakeRuntime, check_program, instant, program_of
from serving.engine.text.task import Asked, Call
from zoo import LanguageModel

SLOTS = 32  # sequences that one model works on at once; each has a part of the cache


def is_text(subject: Any) -> bool:
    """Whether text can be written with it: a language model, or a graph that decodes and whose card has a tokenizer."""
    if isinstance(subject, deploy.Graph):
        return bool(subject.state) and "tokenizer" in subject.card
    return isinstance(subject, LanguageModel)


def load_text(source: Source, subject: Any, graph: deploy.Graph, runtime: MakeRuntime = instant) -> Model:
    """The model of text that was opened, whose decoding step is `graph`. Raises NeedleError if it cannot be had."""
    program = program_of(graph, source.name, SLOTS, runtime)
    check_program(source.name, program, graph)
    tokenizer = Tokenizer.from_spec(graph.card["tokenizer"])
    features = None if subject is graph else lambda: features_graph(subject)
    engine = TextEngine(source.name, tokenizer, program, features, fingerprint(graph))

    def run(batch: Arrays) -> Arrays:
        call = begin_text(engine, batch, Asked())
        call.finish()
        return texts(call)

    text = TensorSpec("text_input", "BYTES", (-1,)), TensorSpec("text_output", "BYTES", (-1,))
    return Model(
        source.name, text[:1], text[1:], run, graph.card,
        version=str(source.version or 1), max_batch=program.slots, text=engine,
    )  # fmt: skip


def decoding_graph(model: Any, slots: int = SLOTS) -> deploy.Graph:
    """The graph of a language model's decoding step with its card and its tokenizer: all that a server needs.

    A graph is one already. Weights that were published as float16 stay so: half the memory, the same text.
    """
    if isinstance(model, deploy.Graph):
        return model
    model.eval()
    decoding = model.decoding(slots=slots)
    graph = halve_exact(deploy.freeze(decoding.step, decoding.example, **decoding.options))
    return replace(graph, card={**model.card, "tokenizer": model.tokenizer.spec()})


def features_graph(model: LanguageModel) -> deploy.Graph:
    """The graph from ids (batch, time) to what the last layer makes logits of."""
    example = Type(("batch", "time"), "int32")  # type: ignore[arg-type]
    with RECORDING:
        return deploy.freeze(model.features, example, dims={"time": (1, model.context)})


def fingerprint(graph: deploy.Graph) -> str:
    """A name for the weights of a graph: other weights have another one."""
    found = 0
    for array in graph.weights().values():
        found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
    return f"fp_{found:08x}"


def begin_text(engine: TextEngine, batch: Arrays, asked: Asked, owner: str = "") -> Call:
    """The call for the texts that go on from batch["text_input"], byte strings in UTF-8. Raises ServingError."""
    given = batch["text_input"].ravel()
    try:
        prompts = [engine.encode(text.decode(), "text_input") for text in given]
    except UnicodeDecodeError:
        raise ServingError("[text_input] must be UTF-8") from None
    return engine.call(prompts, asked, owner=owner)


def texts(call: Call) -> dict[str, np.ndarray]:
    """{"text_output": the texts of a call that is done}, byte strings in UTF-8."""
    found = np.empty(len(call.tasks), object)
    found[:] = [task.take().encode() for task in call.tasks]
    return {"text_output": found}
