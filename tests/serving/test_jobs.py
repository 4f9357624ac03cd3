"""Fine-tuning jobs: asked for, listed, turned and watched; trained to models that are their owner's alone."""

import base64
import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tuned
from test_tuning_data import zipped

from serving.app import create_app
from serving.engine import load
from serving.engine.limits import Limits
from serving.engine.sources import Source
from tests.zoo import finetune_runs as small

JOBS, messages = tuned.JOBS, tuned.messages
service, client, file = tuned.service, tuned.client, tuned.file  # fixtures


def test_a_language_model_learns_a_text(client, service, file):
    made = tuned.begin(client, file, suffix="mine", metadata={"team": "a"})
    assert made["status"] == "validating_files" and made["fine_tuned_model"] is None and made["seed"] == 1
    assert made["hyperparameters"] == tuned.FAST | {"learning_rate_multiplier": "auto"}
    assert made["metadata"] == {"team": "a"} and made["organization_id"] == "org-local" and made["result_files"] == []
    tuned.train(service.tuning)
    job = client.get(f"{JOBS}/{made['id']}").json
    assert job["status"] == "succeeded" and job["error"] is None and job["finished_at"] >= job["created_at"]
    digits = job["id"].removeprefix("ftjob-")[:12]
    assert job["fine_tuned_model"] == f"ft:gpt:local:mine:{digits}" and job["trained_tokens"] > 1000
    _check_events(client, job)
    _check_checkpoints(client, job)
    _check_files(client, job)
    asked = {"prompt": "my cat ", "max_tokens": 12, "temperature": 0}
    for name in (job["fine_tuned_model"], client.get(f"{JOBS}/{job['id']}/checkpoints").json["data"][0][
        "fine_tuned_model_checkpoint"
    ]):  # fmt: skip
        learned = client.post("/v1/completions", json=asked | {"model": name})
        assert learned.status_code == 200 and len(learned.json["choices"][0]["text"]) == 12
    assert not (service.tuning.store.home / "jobs" / job["id"]).exists()


def _check_events(client, job):
    told = messages(client, job["id"])
    assert told[0] == "The job has successfully completed" and told[-1] == f"Created fine-tuning job: {job['id']}"
    for part in ("Validating training file", "Fine-tuning job started", "Learning rate: 0.02", "New fine-tuned model"):
        assert sum(part in message for message in told) == 1, part
    found, after = [], ""
    while True:
        page = client.get(f"{JOBS}/{job['id']}/events?limit=7{after}").json
        found += page["data"]
        after = f"&after={found[-1]['id']}"
        if not page["has_more"]:
            break
    assert [event["message"] for event in found] == told
    steps = [event["data"] for event in found if event["type"] == "metrics"][::-1]
    assert [step["step"] for step in steps] == list(range(1, steps[-1]["total_steps"] + 1))
    assert all(step["train_loss"] > 0 and 0 <= step["train_mean_token_accuracy"] <= 1 for step in steps)
    assert len({step["train_mean_token_accuracy"] for step in steps}) > 1


def _check_checkpoints(client, job):
    found = client.get(f"{JOBS}/{job['id']}/checkpoints").json
    steps = [each["step_number"] for each in found["data"]]
    assert steps == sorted(steps, reverse=True) and len(steps) > 3 and not found["has_more"]
    for each in found["data"]:
        assert each["fine_tuned_model_checkpoint"] == f"{job['fine_tuned_model']}:ckpt-step-{each['step_number']}"
        assert each["metrics"]["valid_loss"] == each["metrics"]["full_valid_loss"] > 0
    half = client.get(f"{JOBS}/{job['id']}/checkpoints?limit=2").json
    assert half["has_more"] and [each["step_number"] for each in half["data"]] == steps[:2]


