"""Connections that are kept: a thread stays with the client that it has answered, as long as nobody waits for one."""

import http.client
import json
import select
import socket
import threading
import time

import pytest

INFER = "/v2/models/resnet9/infer"
GOOD = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0.5] * 3072}]}
).encode()
WHOLE = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD


def connected(server, timeout=20):
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def answered(connection) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer


@pytest.mark.parametrize("size", [0, 20, len(WHOLE) - len(GOOD) + 10], ids=["nothing", "half a head", "half a body"])
@pytest.mark.parametrize("pause", [0.01, 0.3], ids=["soon", "late"])
def test_the_next_request_may_come_in_parts(live, size, pause):
    """Soon, while the thread stays; or late, when it has left what there is to the main loop."""
    with connected(live) as connection:
        for _ in range(3):
            connection.sendall(WHOLE)
            assert answered(connection).status == 200
            connection.sendall(WHOLE[:size])
            time.sleep(pause)
            connection.sendall(WHOLE[size:])
            assert answered(connection).status == 200


def test_a_body_that_is_asked_for_is_told_to_come_while_the_thread_stays(live):
    head = WHOLE[: -len(GOOD)].replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")
    with connected(live) as connection:
        connection.sendall(WHOLE)
        assert answered(connection).status == 200
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(GOOD)
        assert answered(connection).status == 200
        short = head.replace(str(len(GOOD)).encode(), b"2") + b"{}"
        connection.sendall(short)  # all of it at once, in one segment: nothing needs to be said
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_requests_that_were_sent_behind_each_other_are_answered_in_turn(live):
    with connected(live) as connection:
        connection.sendall(3 * WHOLE + WHOLE[:30])
        assert [answered(connection).status for _ in range(3)] == [200] * 3
        connection.sendall(WHOLE[30:])
        assert answered(connection).status == 200


def test_a_half_sent_request_has_its_time_as_if_no_thread_had_stayed(start):
    with start("--header-timeout", "1", "--body-timeout", "1") as server:
        with connected(server) as connection:
            connection.sendall(WHOLE)
            assert answered(connection).status == 200
            connection.sendall(WHOLE[:20])
            assert connection.recv(100) == b""  # closed by the server
        with connected(server) as connection:
            connection.sendall(WHOLE)
            assert answered(connection).status == 200
            connection.sendall(WHOLE[:-10])
            assert answered(connection).status == 408


def test_what_stands_behind_a_question_mark_is_no_question_of_health(start):
    """Health has threads of its own, which other requests cannot take."""
    with start(seconds=2.0) as server:
        busy = [connected(server) for _ in range(8)]
        for connection in busy:
            connection.sendall(WHOLE.replace(b"/infer", b"/infer?/v2/health/live"))
        time.sleep(0.2)
        with connected(server) as connection:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answered(connection).status == 200
        assert not select.select(busy, [], [], 0)[0]  # all of them are worked on
        for connection in busy:
            assert answered(connection).status == 200
            connection.close()


def test_more_busy_clients_than_threads_all_have_their_turns(start):
    """A thread that stayed with a client which always has a next request would never come to the others."""
    with start("--threads", "2", seconds=0.005) as server:
        counts, enough = [0] * 8, threading.Event()

        def ask(i):
            with connected(server) as connection:
                while not enough.is_set():
                    connection.sendall(WHOLE)
                    assert answered(connection).status == 200
                    counts[i] += 1

        clients = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for client in clients:
            client.start()
        deadline = time.monotonic() + 30
        while sum(counts) < 160 and time.monotonic() < deadline:
            time.sleep(0.01)
        enough.set()
        for client in clients:
            client.join(30)
        assert min(counts) >= 5, counts
