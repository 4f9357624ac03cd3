"""Adapters leave and enter as zip files of PEFT's two, and are models of the key that sent them."""

import errno
import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tuned
from test_keys import bearer
from test_tuning_data import zipped

from needle.weights import load_safetensors, save_safetensors
from serving.engine.load import load
from serving.engine.sources import sources
from tests.zoo import finetune_runs as small
from zoo.adapted import SHIPPED

ASKED = {"prompt": "my cat ", "max_tokens": 16, "seed": 4}


service, client = tuned.service, tuned.client  # fixtures


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """The files of an adapter of the small language model, by name, and what it writes."""
    from zoo.finetune import Config, Job

    home = tmp_path_factory.mktemp("adapter")
    (home / "my.txt").write_text(small.text())
    given = {"rank": 2, "epochs": 1, "batch": 32, "learning_rate": 0.02, "validation": 0.0}
    Job(Config("gpt-char", str(home / "my.txt"), str(tuned.bases()["gpt"]), **given), home / "run").run()
    return {path.name: path.read_bytes() for path in (home / "run" / "adapter").iterdir()}


def send(client, files, model="gpt", headers=None, **fields):
    data = {"file": (io.BytesIO(zipped(files.items())), "adapter.zip"), "model": model, **fields}
    return client.post("/v1/adapters", data=data, headers=headers, content_type="multipart/form-data")


def text(client, model):
    return client.post("/v1/completions", json=ASKED | {"model": model}).json["choices"][0]["text"]


def test_what_left_enters_again_as_another_model_that_writes_the_same(client, adapter):
    made = send(client, adapter, suffix="back").json
    assert made["id"].startswith("ft:gpt:local:back:") and (made["root"], made["parent"]) == ("gpt", "gpt")
    back = client.get(f"/v1/models/{made['id']}/adapter")
    assert back.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(back.data)) as file:
        same = {name: file.read(name) for name in file.namelist()}
    assert same["adapter_model.safetensors"] == adapter["adapter_model.safetensors"]
    again = send(client, same).json["id"]
    assert again != made["id"] and text(client, again) == text(client, made["id"]) != text(client, "gpt")
    assert {model["id"] for model in client.get("/v1/models").json["data"]} >= {again, made["id"]}
    assert client.delete(f"/v1/models/{again}").json["deleted"]


def test_a_file_of_peft_s_is_bound_to_the_base_that_it_was_tried_on(client, service, adapter):
    settings = json.loads(adapter["adapter_config.json"])
    del settings["needle_base_sha256"]
    files = {"adapter_config.json": json.dumps(settings).encode(), "README.md": b"x"}
    files |= {"adapter_model.safetensors": adapter["adapter_model.safetensors"]}
    files = {f"deep/{name}": data for name, data in files.items()}
    name = send(client, files).json["id"]
    assert text(client, name) == text(client, send(client, adapter).json["id"])
    with zipfile.ZipFile(io.BytesIO(client.get(f"/v1/models/{name}/adapter").data)) as file:
        bound = json.loads(file.read("adapter_config.json"))
        assert json.loads(file.read("card.json")) == {"base": "gpt-char"}
    assert bound["needle_base_sha256"] == json.loads(adapter["adapter_config.json"])["needle_base_sha256"]


