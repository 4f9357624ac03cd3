"""A live server that trains: the OpenAI client on it, processes that are killed, the weight of the one that trains."""

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import tuned
from conftest import real

from serving.engine.limits import Limits
from serving.engine.tuning import leases
from serving.engine.tuning.jobs import Jobs
from serving.engine.tuning.store import Store
from serving.supervisor import Supervisor
from serving.trainer import yield_processors
from tests.zoo import finetune_runs as small

openai = pytest.importorskip("openai")
pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc")
LONG = {"n_epochs": 12, "batch_size": 8, "learning_rate": 0.02}  # seconds


def server(state: Path, *flags: str):
    models = [f"{name}={path}" for name, path in tuned.bases().items()]
    command = ["--state", str(state), "--engine", "instant", "--train-nice", "1", *flags, "--models", *models]
    return real(*command, models=len(models) * (int(flags[-1]) if "--workers" in flags else 1))


def client_of(server):
    return openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="none", max_retries=3)


def until(check, seconds=120.0):
    """What `check` says once it says something."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def begin(client, hyperparameters=LONG, **fields):
    file = client.files.create(file=("my.txt", small.text().encode()), purpose="fine-tune")
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters, "lora": {"r": 4}}}
    asked = {"model": "gpt", "training_file": file.id, "seed": 3, "extra_body": {"method": method}}
    return client.fine_tuning.jobs.create(**asked, **fields)


def ended(client, id):
    job = client.fine_tuning.jobs.retrieve(id)
    return job if job.status in ("succeeded", "failed", "cancelled") else None


def step_of(client, id) -> int:
    """The newest step that a job has told."""
    found = client.fine_tuning.jobs.list_events(id, limit=20).data
    return max((int(event.data["step"]) for event in found if event.type == "metrics"), default=0)


def processes(parent: int) -> dict[int, str]:
    """The children of a process with their command lines."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children}


def trainer_of(server) -> int | None:
    found = [pid for pid, command in processes(server.process.pid).items() if "serving.trainer" in command]
    return found[0] if found else None


def left(state: Path, job: str) -> dict[str, str]:
    """What a job has made, by its hashes."""
    home = state / "models" / job
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with server(tmp_path_factory.mktemp("state")) as found:
        yield found


def test_the_openai_client_trains_a_model(live):
    with client_of(live) as client:
        job = begin(client, tuned.FAST, suffix="mine", metadata={"team": "a"})
        assert job.object == "fine_tuning.job" and job.method.supervised.hyperparameters.n_epochs == 1
        done = until(lambda: ended(client, job.id))
        assert done.status == "succeeded" and done.fine_tuned_model.startswith("ft:gpt:local:mine:")
        assert [each.id for each in client.fine_tuning.jobs.list(metadata={"team": "a"})] == [job.id]
        assert [each.id for each in client.fine_tuning.jobs.list(metadata={"team": "b"})] == []
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=3))  # all of them, page by page
        assert len({event.id for event in events}) == len(events) > 10
        assert events[-1].message == f"Created fine-tuning job: {job.id}"
        checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=2))
        assert [each.step_number for each in checkpoints] == sorted({e.step_number for e in checkpoints}, reverse=True)
        assert checkpoints[0].metrics.valid_loss > 0
        for name in (done.fine_tuned_model, checkpoints[0].fine_tuned_model_checkpoint):
            assert client.completions.create(model=name, prompt="my cat ", max_tokens=5, seed=1).choices[0].text
        files = {file.id: file for file in client.files.list(purpose="fine-tune-results")}
        assert set(done.result_files) <= set(files)
        assert client.files.content(done.result_files[0]).text.startswith("step,train_loss,")
        assert done.fine_tuned_model in [model.id for model in client.models.list()]
        assert 'needle_finetune_jobs{status="succeeded"} 1' in live.get("/metrics")
        with pytest.raises(openai.BadRequestError):
            client.fine_tuning.jobs.cancel(job.id)
        assert client.models.delete(done.fine_tuned_model).deleted
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(done.fine_tuned_model)
        assert client.files.delete(done.training_file).deleted


def test_the_openai_client_turns_a_job(live):
    with client_of(live) as client:
        job = begin(client)
        until(lambda: step_of(client, job.id))
        assert client.fine_tuning.jobs.pause(job.id).status == "queued"
        until(lambda: "Stopped after step" in client.fine_tuning.jobs.list_events(job.id).data[0].message)
        before = step_of(client, job.id)
        assert client.fine_tuning.jobs.resume(job.id).status == "queued"
        until(lambda: step_of(client, job.id) > before)
        assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
        until(lambda: trainer_of(live) is None)
        assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
        with pytest.raises(openai.NotFoundError):
            client.fine_tuning.jobs.retrieve("ftjob-x")
        with pytest.raises(openai.BadRequestError):
            client.files.create(file=("x.txt", b"x"), purpose="batch")


