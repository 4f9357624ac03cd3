"""SIGTERM: what was accepted is answered, what comes later is not let in, and the server is gone soon."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

GOOD = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0.5] * 3072}]}
).encode()


def test_accepted_requests_are_answered(start):
    with start("--threads", "4", seconds=0.2) as server:
        host, port = server.address.split(":")
        statuses = []
        sent = threading.Barrier(13)

        def ask():
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.request("POST", "/v2/models/resnet9/infer", GOOD)
            sent.wait(20)
            try:
                statuses.append(connection.getresponse().status)
            except OSError as problem:
                statuses.append(repr(problem))
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(12)]  # three times as many as are worked on at once
        for thread in threads:
            thread.start()
        sent.wait(20)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(30)
        assert statuses == [200] * 12
        assert server.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the worker process in /proc")
def test_connections_that_only_the_kernel_has_accepted_are_answered_too(start):
    with start() as server:
        host, port = server.address.split(":")
        master = server.process.pid
        (worker,) = map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())
        os.kill(worker, signal.SIGSTOP)  # it accepts nothing now: connections wait in the kernel
        waiting = []
        for _ in range(5):
            waiting.append(http.client.HTTPConnection(host, int(port), timeout=20))
            waiting[-1].request("POST", "/v2/models/resnet9/infer", GOOD)
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        assert [connection.getresponse().status for connection in waiting] == [200] * 5
        for connection in waiting:
            connection.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the worker process in /proc")
def test_a_worker_that_dies_is_replaced_and_what_it_counted_is_kept(start):
    with start() as server:
        host, port = server.address.split(":")
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        for _ in range(3):
            connection.request("POST", "/v2/models/resnet9/infer", GOOD)
            assert connection.getresponse().read()
        connection.close()
        os.kill(int(children.read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 20
        while 'needle_model_loaded{model="resnet9"} 1' not in (text := server.get("/metrics")):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert 'needle_requests_total{model="resnet9",version="1",code="200"} 3' in text
        assert 'needle_requests_in_flight{model="resnet9"} 0' in text


def test_a_leaving_server_is_not_ready(make_client):
    client = make_client()
    client.application.extensions["needle-serve"].draining = True
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/health/live").status_code == 200
    assert client.post("/v2/models/resnet9/infer", data=GOOD).status_code == 200


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the worker process in /proc")
def test_a_reload_starts_new_workers_and_loses_nothing(start):
    with start(seconds=0.2) as server:
        host, port = server.address.split(":")
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        (before,) = children.read_text().split()
        over, statuses = threading.Event(), []

        def ask():
            while not over.is_set():
                connection = http.client.HTTPConnection(host, int(port), timeout=20)
                try:
                    connection.request("POST", "/v2/models/resnet9/infer", GOOD)
                    statuses.append(connection.getresponse().status)
                except OSError as problem:
                    statuses.append(repr(problem))
                connection.close()

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while before in (now := children.read_text().split()) or len(now) != 1:
            assert time.monotonic() < deadline, now
            time.sleep(0.05)
        answered = len(statuses)
        while len(statuses) < answered + 6:  # by the new one
            assert time.monotonic() < deadline, statuses
            time.sleep(0.05)
        over.set()
        for thread in threads:
            thread.join(30)
        assert set(statuses) == {200}, statuses


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2, 0.4])
def test_a_server_that_is_stopped_while_it_loads_ends_quietly(seconds, tmp_path):
    command = [sys.executable, "-m", "serving.cli", "--port", "0", "--engine", "instant", "--state", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        while "listening" not in server.stderr.readline():
            assert server.poll() is None
        time.sleep(seconds)
        server.terminate()
        rest = server.stderr.read()
    assert server.returncode == 0 and "terminate called" not in rest and "Traceback" not in rest, rest
