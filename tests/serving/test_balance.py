"""Connections are spread over the workers, and one that cannot come to a worker with few of them is not lost."""

import http.client
import os
import sys
import time
from pathlib import Path

import pytest
from conftest import HERE, running
from gunicorn.workers.gthread import ThreadWorker

from serving import balance
from serving.balance import Connections
from serving.receiver import Receiver


def test_a_connection_is_for_the_worker_with_the_fewest():
    shared = Connections(3)
    assert not shared.is_for_another(5)  # nobody else is there
    shared.note(1, 5)
    shared.note(2, 4)
    assert shared.is_for_another(5) and not shared.is_for_another(4)
    shared.leave(2)
    assert not shared.is_for_another(5)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked at in /proc")
def test_the_workers_of_a_server_share_its_clients():
    with running([sys.executable, str(HERE / "fakes.py"), "0.0", "--port", "0", "--workers", "3"], models=6) as server:
        time.sleep(1)  # a worker says that a model is ready before it takes its first connection
        clients = [http.client.HTTPConnection(server.address) for _ in range(12)]
        for client in clients:
            client.request("GET", "/v2/health/live")
            assert client.getresponse().read() is not None
        found = sorted(map(sockets, workers(server.process.pid)))
        for client in clients:
            client.close()
    assert found[-1] - found[0] <= 4, found  # the sockets that a worker has besides are the same for all


def workers(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets(pid: int) -> int:
    links = (os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir())
    return sum(link.startswith("socket:") for link in links)


def test_what_nobody_else_takes_is_taken_after_a_few_turns(monkeypatch):
    """The worker with the fewest connections may be busy, or may have been killed."""
    accepted, pauses = [], []
    monkeypatch.setattr(ThreadWorker, "accept", lambda self, listener: accepted.append(listener))
    monkeypatch.setattr(time, "sleep", pauses.append)
    worker = object.__new__(Receiver)
    worker.connections, worker.column = Connections(2), 1
    worker.connections.note(2, 0)
    worker.alive, worker.nr_conns, worker.worker_connections, worker.passed = True, 3, 100, 0
    for _ in range(2 * (balance.PASSES + 1)):
        worker.accept("listener")
    assert accepted == ["listener"] * 2 and len(pauses) == 2 * balance.PASSES
    worker.alive = False  # at shutdown it takes what the kernel has accepted
    worker.accept("listener")
    assert len(accepted) == 3
