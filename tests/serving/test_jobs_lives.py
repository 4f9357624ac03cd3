"""Jobs from their first moment to their last: turned, leased, and ended; whose they are, and what comes of them."""

import re
import time

import pytest
import tuned
from test_keys import bearer

from serving.app import create_app
from serving.engine import load
from serving.engine.database import DatabaseFailed
from serving.engine.service import Service
from serving.engine.tuning import leases
from serving.engine.tuning.jobs import Jobs
from serving.engine.tuning.leases import Leases
from tests.zoo import finetune_runs as small

JOBS, messages = tuned.JOBS, tuned.messages
service, client, file = tuned.service, tuned.client, tuned.file  # fixtures


def turn(client, job, word):
    return client.post(f"{JOBS}/{job}/{word}")


def test_a_job_that_waits_is_cancelled_paused_and_resumed(client, service, file):
    job = tuned.begin(client, file)["id"]
    paused = turn(client, job, "pause").json
    assert paused["status"] == "queued" and not Leases(service.tuning.store).waiting()
    assert turn(client, job, "pause").status_code == 400
    assert turn(client, job, "resume").json["status"] == "queued" and Leases(service.tuning.store).waiting()
    assert turn(client, job, "resume").status_code == 400
    cancelled = turn(client, job, "cancel").json
    assert cancelled["status"] == "cancelled" and cancelled["finished_at"] and cancelled["error"] is None
    for word in ("cancel", "pause", "resume"):
        refused = turn(client, job, word)
        assert refused.status_code == 400 and "a job that is cancelled cannot be" in refused.json["error"]["message"]
        assert turn(client, "ftjob-x", word).status_code == 404
    assert not Leases(service.tuning.store).waiting()
    assert messages(client, job)[:3] == ["The job was cancelled", "The job was resumed", "The job was paused"]


@pytest.mark.parametrize("word", ["pause", pytest.param("cancel", marks=pytest.mark.thorough)])
def test_a_job_that_runs_stops_at_a_step_and_a_paused_one_goes_on_to_the_same_bytes(word, client, service, file):
    whole, job = (tuned.begin(client, file)["id"] for _ in range(2))
    tuned.train(service.tuning)
    seen = []

    def stop():
        """Asked after each step: at the fifth one somebody turns the job, which is then noticed."""
        seen.append(1)
        if len(seen) == 5:
            assert turn(client, job, word).status_code == 200
        if len(seen) == 6:
            time.sleep(1.0)  # for the lease to be renewed in
        return False

    tuned.train(service.tuning, stop)
    state = client.get(f"{JOBS}/{job}").json
    assert state["status"] == {"pause": "queued", "cancel": "cancelled"}[word] and len(seen) < 15
    (step,) = map(int, re.findall(r"^Stopped after step (\d+); what it has learned is kept$", messages(client, job)[0]))
    assert 1 <= step <= len(seen)
    folder = service.tuning.store.home / "jobs" / job
    assert not Leases(service.tuning.store).waiting()
    if word == "cancel":
        assert not folder.exists()
        return
    assert (folder / "run" / "checkpoint.safetensors").exists()
    turn(client, job, "resume")
    tuned.train(service.tuning)
    one, two = (client.get(f"{JOBS}/{id}").json for id in (whole, job))
    assert one["status"] == two["status"] == "succeeded"
    for first, second in zip(one["result_files"], two["result_files"], strict=True):
        assert client.get(f"/v1/files/{first}/content").data == client.get(f"/v1/files/{second}/content").data


def test_what_a_paused_job_works_with_goes_when_it_is_cancelled(client, service, file):
    job = tuned.begin(client, file)["id"]
    tuned.train(service.tuning, stop=lambda: turn(client, job, "pause").status_code == 200)
    folder = service.tuning.store.home / "jobs" / job
    assert folder.exists() and turn(client, job, "cancel").status_code == 200 and not folder.exists()


def test_what_a_killed_server_has_left_of_ended_jobs_goes_when_one_begins(client, service, file):
    ended, waits = (tuned.begin(client, file)["id"] for _ in range(2))
    turn(client, ended, "cancel")
    folders = [service.tuning.store.home / "jobs" / job for job in (ended, waits)]
    for folder in folders:
        folder.mkdir()
    service.tuning.begin()
    assert [folder.exists() for folder in folders] == [False, True]