def _check_files(client, job):
    table, adapter = (client.get(f"/v1/files/{id}/content").data for id in job["result_files"])
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert list(rows[0]) == ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
    assert all(float(row["train_loss"]) > 0 and float(row["valid_loss"]) > 0 for row in rows)
    assert all(0 <= float(row["train_accuracy"]) <= 1 for row in rows)
    assert zipfile.ZipFile(io.BytesIO(adapter)).namelist() == [
        "adapter_config.json", "adapter_model.safetensors", "card.json",
    ]  # fmt: skip
    names = [file["filename"] for file in client.get("/v1/files?purpose=fine-tune-results").json["data"]]
    assert names == ["mine-adapter.zip", "mine-results.csv"]
    assert client.get(f"/v1/models/{job['fine_tuned_model']}/adapter").data == adapter


def chats():
    rows = [json.loads(row) for row in small.rows(12).splitlines()]
    said = [[("user", row["prompt"].strip()), ("assistant", row["completion"].strip())] for row in rows]
    turns = [{"messages": [{"role": role, "content": text} for role, text in pair]} for pair in said]
    return "".join(json.dumps(turn) + "\n" for turn in turns)


def folders():
    files = [(f"{name}/{seed}.png", small.png(small.picture(label, seed)))
             for label, name in enumerate(small.CLASSES) for seed in range(6)]  # fmt: skip
    return zipped(files)


@pytest.mark.parametrize("kind", ["rows", "texts", "image rows", "zip"])
def test_every_kind_of_data(kind, client, service):
    lines = "".join(json.dumps({"text": line}) + "\n" for line in small.text(40).splitlines())
    content, name, model = {
        "rows": (small.rows(), "rows.jsonl", "gpt"),
        "texts": (lines, "texts.jsonl", "gpt"),
        "image rows": (small.image_rows(6), "images.jsonl", "images"),
        "zip": (folders(), "images.zip", "images"),
    }[kind]
    images = {"images": {"flip": 0, "crop": 1}} if model == "images" else {}
    learns = tuned.method(batch_size=8, **images)
    made = tuned.begin(client, tuned.upload(client, content, name), model, method=learns)
    tuned.train(service.tuning)
    job = client.get(f"{JOBS}/{made['id']}").json
    assert job["status"] == "succeeded", job["error"]
    assert job["method"]["supervised"].get("images", {}) == images.get("images", {})
    name = job["fine_tuned_model"]
    if model == "gpt":
        assert client.post("/v1/completions", json={"model": name, "prompt": "the "}).status_code == 200
        return
    picture = small.png(small.picture(1, 99))
    found = client.post(f"/v2/models/{name}/classify", data=picture).json
    assert {each["label"] for each in found["predictions"]} == set(small.CLASSES)


def test_a_chat_is_learned(make_service, tmp_path):
    """By a small model that takes all letters that the prompts of chats have, and is long enough for them."""
    path = Path(small.weights("gpt-char", tmp_path, context=64))
    service = make_service(load.load, [Source("talker", path)])
    client = create_app(service).test_client()
    learns = tuned.method(n_epochs=4, batch_size=4)
    made = tuned.begin(client, tuned.upload(client, chats(), "chats.jsonl"), "talker", method=learns)
    tuned.train(service.tuning)
    job = client.get(f"{JOBS}/{made['id']}").json
    assert job["status"] == "succeeded", job["error"]
    said = [{"role": "user", "content": small.WORDS[0][0]}]
    asked = {"model": job["fine_tuned_model"], "messages": said, "temperature": 0, "max_completion_tokens": 40}
    answer = client.post("/v1/chat/completions", json=asked).json["choices"][0]
    assert answer["message"]["role"] == "assistant" and answer["finish_reason"] in ("stop", "length")
    losses = [each["metrics"]["train_loss"] for each in client.get(f"{JOBS}/{job['id']}/checkpoints").json["data"]]
    assert losses[0] < losses[-1]  # the newest first