def changed(adapter, tmp_path, **changes):
    """The adapter with other arrays, or other settings."""
    files = dict(adapter)
    if "settings" in changes:
        settings = json.loads(files["adapter_config.json"]) | changes["settings"]
        files["adapter_config.json"] = json.dumps(settings).encode()
    if "array" in changes:
        (tmp_path / "x").write_bytes(files["adapter_model.safetensors"])
        arrays = load_safetensors(tmp_path / "x")
        name = next(iter(arrays))
        arrays[name] = changes["array"](arrays[name])
        save_safetensors(tmp_path / "x", arrays, {"format": "pt"})
        files["adapter_model.safetensors"] = (tmp_path / "x").read_bytes()
    return files


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"settings": {"use_dora": True}}, "use_dora"),
        ({"settings": {"needle_base_sha256": "0" * 64}}, "belongs to another base"),
        ({"settings": {"r": 3}}, "unfit for its kind and r 3"),
        ({"array": lambda x: x[:, :-1]}, "does not fit adapter"),
        ({"array": lambda x: x * np.float32("nan")}, "must hold finite numbers"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(changes, reason, client, service, adapter, tmp_path):
    refused = send(client, changed(adapter, tmp_path, **changes))
    assert refused.status_code == 400 and refused.json["error"]["param"] == "file", refused.json
    assert reason in refused.text and str(service.tuning.store.home) not in refused.text
    assert list((service.tuning.store.home / "models").iterdir()) == []
    assert len(client.get("/v1/models").json["data"]) == 2


def test_what_is_no_adapter_is_refused(client, service, adapter):
    without = {name: data for name, data in adapter.items() if name != "adapter_model.safetensors"}
    damaged = adapter | {"adapter_model.safetensors": b"x" * 100}
    for files, fields, param in (
        (without, {}, "file"), (damaged, {}, "file"), (adapter | {"adapter_config.json": b"{"}, {}, "file"),
        (adapter | {"card.json": b"[]"}, {}, "file"), (adapter | {"card.json": b'{"base": "resnet9"}'}, {}, "file"),
        (adapter, {"model": "images"}, "file"), (adapter, {"model": ""}, "model"),
        (adapter, {"suffix": "a b"}, "suffix"),
        ({"adapter_model.bin": b"x", "adapter_config.json": b"{}"}, {}, "file"),
    ):  # fmt: skip
        refused = send(client, files, **fields)
        assert refused.status_code == 400 and refused.json["error"]["param"] == param, refused.json
    assert send(client, adapter, "nope").status_code == 404
    assert list((service.tuning.store.home / "models").iterdir()) == []


def test_a_bomb_of_settings_is_not_read(client, service, adapter):
    refused = send(client, adapter | {"adapter_config.json": b'{"a": "' + b"x" * (8 << 20) + b'"}'})
    assert refused.status_code == 400 and "it unpacks to more than is taken: 1,048,576 bytes" in refused.text
    deep = send(client, adapter | {"adapter_config.json": b"[" * 100_000})
    assert deep.status_code == 400 and list((service.tuning.store.home / "models").iterdir()) == []


def test_adapters_count_as_what_a_key_keeps(client, service, adapter):
    size = sum(map(len, adapter.values()))
    service.tuning.files.limits = replace(service.tuning.files.limits, storage=int(2.5 * size))
    made = [send(client, adapter) for _ in range(3)]
    assert [answer.status_code for answer in made] == [200, 200, 413] and "--max-storage-mib" in made[2].text
    assert upload(client, bytes(size)) == 413
    assert len(list((service.tuning.store.home / "models").iterdir())) == 2
    client.delete(f"/v1/models/{made[0].json['id']}")
    assert upload(client, bytes(size)) == 200 and send(client, adapter).status_code == 413


def upload(client, data):
    form = {"file": (io.BytesIO(data), "x.txt"), "purpose": "fine-tune"}
    return client.post("/v1/files", data=form).status_code


def test_an_adapter_that_the_disk_has_no_room_for(client, service, adapter, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("serving.engine.tuning.service.unpack_adapter", full)
    refused = send(client, adapter)
    assert refused.status_code == 507 and refused.json["error"]["code"] == "disk_full"
    assert list((service.tuning.store.home / "models").iterdir()) == []


def test_an_adapter_is_its_key_s_alone(client, service, adapter):
    (_, one), (_, two) = (service.keys.create(["train", "infer"]) for _ in range(2))
    name = send(client, adapter, headers=bearer(one)).json["id"]
    ask = ASKED | {"model": name}
    assert client.post("/v1/completions", json=ask, headers=bearer(one)).status_code == 200
    for path in (f"/v1/models/{name}", f"/v1/models/{name}/adapter"):
        assert client.get(path, headers=bearer(one)).status_code == 200
        assert client.get(path, headers=bearer(two)).status_code == 404
    assert client.post("/v1/completions", json=ask, headers=bearer(two)).status_code == 404


def test_an_adapter_of_the_package_is_served_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (source,) = sources(["airnet-fruit"])
    assert source.name == "airnet-fruit" and source.path == SHIPPED / "airnet-fruit" and source.digest
    model = load(source)
    assert model.usage == "image" and "sunflower" in model.outputs[0].labels
