"""Small language models that were never trained, for the tests of text: of each kind that the server knows."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from needle.weights import save_safetensors
from serving.engine.models import Model
from serving.engine.sources import Source
from serving.engine.text.engine import TextEngine
from serving.engine.text.load import decoding_graph, load_text

NAMES = ("gpt-char", "lstm-char", "gpt-novels")


@cache
def model(name: str) -> Any:
    """The smallest model of a family, with weights large enough that the next token is not always the same."""
    state = np.random.get_state()
    np.random.seed(5)
    found: Any = zoo.load(name, **zoo.entry(name).tiny.model)
    np.random.set_state(state)
    for parameter in found.parameters():
        parameter.data = parameter.data * 4
    found.eval()
    return found


def load(source: Source) -> Model:
    return load_text(source, model(source.name), decoding_graph(model(source.name)))


def engine(name: str) -> TextEngine:
    found = load(Source(name)).text
    assert found is not None
    return found


def save(name: str, path: Path) -> Path:
    """The model as a file that `needle-serve` takes."""
    import json

    facts = {"model": name, "config": json.dumps(zoo.entry(name).tiny.model)}
    save_safetensors(path, model(name).state_dict(), facts)
    return path