@pytest.mark.parametrize(
    "content, name, model, reason",
    [
        ('{"prompt": "a"}\n', "x.jsonl", "gpt", "x.jsonl: line 1 has the fields 'prompt': write"),
        ("a", "x.txt", "gpt", "x.txt is too short"),
        (small.image_rows(2), "x.jsonl", "gpt", "x.jsonl: line 1 has the fields 'image', 'label'"),
        (small.rows(), "x.jsonl", "images", "x.jsonl: line 1 has the fields"),
        (small.text(), "x.txt", "images", "learns from a folder"),
        (b"PK nonsense", "x.zip", "images", "x.zip: it is no zip file"),
        (zipped([("a/1.png", b"x"), ("b/1.png", b"x")]), "x.zip", "images", "is not an image"),
        (json.dumps({"image": base64.b64encode(b"x").decode(), "label": "a"}), "x.jsonl", "images", "line 1 has an"),
    ],
)
def test_data_that_cannot_be_learned_from_fail_the_job(content, name, model, reason, client, service):
    made = tuned.begin(client, tuned.upload(client, content, name), model)
    tuned.train(service.tuning)
    job = client.get(f"{JOBS}/{made['id']}").json
    assert job["status"] == "failed" and job["finished_at"] and job["fine_tuned_model"] is None
    assert job["error"]["code"] == "invalid_training_file" and reason in job["error"]["message"], job["error"]
    assert str(service.tuning.store.home) not in job["error"]["message"]
    assert messages(client, made["id"])[0] == f"The job failed: {job['error']['message']}"


def test_what_is_wrong_with_other_things_is_no_fault_of_the_data(client, service, file, tmp_path):
    """Layers that there are not; weights of the base that have gone."""
    layers = tuned.begin(client, file, method=tuned.method(lora={"target_modules": ["nope"]}))
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(tuned.bases()["gpt"].read_bytes())
    service.registry.add(Source("moved", moved))
    gone = tuned.begin(client, file, "moved")
    moved.unlink()
    for job, reason in ((layers, "'nope'"), (gone, "base.safetensors cannot be read")):
        tuned.train(service.tuning)
        error = client.get(f"{JOBS}/{job['id']}").json["error"]
        assert error["code"] == "training_failed" and error["param"] is None and reason in error["message"], error


def test_a_file_that_was_deleted_and_one_that_measures(client, service, file):
    gone = tuned.begin(client, file, validation_file=tuned.upload(client, small.text(20), "held.txt"))
    second = tuned.upload(client, small.text(), "second.txt")
    kept = tuned.begin(client, second, validation_file=gone["validation_file"])
    client.delete(f"/v1/files/{file}")
    tuned.train(service.tuning)
    tuned.train(service.tuning)
    error = client.get(f"{JOBS}/{gone['id']}").json["error"]
    assert error["code"] == "invalid_training_file" and "there is no file" in error["message"]
    assert client.get(f"{JOBS}/{kept['id']}").json["status"] == "succeeded"


def test_a_job_that_needs_more_memory_than_it_may_is_refused(make_service):
    service = make_service(load.load, tuned.sources()[:1], limits=Limits(training=1 << 20))
    client = create_app(service).test_client()
    made = tuned.begin(client, tuned.upload(client, small.text(), "my.txt"))
    tuned.train(service.tuning)
    error = client.get(f"{JOBS}/{made['id']}").json["error"]
    assert error["code"] == "training_failed" and "--max-training-mib" in error["message"]


