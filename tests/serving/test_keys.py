"""Keys: who may ask, for what, how often; what is counted for them; and turns between them."""

import json
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import texts
from fakes import fake
from test_oip import body

from serving import cli
from serving.app import create_app
from serving.engine.batcher import Batcher
from serving.engine.catalog import Catalog
from serving.engine.errors import Busy, ServingError
from serving.engine.fair import FairQueue
from serving.engine.keys import Keys
from serving.engine.service import Service

INFER = "/v2/models/resnet9/infer"


@pytest.fixture
def keys(place):
    keys = Keys(place("state/state.db"))
    yield keys
    keys.close()


@pytest.fixture
def client(make_service, keys):
    made: Catalog = make_service(lambda source: fake(source.name)).catalog
    return create_app(Service(made, keys)).test_client()


def test_a_server_whose_keys_are_lost_stays_closed(make_service, tmp_path):
    keys = Keys(tmp_path / "state" / "state.db")
    client = create_app(make_service(lambda source: fake(source.name), keys=keys)).test_client()
    _, secret = keys.create(["infer"])
    assert client.post(INFER, data=body(), headers=bearer(secret)).status_code == 200
    for file in (tmp_path / "state").glob("state.db*"):
        file.unlink()
    for headers in ({}, bearer(secret)):
        refused = client.post(INFER, data=body(), headers=headers)
        assert refused.status_code == 503 and "the keys is gone" in refused.json["error"]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_without_keys_everybody_is_answered_and_with_the_first_one_nobody_else(client, keys):
    assert client.post(INFER, data=body()).status_code == 200
    _, secret = keys.create(["infer"])
    refused = client.post(INFER, data=body())
    assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
    assert "Authorization: Bearer KEY" in refused.json["error"]
    assert client.post(INFER, data=body(), headers=bearer(secret)).status_code == 200
    assert client.post(INFER, data=body(), headers={"x-api-key": secret}).status_code == 200
    for wrong in ("nk-x", secret + "x", "", "é"):
        assert client.post(INFER, data=body(), headers=bearer(wrong)).status_code == 401
    for path in ("/v2/health/live", "/v2/health/ready", "/", "/openapi.json", "/docs"):
        assert client.get(path).status_code == 200
    for path in ("/metrics", "/v2/models", "/nope", "/v1/models"):
        assert client.get(path).status_code == 401
    error = client.get("/v1/models").json["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


def test_a_scope_lets_do_what_it_says(client, keys):
    _, infer = keys.create(["infer"])
    _, admin = keys.create(["admin"])
    unload = "/v2/repository/models/other/unload"
    assert client.post(unload, headers=bearer(infer)).status_code == 403
    assert client.post(INFER, data=body(), headers=bearer(admin)).status_code == 403
    assert client.post(unload, headers=bearer(admin)).status_code == 200
    assert client.get("/metrics", headers=bearer(infer)).status_code == 200


def test_a_revoked_key_is_refused_at_once_and_the_server_stays_closed(client, keys, tmp_path):
    key, secret = keys.create(["infer"])
    assert client.post(INFER, data=body(), headers=bearer(secret)).status_code == 200
    other = Keys(keys.database.place)  # as another process has it
    other.revoke(key.id)
    other.close()
    refused = client.post(INFER, data=body(), headers=bearer(secret))
    assert refused.status_code == 401 and "revoked" in refused.json["error"]
    assert client.post(INFER, data=body()).status_code == 401


def test_only_hashes_are_kept_and_only_the_owner_may_read_them(keys):
    _, secret = keys.create(["infer"], name="me")
    (row,) = keys.database.rows("SELECT * FROM keys")
    assert len(row["hash"]) == 64 and secret[3:] not in str(row)
    keys.close()
    if isinstance(keys.database.place, Path):
        assert secret[3:].encode() not in keys.database.place.read_bytes()
        assert stat.S_IMODE(keys.database.place.stat().st_mode) == 0o600


def test_a_rate_is_kept_over_all_workers(client, keys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("serving.engine.keys.time.time", lambda: now[0])
    _, secret = keys.create(["infer"], rate=2.0)
    other = Keys(keys.database.place)
    assert other.admit(secret, "infer") is not None
    assert client.post(INFER, data=body(), headers=bearer(secret)).status_code == 200
    refused = client.post(INFER, data=body(), headers=bearer(secret))
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "1"
    assert "2 requests a second" in refused.text
    now[0] += 0.5
    assert client.post(INFER, data=body(), headers=bearer(secret)).status_code == 200
    assert client.post(INFER, data=body(), headers=bearer(secret)).status_code == 429
    now[0] += 100
    assert [client.get("/v2", headers=bearer(secret)).status_code for _ in range(3)] == [200, 200, 429]
    _, slow = keys.create(["infer"], rate=0.01)
    assert client.get("/v2", headers=bearer(slow)).status_code == 200
    assert client.get("/v2", headers=bearer(slow)).headers["Retry-After"] == "100"
    other.close()


def test_what_a_key_has_used_is_its_own_affair(make_service, keys):
    client = create_app(Service(make_service(texts.load, ["gpt-char"]).catalog, keys)).test_client()
    one, first = keys.create(["infer"])
    _, second = keys.create(["infer"])
    _, admin = keys.create(["admin"])
    asked = {"model": "gpt-char", "prompt": "O Rome", "max_tokens": 4, "seed": 1}
    for stream in (True, False):
        with client.post("/v1/completions", json=asked | {"stream": stream}, headers=bearer(first)) as answer:
            assert answer.data
    client.post("/v1/embeddings", json={"model": "gpt-char", "input": "all"}, headers=bearer(first))
    (row,) = client.get("/v1/usage", headers=bearer(first)).json["data"]
    assert row | {"day": ""} == {
        "key": one.id, "day": "", "model": "gpt-char", "requests": 3, "rows": 0, "prompt_tokens": 15,
        "completion_tokens": 8,
    }  # fmt: skip
    assert client.get("/v1/usage", headers=bearer(second)).json["data"] == []
    assert client.get("/v1/usage", headers=bearer(admin)).json["data"] == [row]


def test_owners_take_turns():
    queue = FairQueue()
    for owner, items in {"a": "123456", "b": "xy", "c": "!"}.items():
        for item in items:
            queue.push(owner, item)
    assert (len(queue), queue.owners(), queue.first()) == (9, 3, "1")
    assert "".join(queue.pop() for _ in range(9)) == "1x!2y3456"
    assert queue.first() is None
    with pytest.raises(IndexError):
        queue.pop()


def test_a_greedy_key_does_not_starve_the_others():
    """60 requests of one wait; the first of another is in the next run, not behind them, and has room in the queue."""
    runs, gate, lock = [], threading.Event(), threading.Lock()

    def run(batch):
        gate.wait(10)
        with lock:
            runs.append(batch["x"][:, 0].tolist())
        return {"y": batch["x"]}

    batcher = Batcher(run, max_rows=4, limit=40)
    refused = []

    def ask(owner, number):
        try:
            batcher.submit({"x": np.array([[number]])}, owner=owner)
        except Busy:
            refused.append(owner)

    threads = [threading.Thread(target=ask, args=("greedy", 1)) for _ in range(60)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while (batcher.in_flight < 30 or len(refused) < 30) and time.monotonic() < deadline:
        time.sleep(0.001)
    threads += [threading.Thread(target=ask, args=("modest", 2)) for _ in range(3)]
    for thread in threads[60:]:
        thread.start()
    while batcher.in_flight < 33 and time.monotonic() < deadline:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert refused == ["greedy"] * 30
    assert sum(row.count(2) for row in runs[:3]) == 3  # after the first, which ran before they came
    assert not batcher.owned and not batcher.in_flight


def test_the_command(tmp_path, capsys):
    state = ["--state", str(tmp_path)]
    flags = ["--scope", "infer,train", "--rate", "120/m", "--name", "me", "--json"]
    assert cli.main(["keys", "create", *flags, *state]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["rate"] == 2 and made["scopes"] == ["infer", "train"] and made["secret"].startswith("nk-")
    assert cli.main(["keys", "list", *state]) == 0
    shown = capsys.readouterr().out
    assert made["id"] in shown and "2/s" in shown and "me" in shown and made["secret"] not in shown
    assert cli.main(["keys", "revoke", made["id"], *state]) == 0
    assert cli.main(["keys", "list", *state]) == 0 and "revoked" in capsys.readouterr().out
    assert cli.main(["keys", "revoke", "key-x", *state]) == 1
    assert "no key 'key-x'" in capsys.readouterr().err
    for wrong in (["--scope", "all"], ["--rate", "10"], ["--rate", "0/s"], ["--rate", "1/d"]):
        with pytest.raises(SystemExit):
            cli.main(["keys", "create", *wrong, *state])


def test_other_machines_are_not_let_in_without_keys(tmp_path, place, caplog):
    def check(*flags):
        cli.check_address(cli.parser().parse_args(["--port", "0", "--state", str(tmp_path), *flags]))

    check()
    with pytest.raises(ServingError, match=r"\[0.0.0.0\] other machines can reach it.*needle-serve keys create"):
        check("--host", "0.0.0.0")
    check("--host", "0.0.0.0", "--open")
    keys = Keys(cli.state_of(cli.parser().parse_args(["--state", str(tmp_path)])).place)
    keys.create(["infer"])
    keys.close()
    check("--host", "0.0.0.0")