@pytest.mark.thorough
def test_whatever_is_killed_a_job_goes_on_to_the_same_bytes(tmp_path):
    """The trainer, a web worker, everything; and an end in order. Only what a killed worker was at is lost."""
    with server(tmp_path / "whole") as whole, client_of(whole) as client:
        job = begin(client)
        assert until(lambda: ended(client, job.id)).status == "succeeded"
    expected = left(tmp_path / "whole", job.id)

    state = tmp_path / "killed"
    with server(state) as first, client_of(first) as client:
        job = begin(client)
        for least in (2, 5):
            until(lambda least=least: step_of(client, job.id) >= least)
            trainer = until(lambda: trainer_of(first))
            os.kill(trainer, signal.SIGKILL)
            trainer = until(lambda killed=trainer: (found := trainer_of(first)) != killed and found)
        (worker,) = set(processes(first.process.pid)) - {trainer}
        os.kill(worker, signal.SIGKILL)
        until(lambda: step_of(client, job.id) >= 8 and client.fine_tuning.jobs.retrieve(job.id).status == "running")
        assert trainer_of(first) == trainer
        everything = dict.fromkeys((trainer, first.process.pid, *processes(first.process.pid)))
        for word in (signal.SIGSTOP, signal.SIGKILL):  # at once: nobody is to see another one go
            for pid in everything:
                os.kill(pid, word)
        first.process.wait()
    with server(state) as second, client_of(second) as client:
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
        before = step_of(client, job.id)
        until(lambda: step_of(client, job.id) > before)
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(60) == 0
    assert Jobs(Store(state)).get("", job.id)["status"] == "queued"
    with server(state, "--workers", "2") as third, client_of(third) as client:
        done = until(lambda: ended(client, job.id))
        assert done.status == "succeeded", done.error
        assert left(state, job.id) == expected
        texts = set()
        for _ in range(8):  # connections of their own, which meet both workers
            with client_of(third) as fresh:
                made = fresh.completions.create(model=done.fine_tuned_model, prompt="my cat ", seed=1)
                texts.add(made.choices[0].text)
        assert len(texts) == 1


def weight(pid: int) -> tuple[int, str, bool]:
    """Niceness of a process, that of its session (empty where the system has no such), and whether it is idle work."""
    group = Path(f"/proc/{pid}/autogroup")  # exists and is empty where a control group weighs the processes
    session = (group.read_text() if group.exists() else "").rpartition(" ")[2].strip()
    return os.getpriority(os.PRIO_PROCESS, pid), session, os.sched_getscheduler(pid) == os.SCHED_IDLE


def test_the_process_that_trains_has_a_session_and_a_weight_of_its_own(live):
    before = weight(live.process.pid)
    with client_of(live) as client:
        job = begin(client)
        pid = until(lambda: trainer_of(live))
        expected = [(before[0] + 1, session, False) for session in ("", "1")]
        until(lambda: weight(pid) in expected)  # the first thing that it does
        assert os.getsid(pid) == pid
        client.fine_tuning.jobs.cancel(job.id)
    assert weight(live.process.pid) == before


@pytest.mark.parametrize("niceness, is_idle", [(5, False), (19, True)])
def test_how_far_a_process_goes_behind_others(niceness, is_idle):
    before = weight(os.getpid())
    yields = partial(yield_processors, niceness)
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, preexec_fn=yields, start_new_session=True, stdin=subprocess.PIPE) as child:
        found = weight(child.pid)
        child.communicate(b"\n")
    assert found[0] == min(19, before[0] + niceness) and found[1] in ("", str(niceness)) and found[2] == is_idle
    assert weight(os.getpid()) == before


def test_nothing_is_started_where_nothing_waits(tmp_path):
    store = Store(tmp_path / "none")
    supervisor = Supervisor(store, Limits())
    supervisor.look()
    assert supervisor.process is None and not store.home.exists()
    store.create()
    supervisor.look()
    supervisor.end()
    assert supervisor.process is None


def test_a_trainer_that_dies_at_once_is_replaced_until_the_job_fails(tmp_path, monkeypatch):
    """Whatever ends the process: the job says so, and is not tried for ever."""
    from serving.engine.tuning.asked import job_request

    store = Store(tmp_path)
    store.create()
    request = job_request({"model": "gpt", "training_file": "file-x"})
    job = Jobs(store).create("", request, "gpt-char", None)
    supervisor = Supervisor(store, Limits())
    monkeypatch.setattr(
        supervisor, "_start", lambda: leases.Leases(store).claim("dead") and setattr(supervisor, "holder", "dead")
    )
    for _ in range(leases.MOST_ATTEMPTS):
        supervisor.look()
        supervisor.process = subprocess.Popen([sys.executable, "-c", ""])
        supervisor.process.wait()
    supervisor.look()
    assert Jobs(store).get("", job["id"])["attempts"] == leases.MOST_ATTEMPTS + 1


def test_requests_without_a_client(live):
    """As they stand in the documentation: what comes without headers of any client."""
    host, port = live.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--b\r\n'
        b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntext\r\n--b--\r\n'
    )
    connection.request("POST", "/v1/files", body, {"Content-Type": "multipart/form-data; boundary=b"})
    made = json.loads(connection.getresponse().read())
    assert made["bytes"] == 4
    connection.request("DELETE", f"/v1/files/{made['id']}")
    assert json.loads(connection.getresponse().read())["deleted"]
    connection.close()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{live.address}/v1/files/{made['id']}/content", timeout=20)
    assert refused.value.code == 404
    refused.value.close()