ASKED = [  # (fields of a job, status, the field that is blamed)
    ({"model": "nope"}, 404, "model"),
    ({"model": 3}, 400, "model"),
    ({"model": "linear"}, 400, "model"),
    ({"training_file": "file-x"}, 404, "training_file"),
    ({"training_file": None}, 400, "training_file"),
    ({"validation_file": "file-x"}, 404, "validation_file"),
    ({"suffix": "x" * 65}, 400, "suffix"),
    ({"suffix": "a b"}, 400, "suffix"),
    ({"seed": -1}, 400, "seed"),
    ({"seed": 1.5}, 400, "seed"),
    ({"seed": True}, 400, "seed"),
    ({"metadata": {"a": 1}}, 400, "metadata"),
    ({"metadata": {str(i): "" for i in range(17)}}, 400, "metadata"),
    ({"method": {"type": "dpo"}}, 400, "method"),
    ({"method": {"type": "supervised", "supervised": {"x": 1}}}, 400, "method"),
    ({"method": tuned.method(n_epochs=0)}, 400, "n_epochs"),
    ({"method": tuned.method(n_epochs=True)}, 400, "n_epochs"),
    ({"method": tuned.method(n_epochs=51)}, 400, "n_epochs"),
    ({"method": tuned.method(batch_size="many")}, 400, "batch_size"),
    ({"method": tuned.method(batch_size=257)}, 400, "batch_size"),
    ({"method": tuned.method(learning_rate_multiplier=0)}, 400, "learning_rate_multiplier"),
    ({"method": tuned.method(learning_rate=-1)}, 400, "learning_rate"),
    ({"method": tuned.method(lora={"r": 0})}, 400, "lora"),
    ({"method": tuned.method(lora={"rank": 1})}, 400, "lora"),
    ({"method": tuned.method(lora={"alpha": "x"})}, 400, "lora"),
    ({"method": tuned.method(lora={"dropout": 1})}, 400, "lora"),
    ({"method": tuned.method(lora={"target_modules": []})}, 400, "lora"),
    ({"method": tuned.method(images={"flip": 2})}, 400, "images"),
    ({"method": tuned.method(images={"crop": -1})}, 400, "images"),
    ({"method": tuned.method(images={"turn": 1})}, 400, "images"),
    ({"hyperparameters": 3, "method": None}, 400, "hyperparameters"),
    ({"integrations": [{}]}, 400, "integrations"),
    ({"nonsense": 1}, 400, None),
]


def test_what_is_asked_for_is_checked(client, service, file, tmp_path):
    from deploy import freeze
    from needle import nn

    freeze(nn.Linear(4, 2), np.ones((1, 4), np.float32)).save(tmp_path / "linear.nd")
    service.registry.add(Source("linear", tmp_path / "linear.nd"))
    for change, status, param in ASKED:
        answer = client.post(JOBS, json={"model": "gpt", "training_file": file} | change)
        assert answer.status_code == status and answer.json["error"]["param"] == param, (change, answer.json)
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
        assert client.get(JOBS).json["data"] == [], change


def test_older_clients_send_hyperparameters_beside_the_method(client, file):
    body = {"model": "gpt", "training_file": file, "hyperparameters": {"n_epochs": 3, "batch_size": "auto"}}
    job = client.post(JOBS, json=body).json
    assert job["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": "auto",
    }  # fmt: skip
    assert 0 <= job["seed"] < 2**31 and job["metadata"] is None and job["user_provided_suffix"] is None


def test_the_same_request_again_gives_the_same_job(client, file):
    body, key = {"model": "gpt", "training_file": file}, {"Idempotency-Key": "once"}
    first = client.post(JOBS, json=body, headers=key).json
    assert client.post(JOBS, json=body, headers=key).json == first and "seed" in first
    other = client.post(JOBS, json=body | {"suffix": "x"}, headers=key)
    assert other.status_code == 422 and "Idempotency-Key" in other.json["error"]["message"]
    assert client.post(JOBS, json=body).json["id"] != first["id"]
    assert client.post(JOBS, json=body, headers={"Idempotency-Key": "a b"}).status_code == 400
    assert len(client.get(JOBS).json["data"]) == 2


def test_lists_of_jobs_have_cursors_and_look_into_metadata(client, file):
    teams = [None, {"team": "a"}, {"team": "b", "x": "1"}, {"team": "a", "x": "1"}, {}]
    ids = [tuned.begin(client, file, metadata=team)["id"] for team in teams]

    def listed(query):
        return [job["id"] for job in client.get(f"{JOBS}?{query}").json["data"]]

    assert listed("limit=100") == ids[::-1]
    page = client.get(f"{JOBS}?limit=2").json
    assert page["has_more"] and listed(f"limit=3&after={page['data'][-1]['id']}") == ids[2::-1]
    assert not client.get(f"{JOBS}?limit=3&after={ids[3]}").json["has_more"]
    assert listed("metadata%5Bteam%5D=a") == [ids[3], ids[1]]
    assert listed("metadata[team]=a&metadata[x]=1") == [ids[3]] and listed("metadata[team]=") == []
    assert listed("metadata=null") == [ids[0]]
    for wrong, status in (("limit=101", 400), ("after=ftjob-x", 404), ("metadata=x", 400)):
        assert client.get(f"{JOBS}?{wrong}").status_code == status
