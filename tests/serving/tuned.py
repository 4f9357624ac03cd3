"""What the tests of fine-tuning share: small bases, uploads, and a trainer in this process."""

import io
import os
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from serving.app import create_app
from serving.engine import load
from serving.engine.keys import Keys
from serving.engine.sources import Source
from serving.engine.tuning.leases import Leases
from serving.engine.tuning.work import Work
from tests.zoo import finetune_runs as small
from zoo.finetune import language

JOBS = "/v1/fine_tuning/jobs"
FAST = {"n_epochs": 1, "batch_size": 32, "learning_rate": 0.02}


@cache
def bases() -> dict[str, Path]:
    """The weights of a small language model and a small image model, trained for a second, by their names in tests."""
    found = small.bases(Path(mkdtemp(prefix="needle-bases-")))
    return {"gpt": Path(found["gpt-char"]), "images": Path(found["resnet20"])}


def sources() -> list[Source]:
    """Both, as a server has them."""
    return [Source(name, path, "instant", digest="1") for name, path in bases().items()]


def upload(client, content: bytes | str, name: str, headers: Any = None) -> str:
    """The id of a file that was sent."""
    data = content if isinstance(content, bytes) else content.encode()
    form = {"file": (io.BytesIO(data), name), "purpose": "fine-tune"}
    answer = client.post("/v1/files", data=form, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json["id"])


def method(**changes: Any) -> dict[str, Any]:
    """The field of a job that is done soon."""
    more = {"lora": {"r": 4}} | {name: changes.pop(name) for name in ("lora", "images") if name in changes}
    return {"type": "supervised", "supervised": {"hyperparameters": FAST | changes, **more}}


def begin(client, file: str, model: str = "gpt", headers: Any = None, **fields: Any) -> dict[str, Any]:
    """A job that was made."""
    body = {"model": model, "training_file": file, "seed": 1, "method": method()} | fields
    answer = client.post("/v1/fine_tuning/jobs", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def begun(client, file: str, seed: int) -> str:
    """The id of a job that is done soon, made by an OpenAI client."""
    asked = {"model": "gpt", "training_file": file, "seed": seed, "extra_body": {"method": method()}}
    return str(client.fine_tuning.jobs.create(**asked).id)


def models_of(client, jobs: list[str]) -> list[str]:
    """What jobs have made, once all have ended; each was begun once, whoever looked for it."""
    deadline = time.monotonic() + 120
    while any(client.fine_tuning.jobs.retrieve(id).status not in ("succeeded", "failed") for id in jobs):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for id in jobs:
        done = client.fine_tuning.jobs.retrieve(id)
        assert done.status == "succeeded", done.error
        messages = [event.message for event in client.fine_tuning.jobs.list_events(id, limit=100)]
        assert messages.count("Fine-tuning job started") == 1
    return [client.fine_tuning.jobs.retrieve(id).fine_tuned_model for id in jobs]


def train(tuning: Any, stop: Any = lambda: False) -> None:
    """Claim a job and work on it, as the process that trains does."""
    row = Leases(tuning.store).claim("tests")
    assert row is not None
    folder, sample = os.getcwd(), language.SAMPLE
    language.SAMPLE = {**sample, "max_tokens": 4}  # what a run shows at its ends takes longer than these runs
    try:
        Work(row, "tests", tuning.files, stop).do()
    finally:
        os.chdir(folder)
        language.SAMPLE = sample


@pytest.fixture
def service(make_service, place):
    return make_service(load.load, sources(), keys=Keys(place("keys.db")))


@pytest.fixture
def client(service):
    return create_app(service).test_client()


@pytest.fixture
def file(client):
    return upload(client, small.text(), "my.txt")


def messages(client, job):
    return [event["message"] for event in client.get(f"{JOBS}/{job}/events?limit=100").json["data"]]
