"""Two servers behind one address under load: what one that is stopped or killed takes with it."""

import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from replicas import Balancer

GOOD = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0.5] * 3072}]}
).encode()
CLIENTS = 8
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the worker process in /proc"),
]


class Load:
    """Clients that ask one address all the time, each request on a connection of its own."""

    def __init__(self, address):
        self.address, self.over, self.answers, self.lost = address, threading.Event(), [], []
        self.threads = [threading.Thread(target=self._ask, args=(client,)) for client in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _ask(self, client):
        while not self.over.is_set():
            connection = http.client.HTTPConnection(self.address, timeout=30)
            try:
                connection.request("POST", "/v2/models/resnet9/infer", GOOD)
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException) as problem:
                self.answers.append(type(problem).__name__)
                self.lost.append(client)
            connection.close()

    def until(self, more):
        """Go on for so many further answers."""
        enough, deadline = len(self.answers) + more, time.monotonic() + 60
        while len(self.answers) < enough:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        return self.answers


@pytest.fixture
def pair(start):
    """Two servers whose runs take a moment, one address in front of them, and a load on it."""
    with start(seconds=0.02) as one, start(seconds=0.02) as other:
        balancer = Balancer([one.address, other.address])
        load = Load(balancer.address)
        try:
            load.until(100)
            assert all(balancer.open.values())  # both are asked
            yield one, balancer, load
        finally:
            load.end()
            balancer.close()


def test_one_that_is_stopped_loses_nothing(pair):
    server, balancer, load = pair
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    load.until(100)
    assert server.address not in balancer.ready
    assert set(load.end()) == {200}


def test_one_that_is_killed_takes_what_it_worked_on_and_no_more(pair):
    server, _, load = pair
    master = server.process.pid
    (worker,) = map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())
    os.kill(worker, signal.SIGSTOP)  # a machine that fails takes all processes at once: no one answers from here on,
    os.kill(master, signal.SIGKILL)
    server.process.wait(10)  # nor listens while the connections of another are closed
    os.kill(worker, signal.SIGKILL)
    load.until(100)
    answers = load.end()
    assert set(answers[-50:]) == {200} and answers.count(200) == len(answers) - len(load.lost)
    assert len(set(load.lost)) == len(load.lost)  # of each client, no more than the one request that was in flight
    server.process.wait(10)
