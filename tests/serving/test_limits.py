"""What is too large, too slow or too much is refused with a reason, and others are still served."""

import gzip
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import zlib

import numpy as np
import pytest
from fakes import fake

from serving.engine.limits import FLAGS, Limits
from serving.routes.table import inflate

INFER = "/v2/models/resnet9/infer"
GOOD = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0.5] * 3072}]}
).encode()


def test_every_limit_has_a_flag():
    assert set(FLAGS) == set(vars(Limits()))


def test_the_body_is_limited_as_sent(make_client):
    client = make_client(limits=Limits(body=len(GOOD)))
    assert client.post(INFER, data=GOOD).status_code == 200
    answer = client.post(INFER, data=GOOD + b" ")
    assert answer.status_code == 413 and "--max-body-mib" in answer.json["error"]


@pytest.mark.parametrize("encoding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_the_body_is_limited_as_inflated(make_client, encoding, pack):
    client = make_client(limits=Limits(inflated=len(GOOD)))
    headers = {"Content-Encoding": encoding}
    assert client.post(INFER, data=pack(GOOD), headers=headers).status_code == 200
    bomb = client.post(INFER, data=pack(bytes(50_000_000)), headers=headers)
    assert bomb.status_code == 413 and "--max-inflated-mib" in bomb.json["error"]
    for damaged in (pack(GOOD)[:-3], pack(GOOD) + b"x", b"nonsense", b""):
        assert client.post(INFER, data=damaged, headers=headers).status_code == 400


def test_a_gzip_body_may_have_several_members_and_padding(make_client, monkeypatch):
    client, headers = make_client(limits=Limits(inflated=len(GOOD))), {"Content-Encoding": "gzip"}

    def post(*parts):
        return client.post(INFER, data=b"".join(parts), headers=headers).status_code

    members = [gzip.compress(GOOD[first : first + 1000]) for first in range(0, len(GOOD), 1000)]
    assert post(*members) == post(*members, bytes(512)) == post(gzip.compress(b""), *members) == 200
    assert post(*members, gzip.compress(b" ")) == 413  # too long only when all are joined
    assert post(*members[:-1], members[-1][:-1]) == post(*members, bytes(3), b"x") == 400
    monkeypatch.setattr("serving.routes.table.MEMBERS", len(members) - 1)
    assert post(*members) == 413


def test_a_long_body_waits_for_memory_once(make_client):
    long = GOOD + b" " * (3 << 20)
    asked = []
    packed = gzip.compress(long[:2_000_000]) + gzip.compress(long[2_000_000:])
    found = inflate(packed, 31, Limits(), lambda: asked.append(1))
    assert found == long and asked == [1]


def test_unknown_encodings_are_415(client):
    answer = client.post(INFER, data=GOOD, headers={"Content-Encoding": "br"})
    assert answer.status_code == 415 and "gzip" in answer.json["error"]


def test_a_full_queue_is_429_while_health_answers(make_client):
    gate, entered = threading.Event(), threading.Event()

    def run(batch):
        entered.set()
        assert gate.wait(10)
        return {"logits": np.zeros((len(batch["image"]), 10), np.float32)}

    client = make_client(lambda name: fake(name, run=run, canary=None), Limits(queue=1))
    first = threading.Thread(target=lambda: client.application.test_client().post(INFER, data=GOOD))
    first.start()
    assert entered.wait(10)
    answer = client.post(INFER, data=GOOD)
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "1" and "--max-queue" in answer.json["error"]
    assert client.get("/v2/health/ready").status_code == 200
    gate.set()
    first.join(10)
    assert client.post(INFER, data=GOOD).status_code == 200


def talk(address: str, data: bytes) -> bytes:
    """What the server sends back to these bytes until it closes the connection."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def test_slow_clients_are_let_go_and_starve_nobody(start):
    with start("--threads", "16", "--header-timeout", "1", "--body-timeout", "1") as server:
        host, port = server.address.split(":")
        half_sent = [socket.create_connection((host, int(port))) for _ in range(12)]
        for connection in half_sent:
            connection.sendall(b"POST /v2/models/resnet9/infer HTTP/1.1\r\nHost: x\r\n")
        begun = time.monotonic()
        assert json.loads(server.get("/v2/health/live")) == {"live": True}
        assert time.monotonic() - begun < 5
        for connection in half_sent:
            connection.settimeout(20)
            assert connection.recv(100) == b""  # closed by the server
            connection.close()
        stalled = b"POST /v2/models/resnet9/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        answer = talk(server.address, stalled)
        assert answer.startswith(b"HTTP/1.1 408") and b"--body-timeout" in answer


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST /v2/models/resnet9/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"POST /v2/models/resnet9/infer HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /v2/models/resnet9/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
)
def test_what_is_not_http_gets_the_one_error_shape(live, request_bytes, status):
    answer = talk(live.address, request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}".encode()), answer
    assert list(json.loads(body)) == ["error"] and b"x-request-id" in head


def test_chunked_bodies_are_read_and_limited(start):
    with start("--max-body-mib", "1") as server:
        head = b"POST /v2/models/resnet9/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        good = head + b"%x\r\n" % len(GOOD) + GOOD + b"\r\n0\r\n\r\n"
        assert talk(server.address, good).startswith(b"HTTP/1.1 200")
        large = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n1\r\nx\r\n0\r\n\r\n"
        assert talk(server.address, head + large).startswith(b"HTTP/1.1 413")


def test_an_answer_of_413_reaches_a_client_that_is_still_sending(live):
    request = urllib.request.Request(f"http://{live.address}{INFER}", data=bytes(17 << 20))
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=20)
    assert refusal.value.code == 413
    refusal.value.close()
