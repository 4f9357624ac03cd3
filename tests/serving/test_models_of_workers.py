"""Which models a server has: rows that all workers agree on, files and folders that are looked into again."""

import gc
import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import fake

import zoo
from deploy import freeze
from needle import nn, ops
from needle.errors import NeedleError
from needle.nn import lora
from needle.types import Type
from serving.app import create_app
from serving.engine import catalog, load, registry, sources
from serving.engine.errors import Busy, NotFound, ServingError, Unavailable
from serving.engine.registry import Registry
from serving.engine.sources import Source

X = np.array([[1, -2, 3]], np.float32)


def save(path: Path, times: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    freeze(lambda x: ops.relu(x) * times, X).save(path)
    return path


@pytest.fixture
def rows(tmp_path):
    return Registry(tmp_path / "models.db")


def test_a_row_has_a_place_of_its_own_and_a_version_for_each_content(rows):
    for name in ("a", "b"):
        assert rows.add(Source(name, digest="1"))
    assert [row.place for row in rows.rows().values()] == [0, 1]
    assert not rows.add(Source("a", digest="1")) and rows.rows()["a"].source.version == 1
    before = rows.rows()["a"].generation
    assert rows.add(Source("a", digest="2")) and rows.rows()["a"].source.version == 2
    assert rows.rows()["a"].generation > before
    assert rows.add(Source("a", version=7, digest="2")) and rows.rows()["a"].source.version == 7
    assert not rows.add(Source("a", version=9), update=False) and rows.rows()["a"].source.version == 7
    assert rows.remove("a").source.name == "a" and rows.remove("a") is None
    rows.add(Source("c"))
    assert {name: row.place for name, row in rows.rows().items()} == {"b": 1, "c": 0}
    with pytest.raises(NotFound, match="no model 'a'; there are b, c"):
        rows.want("a", True)
    assert rows.want("b", False).wanted is False and rows.want("b", True, "compiled").source.engine == "compiled"


def test_an_adapter_is_a_model_of_its_own(tmp_path):
    """In a folder that says its base: a whole layer of its own, and small matrices for the others."""
    base = zoo.load("resnet9", pretrained=True)
    lora.add(base, rank=2, targets=["*.modules.7", "*.modules.9"], seed=1)
    learned = {name: np.full_like(array, 0.01) for name, array in lora.state_dict(base).items()}
    lora.load_state_dict(base, learned)
    lora.save(base, tmp_path / "mine", base="resnet9")
    (source,) = list(sources.scan(tmp_path))
    assert source.name == "mine" and source.digest
    assert sources.sources([f"other={tmp_path / 'mine'}"])[0].name == "other"
    with pytest.raises(NeedleError, match="must name the model that it is of"):
        sources.opened(source)
    (tmp_path / "mine" / "card.json").write_text('{"base": "resnet9"}')
    found = sources.opened(source).state_dict()
    expected = zoo.load("resnet9", adapter=tmp_path / "mine").state_dict()
    assert found.keys() == expected.keys() and all(np.array_equal(found[name], x) for name, x in expected.items())


def test_an_onnx_file_is_served_whatever_its_batch_is_called(tmp_path):
    pytest.importorskip("onnx")
    from deploy import onnx

    graph = freeze(lambda x: ops.relu(x) * 2, Type(("rows", 3)))
    onnx.save(graph, tmp_path / "doubled.onnx")
    (source,) = list(sources.scan(tmp_path))
    model = load.load(source)
    (found,) = model.run({model.inputs[0].name: X}).values()
    assert np.array_equal(found, np.maximum(X, 0) * 2)


def test_there_is_room_for_so_many_models(rows, monkeypatch):
    monkeypatch.setattr(registry, "CAPACITY", 2)
    rows.add(Source("a"))
    rows.add(Source("b"))
    with pytest.raises(Busy, match="has 2 models, which is the most"):
        rows.add(Source("c"))
    assert list(rows.rows()) == ["a", "b"]


def in_child(rows: Registry) -> None:
    assert list(rows.rows()) == ["a"]
    rows.add(Source("b"))
    rows.want("a", False)


def test_what_one_process_changes_the_others_see(rows):
    rows.add(Source("a"))
    rows.close()
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(rows,))
    child.start()
    child.join(20)
    assert child.exitcode == 0 and list(rows.rows()) == ["a", "b"] and not rows.rows()["a"].wanted


def test_a_folder_is_read_by_name_and_version(tmp_path):
    save(tmp_path / "plain.nd")
    for version in ("1", "2", "10"):
        save(tmp_path / "many" / version / "model.nd")
    for empty in ("many/11", "nothing/1", "many/0", "many/x", ".hidden/1"):
        (tmp_path / empty).mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    found = list(sources.scan(tmp_path))
    assert [(x.name, x.version, x.path.relative_to(tmp_path).as_posix()) for x in found] == [
        ("many", 10, "many/10/model.nd"),
        ("plain", 0, "plain.nd"),
    ]
    shutil.rmtree(tmp_path / "many" / "10")
    assert sources.latest(found[0]).version == 2
    shutil.rmtree(tmp_path / "many")
    with pytest.raises(NotFound, match="no file"):
        sources.latest(found[0])