def test_a_database_that_is_away_for_a_moment_is_no_fault_of_the_job(client, service, file, monkeypatch):
    job, tell, failures = tuned.begin(client, file)["id"], Jobs.tell, iter([DatabaseFailed("[server] away")])

    def fails_once(self, id, message, *more, **options):
        if message.startswith("Step 3/"):
            raise next(failures)
        tell(self, id, message, *more, **options)

    monkeypatch.setattr(Jobs, "tell", fails_once)
    tuned.train(service.tuning)
    assert client.get(f"{JOBS}/{job}").json["status"] == "queued" and Leases(service.tuning.store).waiting()
    monkeypatch.setattr(Jobs, "tell", tell)
    tuned.train(service.tuning)
    assert client.get(f"{JOBS}/{job}").json["status"] == "succeeded"


def test_one_at_a_time_holds_a_job_and_owners_take_turns(client, service, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(leases.time, "time", lambda: now[0])
    _, greedy = service.keys.create(["train", "infer"])
    _, modest = service.keys.create(["train", "infer"])
    made = []
    for secret in (greedy, greedy, greedy, modest):
        file = tuned.upload(client, "text", "x.txt", bearer(secret))
        made.append(tuned.begin(client, file, headers=bearer(secret))["id"])
    held = Leases(service.tuning.store)

    def claim(holder):
        now[0] += 1
        row = held.claim(holder)
        return row and made.index(row["id"])

    assert [claim(str(i)) for i in range(5)] == [0, 3, 1, 2, None]
    assert held.renew(made[0], "0", "running", 5) and not held.renew(made[0], "1", "running")
    now[0] += leases.LEASE + 1
    assert held.waiting() and [claim("late"), claim("new")] == [3, 0]  # whose owner has waited longer, then
    assert not held.renew(made[0], "0", "running") and held.renew(made[0], "new", "running")
    assert not held.succeed(made[0], "0", "model", [], 1)
    held.fail(made[0], "0", "code", "message")
    assert service.tuning.jobs.counts()["running"] == 1
    held.release("new")
    assert claim("newer") == 0


def test_a_job_whose_processes_all_end_fails_at_last(client, service, file):
    job = tuned.begin(client, file)["id"]
    held = Leases(service.tuning.store)
    for _ in range(leases.MOST_ATTEMPTS):
        assert held.claim("killed")["id"] == job
        held.release("killed")
    tuned.train(service.tuning)
    found = client.get(f"{JOBS}/{job}").json
    assert found["status"] == "failed" and found["error"]["code"] == "server_error"
    assert "5 processes that worked on it ended" in found["error"]["message"]


def test_a_fault_of_our_own_is_tried_again_and_then_told(client, service, file, monkeypatch):
    def fault(*arguments, **options):
        raise ZeroDivisionError

    job = tuned.begin(client, file)["id"]
    monkeypatch.setattr("serving.engine.tuning.work.Job", fault)
    for _ in range(leases.MOST_ATTEMPTS):
        with pytest.raises(ZeroDivisionError):
            tuned.train(service.tuning)
        assert client.get(f"{JOBS}/{job}").json["status"] == "queued"
    tuned.train(service.tuning)
    assert client.get(f"{JOBS}/{job}").json["error"]["code"] == "server_error"


def test_two_processes_are_never_in_one_folder(client, service, file):
    from needle.training.lock import locked

    job = tuned.begin(client, file)["id"]
    folder = service.tuning.store.home / "jobs" / job
    folder.mkdir()
    with locked(folder):
        tuned.train(service.tuning)
    assert Leases(service.tuning.store).waiting()
    assert service.tuning.jobs.get("", job)["attempts"] == 0
    tuned.train(service.tuning)
    assert client.get(f"{JOBS}/{job}").json["status"] == "succeeded"


def test_jobs_and_models_of_one_key_are_not_there_for_another(client, service):
    (_, one), (_, two) = (service.keys.create(["train", "infer"]) for _ in range(2))
    _, admin = service.keys.create(["infer", "train", "admin"])
    mine = bearer(one)
    job = tuned.begin(client, tuned.upload(client, small.text(), "my.txt", mine), headers=mine)
    tuned.train(service.tuning)
    name = client.get(f"{JOBS}/{job['id']}", headers=mine).json["fine_tuned_model"]
    ask = {"model": name, "prompt": "my cat "}
    assert client.post("/v1/completions", json=ask, headers=mine).status_code == 200
    assert name in client.get("/metrics", headers=mine).text
    for key in (bearer(two), bearer(admin)):
        assert client.post("/v1/completions", json=ask, headers=key).status_code == 404
        assert client.post("/v1/embeddings", json={"model": name, "input": "a"}, headers=key).status_code == 404
        for path in ("", "/cancel", "/pause", "/resume"):
            method = "POST" if path else "GET"
            assert client.open(f"{JOBS}/{job['id']}{path}", method=method, headers=key).status_code == 404
        for path in (f"{JOBS}/{job['id']}/events", f"{JOBS}/{job['id']}/checkpoints", f"/v1/models/{name}",
                     f"/v1/models/{name}/adapter", f"/v2/models/{name}", f"/v2/models/{name}/config",
                     f"/v2/models/{name}/ready", f"/v2/models/{name}/stats"):  # fmt: skip
            assert client.get(path, headers=key).status_code == 404, path
        for order in ("infer", "classify", "sample"):
            assert client.post(f"/v2/models/{name}/{order}", json={}, headers=key).status_code == 404
        refused = client.post(JOBS, json={"model": name, "training_file": "x"}, headers=key)
        assert refused.status_code == 404 and name not in refused.text.replace(f"no model '{name}'", "")
        assert client.delete(f"/v1/models/{name}", headers=key).status_code == 404
        assert client.get(JOBS, headers=key).json["data"] == []
        everything = [client.get(path, headers=key).text for path in ("/v1/models", "/v2/models", "/v2/models/stats")]
        everything += [client.post("/v2/repository/index", headers=key).text, client.get("/metrics", headers=key).text]
        everything += [client.get("/v2/models/nope", headers=key).text]
        assert all(name not in text for text in everything)
    for order in ("load", "unload"):
        path = f"/v2/repository/models/{name}/{order}"
        assert client.post(path, headers=bearer(admin)).status_code == 404
    assert client.post("/v1/completions", json=ask, headers=mine).status_code == 200


def test_a_model_is_on_every_worker_at_once_and_after_a_restart_without_compiling(
    client, service, file, make_service, monkeypatch
):
    import serving.engine.load

    monkeypatch.setattr(serving.engine.load, "compiled", None)  # whoever compiles fails
    other = Service(type(service.catalog)(load.load, service.metrics, service.limits), service.keys, service.tuning)
    restarted = make_service(load.load, tuned.sources())
    restarted.tuning = service.tuning
    job = tuned.begin(client, file)["id"]
    tuned.train(service.tuning)
    name = client.get(f"{JOBS}/{job}").json["fine_tuned_model"]
    asked, written = {"model": name, "prompt": "my cat ", "max_tokens": 20, "seed": 4}, set()
    for each in (service, other, restarted):
        there = create_app(each).test_client()
        written.add(there.post("/v1/completions", json=asked).json["choices"][0]["text"])
        (found,) = [model for model in there.get("/v1/models").json["data"] if model["id"] == name]
        assert (found["root"], found["parent"]) == ("gpt", "gpt") and there.get(f"/v1/models/{name}").json == found
        assert each.ready()
    assert len(written) == 1
    place = service.registry.rows()[name].place
    assert service.metrics.counters.total(place, ("requests", 200)) == 2
    assert client.delete(f"/v1/models/{name}").json == {"id": name, "object": "model", "deleted": True}
    for each in (service, other):
        there = create_app(each).test_client()
        assert there.post("/v1/completions", json=asked).status_code == 404
        assert there.get(f"/v1/models/{name}").status_code == there.delete(f"/v1/models/{name}").status_code == 404
    assert service.metrics.counters.total(place, ("requests", 200)) == 0
    assert list((service.tuning.store.home / "models").rglob("*.safetensors")) == []
    other.catalog.close()


def test_a_broken_model_of_a_key_does_not_make_the_server_unready(client, service, file):
    job = tuned.begin(client, file)["id"]
    tuned.train(service.tuning)
    name = client.get(f"{JOBS}/{job}").json["fine_tuned_model"]
    (path,) = (service.tuning.store.home / "models" / job / "final").glob("*.safetensors")
    path.write_bytes(b"nonsense")
    refused = client.post("/v1/completions", json={"model": name, "prompt": "a"})
    assert refused.status_code == 503 and service.ready()
    assert client.delete(f"/v1/models/{name}").status_code == 200


def test_a_fine_tuned_model_is_no_base(client, service, file):
    job = tuned.begin(client, file)["id"]
    tuned.train(service.tuning)
    name = client.get(f"{JOBS}/{job}").json["fine_tuned_model"]
    refused = client.post(JOBS, json={"model": name, "training_file": file})
    assert refused.status_code == 400 and "cannot be tuned on" in refused.json["error"]["message"]


def test_a_key_has_so_many_jobs_at_once(client, service, file, monkeypatch):
    monkeypatch.setattr("serving.engine.tuning.jobs.MOST_LIVE", 2)
    first = tuned.begin(client, file)["id"]
    tuned.begin(client, file)
    assert client.post(JOBS, json={"model": "gpt", "training_file": file}).status_code == 429
    turn(client, first, "cancel")
    tuned.begin(client, file)
