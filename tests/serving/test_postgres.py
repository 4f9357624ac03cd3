"""Rows in a real PostgreSQL server: everything that holds in a file holds there, for several servers at once."""

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import postgres
import pytest
import tuned
from conftest import real

from needle.errors import SettingError
from serving.engine.database import DATABASE, DatabaseFailed, database_at
from serving.engine.keys import Keys
from serving.engine.tuning.asked import job_request
from serving.engine.tuning.jobs import Jobs
from serving.engine.tuning.leases import Leases
from serving.engine.tuning.store import Store
from tests.zoo import finetune_runs as small

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("test_keys", "test_files", "test_jobs_lives")  # what is said of rows in them


@pytest.fixture(scope="module")
def server():
    with postgres.postgres() as found:
        yield found


@pytest.fixture
def url(server):
    return postgres.fresh(server.url)


@pytest.mark.thorough
def test_what_holds_in_a_file_holds_there(server):
    files = [f"tests/serving/{name}.py" for name in KEPT]
    environment = {**os.environ, postgres.TEST_DATABASE: server.url}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *files]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 40, done.stdout[-2000:]


def test_each_job_is_claimed_once(url, tmp_path):
    """Eight processes' worth of connections want twenty jobs."""
    stores = [Store(tmp_path, url) for _ in range(8)]
    stores[0].create()
    request = job_request({"model": "gpt", "training_file": "file-x"})
    made = {Jobs(stores[0]).create(f"owner-{i % 3}", request, "gpt-char", None)["id"] for i in range(20)}
    claimed = []

    def claim(number):
        while (row := Leases(stores[number]).claim(f"holder-{number}")) is not None:
            claimed.append(row["id"])

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 20 and set(claimed) == made
    for store in stores:
        store.database.close()


def test_a_rate_is_kept_over_all_servers_whatever_they_ask_at_once(url):
    keys = [Keys(url) for _ in range(4)]
    _, secret = keys[0].create(["infer"], rate=20.0)
    admitted = []

    def ask(each):
        for _ in range(20):
            try:
                each.admit(secret, "infer")
                admitted.append(1)
            except Exception as refused:
                assert "20 requests a second" in str(refused)

    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=(each,)) for each in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 20 <= len(admitted) <= 20 + 20 * (time.monotonic() - begun) + 1
    for each in keys:
        each.close()


def test_a_server_that_was_away_is_found_again(tmp_path):
    with postgres.postgres() as server:
        keys = Keys(server.url)
        _, secret = keys.create(["infer"])
        server.stop()
        with pytest.raises(DatabaseFailed, match="does not answer"):
            keys.admit(secret, "infer")
        server.start()
        for attempt in range(2):  # the first may find that its connection was cut
            try:
                assert keys.admit(secret, "infer").scopes == ("infer",)
                break
            except DatabaseFailed:
                assert attempt == 0
        keys.close()


def test_what_is_no_database_is_said_without_the_password():
    with pytest.raises(SettingError, match=r"postgresql://user@host/name, got 'mysql://me@here/x'"):
        database_at("mysql://me:secret@here/x", "")
    pytest.importorskip("psycopg")
    found = database_at("postgresql://me:secret@127.0.0.1:1/x?password=hidden", "")
    assert str(found) == "postgresql://me@127.0.0.1:1/x?password=..."
    with pytest.raises(DatabaseFailed, match="does not answer") as failed:
        found.create()
    assert "secret" not in str(failed.value)


def test_without_a_driver_it_says_how_to_get_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingError, match=r"//me@here/x needs a driver.*pip install 'needle-dl\[postgres\]'"):
        database_at("postgresql://me:secret@here/x", "")


@pytest.mark.thorough
def test_two_servers_are_as_one(url, tmp_path, monkeypatch):
    """A key, a file, a job and a model that were made with one are there with the other; a job runs once."""
    openai = pytest.importorskip("openai")
    monkeypatch.setenv(DATABASE, url)
    keys = Keys(url)
    key, secret = keys.create(["infer", "train"])
    models = [f"{name}={path}" for name, path in tuned.bases().items()]
    flags = ["--state", str(tmp_path), "--engine", "instant", "--train-nice", "1", "--models", *models]
    with ExitStack() as stack:
        servers = [stack.enter_context(real(*flags, models=len(models))) for _ in range(2)]
        urls = [f"http://{each.address}/v1" for each in servers]
        a, b = (stack.enter_context(openai.OpenAI(base_url=url, api_key=secret)) for url in urls)
        jobs = []
        for number in range(4):
            file = a.files.create(file=("my.txt", small.text().encode()), purpose="fine-tune")
            assert b.files.retrieve(file.id).bytes == file.bytes
            jobs.append(tuned.begun((a, b)[number % 2], file.id, number))
        made = tuned.models_of(b, jobs)
        assert tuned.models_of(a, jobs) == made
        for name in made:
            asked = {"model": name, "prompt": "my ", "seed": 1, "max_tokens": 9}
            assert a.completions.create(**asked).choices == b.completions.create(**asked).choices
        assert a.models.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            b.completions.create(model=name, prompt="my ")
        assert keys.usage(key.id)
        keys.revoke(key.id)
        for client in (a, b):
            with pytest.raises(openai.AuthenticationError):
                client.models.list()
    keys.close()