def test_models_that_appear_in_a_folder_are_served_when_they_are_loaded(tmp_path, make_service):
    save(tmp_path / "m" / "1" / "model.nd")
    service = make_service(load.load, sources.scan(tmp_path), folder=tmp_path)
    client = create_app(service).test_client()
    body = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}

    def ask(model):
        return client.post(f"/v2/models/{model}/infer", json=body)

    assert ask("m").json["outputs"][0]["data"] == [1, 2, 3] and ask("new").status_code == 404
    save(tmp_path / "m" / "2" / "model.nd", 2.0)
    save(tmp_path / "new.nd", 3.0)
    index = {entry["name"]: entry for entry in client.post("/v2/repository/index").json}
    assert index["new"]["state"] == "UNAVAILABLE" and index["m"] == index["m"] | {"version": "1", "state": "READY"}
    for model in ("new", "m"):
        assert client.post(f"/v2/repository/models/{model}/load").status_code == 200
    assert ask("new").json["outputs"][0]["data"] == [3, 6, 9]
    assert ask("m").json["model_version"] == "2" and ask("m").json["outputs"][0]["data"] == [2, 4, 6]
    assert "new" in client.get("/metrics").text and client.get("/v2/models/new/stats").status_code == 200
    (tmp_path / "new.nd").write_bytes(b"no model")
    failed = client.post("/v2/repository/models/new/load")
    assert failed.status_code == 503 and "new" in failed.json["error"]
    assert ask("new").json["outputs"][0]["data"] == [3, 6, 9]
    (tmp_path / "new.nd").unlink()
    assert client.post("/v2/repository/models/new/load").status_code == 503


def test_what_an_order_compiles_depends_on_who_gives_it(tmp_path, make_service, monkeypatch):
    """The server's own engine for those it was started with and for an order to load; else nothing is compiled."""
    save(tmp_path / "first.nd")
    seen = []
    service = make_service(
        lambda source: seen.append((source.name, source.engine)) or fake(source.name),
        sources.scan(tmp_path, "auto"), folder=tmp_path, engine="auto",
    )  # fmt: skip
    save(tmp_path / "second.nd")
    assert [entry["name"] for entry in service.catalog.index()] == ["first", "second"]
    assert service.registry.rows()["second"].source.engine == "instant"
    service.catalog.load("second")
    assert seen == [("first", "auto"), ("second", "auto")]


def test_loading_and_unloading_under_traffic_loses_no_request(tmp_path, make_service):
    save(tmp_path / "m.nd")
    service = make_service(load.load, sources.scan(tmp_path))
    wrong, over = [], threading.Event()

    def ask():
        client = create_app(service).test_client()
        body = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
        while not over.is_set():
            answer = client.post("/v2/models/m/infer", json=body)
            if answer.status_code != 200 or answer.json["outputs"][0]["data"] not in ([1, 2, 3], [2, 4, 6]):
                wrong.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(5):
        save(tmp_path / "m.nd", 2.0 - turn % 2)
        service.catalog.load("m")
    over.set()
    for thread in threads:
        thread.join(20)
    assert not wrong and service.registry.rows()["m"].source.version == 6


def test_memory_returns_after_loading_and_unloading(tmp_path, make_service):
    state = np.random.get_state()
    freeze(nn.Linear(500, 1000), np.ones((1, 500), np.float32)).save(tmp_path / "m.nd")  # 2 MB
    np.random.set_state(state)
    service = make_service(load.load, sources.scan(tmp_path))

    def cycles(count):
        for _ in range(count):
            service.catalog.unload("m")
            service.catalog.load("m")
        gc.collect()
        return resident()

    before = cycles(3)
    assert cycles(8) - before < 6 * 2**20  # were they kept, it would be 16 MB and more


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_model_that_is_removed_is_let_go(make_service):
    service = make_service(lambda source: fake(source.name))
    service.registry.remove("other")
    service.catalog.reconcile()
    assert list(service.catalog._entries) == ["resnet9"]
    with pytest.raises(NotFound):
        service.model("other")


def test_a_request_waits_a_while_for_a_model_that_is_being_loaded(make_service, monkeypatch):
    may_end = threading.Event()
    may_end.set()
    service = make_service(lambda source: may_end.wait(20) and fake(source.name), ["m"])
    service.catalog.unload("m")
    may_end.clear()
    loading = threading.Thread(target=service.catalog.load, args=("m",))
    loading.start()
    monkeypatch.setattr(catalog, "PATIENCE", 0.01)
    deadline = time.monotonic() + 20
    while not service.registry.rows()["m"].wanted and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(Unavailable, match="being loaded"):
        service.model("m")
    monkeypatch.setattr(catalog, "PATIENCE", 20.0)
    threading.Timer(0.05, may_end.set).start()
    assert service.model("m").name == "m"
    loading.join(20)


@pytest.mark.parametrize("word", ["x=y.nd", "stats=x.nd", "a b.nd"])
def test_a_word_that_is_no_model(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x.nd", "a b.nd"):
        save(Path(name))
    with pytest.raises(ServingError):
        sources.sources([word])
