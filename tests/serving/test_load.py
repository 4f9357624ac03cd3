"""From a model to what runs it: compiled, found again without a compiler, or by the instant engine."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deploy
import needle as ndl
import zoo
from deploy import Graph, freeze, interpreter
from needle import Tensor, nn, ops
from needle.types import Type
from serving.engine import load
from serving.engine.errors import Unavailable
from serving.engine.models import Model, check_canary
from serving.engine.sources import Source

INPUT = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def graph():
    state = np.random.get_state()
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    np.random.set_state(state)
    return deploy.freeze(model, ndl.init.zeros(1, 4), input_names=["image"], output_names=["logits"])


def known(graph):
    inputs = {"image": INPUT}
    return inputs, interpreter.run(graph, inputs)


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_a_compiled_model_is_found_again_where_there_is_no_compiler(home, graph, monkeypatch):
    check_canary("tiny", load.compiled("tiny", graph), known(graph))
    monkeypatch.setenv("CXX", "no-such-compiler")
    check_canary("tiny", load.compiled("tiny", graph), known(graph))
    other = deploy.freeze(nn.Linear(4, 2), ndl.init.zeros(1, 4))
    with pytest.raises(deploy.BuildError, match="no-such-compiler"):  # it is not taken for another model's
        load.compiled("tiny", other)


def test_without_a_compiler_the_instant_engine_answers_and_the_log_says_so(home, graph, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    caplog.set_level(logging.INFO)
    run = load.compiled_soon("tiny", graph, known(graph))
    check_canary("tiny", run, known(graph))
    assert "no-such-compiler" in caplog.text and "instant engine" in caplog.text


def test_a_program_that_answers_wrongly_is_not_taken(home, graph, monkeypatch, caplog):
    monkeypatch.setattr(load, "compiled", lambda *_: lambda batch: {"logits": np.zeros((3, 2), np.float32)})
    run = load.compiled_soon("tiny", graph, known(graph))
    check_canary("tiny", run, known(graph))
    assert "not to be trusted" in caplog.text


@pytest.mark.skipif(not zoo.entry("resnet9").runs, reason="resnet9 is not trained yet")
def test_the_served_resnet9_says_what_predict_says(make_client):
    client = make_client(lambda name: load.load(Source("resnet9")))
    photo = load_photo()
    answer = client.post("/v2/models/resnet9/classify", data=photo).json["predictions"]
    expected = zoo.load("resnet9", pretrained=True).predict(photo)
    assert [one["label"] for one in answer] == [label for label, _ in expected]
    np.testing.assert_allclose([one["probability"] for one in answer], [share for _, share in expected], atol=1e-5)


def load_photo() -> bytes:
    import io

    from PIL import Image

    noise = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC).save(stream, "JPEG")
    return stream.getvalue()


def tiny(x: Tensor) -> Tensor:
    return ops.relu(x)


def served(folder: Path, graph: Graph) -> Model:
    graph.save(folder / "tiny.nd")
    return load.load(Source("tiny", folder / "tiny.nd"))


def test_files_are_served(tmp_path: Path) -> None:
    x = np.array([[1, -2, 3]], np.float32)
    assert np.array_equal(served(tmp_path, freeze(tiny, x)).run({"input": x})["output"], [[1, 0, 3]])
    assert served(tmp_path, freeze(tiny, x, dims={"batch": (1, 4)})).max_batch == 4
    table = nn.Embedding(5, 2)
    ids, x = served(tmp_path, freeze(table, Type(("batch", 3), "int32"))), np.array([[4, 0, 1]], np.int32)
    assert np.array_equal(ids.run({"input": x})["output"], table.weight.numpy()[x])


@pytest.mark.parametrize(
    ("example", "more", "message"),
    [
        (Type((2, 3)), {"batch": None}, "axis 0 of inputs and outputs must be the batch.*float32.2, 3"),
        (Type(("batch", "time")), {}, "no other size open, got float32.batch, time"),
        (Type(("time", 3)), {}, "must be the batch"),
        (Type(("batch", 3)), {"dims": {"batch": (2, 8)}}, "begin at 2"),
    ],
)
def test_files_that_take_no_batches_are_refused(tmp_path: Path, example: Type, more: Any, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        served(tmp_path, freeze(tiny, example, **more))


def test_a_file_that_keeps_a_state_is_refused(tmp_path: Path) -> None:
    row = Type(("batch", 3))
    graph = freeze(lambda x, h: (x + h, h * 2), (row, row), state={"input_1": "output_1"})
    with pytest.raises(Unavailable, match="keeps a state"):
        served(tmp_path, graph)
