"""When a request has come: for every way to cut it into pieces, the same answer, and none that waits for ever."""

import socket
from contextlib import ExitStack

import pytest
from fakes import LABELS

from serving.intake import MAX_HEAD, Intake

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
COMPLETE = {
    "no body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no headers": b"GET / HTTP/1.0\r\n\r\n",
    "empty line first": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "length in any case": HEAD + b"content-LENGTH:5 \r\n\r\nhello",
    "length 0": HEAD + b"Content-Length: 0\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n\r\n!\r\n0\r\n\r\n",
    "chunks with trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    "no chunks": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "thrown away": HEAD + b"Content-Length: 150\r\n\r\n" + b"x" * 150,
}
ODD = {  # complete at once, as gunicorn is to refuse it
    "line feed alone": b"GET / HTTP/1.1\nHost: x\n",
    "negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "length beyond all patience": HEAD + b"Content-Length: 801\r\n\r\n",
    "no chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "negative chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "no line end behind a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
    "endless chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 20_000,
    "endless headers": HEAD + b"x" * MAX_HEAD,
}


def intake() -> Intake:
    return Intake(max_body=100, max_waste=800)


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_a_request_is_complete_with_its_last_byte(name, piece):
    text = COMPLETE[name]
    found = intake()
    for at in range(0, len(text), piece):
        assert not found.complete, (name, at)
        found.feed(text[at : at + piece])
    assert found.complete and found.refusal is None
    kept = b"".join(found.blocks)
    assert text.startswith(kept) and found.size == len(kept)
    assert kept == text or found.is_too_long
    assert len(kept) <= len(HEAD) + 200 + piece


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("piece", [1, 1 << 17])
def test_what_is_odd_is_not_waited_for(name, piece):
    found = intake()
    for at in range(0, len(ODD[name]), piece):
        found.feed(ODD[name][at : at + piece])
    assert found.complete


@pytest.mark.parametrize("name", COMPLETE)
def test_a_client_that_stops_is_not_waited_for(name):
    found = intake()
    found.feed(COMPLETE[name][:-1])
    assert not found.complete
    found.feed(b"")
    assert found.complete


def test_what_follows_is_kept_for_the_next_request():
    found = intake()
    found.feed(COMPLETE["length"] + COMPLETE["no body"])
    assert found.complete and b"".join(found.blocks) == COMPLETE["length"] + COMPLETE["no body"]


def test_single_bytes_cost_no_more_than_bytes():
    found = Intake(max_body=1 << 20, max_waste=1 << 23)
    found.feed(HEAD + b"Content-Length: 100000\r\n\r\n")
    for _ in range(99_999):
        found.feed(b"x")
    assert len(found.blocks) < 4 and not found.complete


def test_leave_is_given_only_for_a_body_that_will_be_read():
    expects = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    for length, leave in ((50, True), (150, False), (900, False), (0, False)):
        found = intake()
        found.feed(expects % length)
        assert (found.expects_continue, found.complete) == (leave, not leave)


GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"


def talk(server, *parts: bytes) -> bytes:
    """What the server answers to these parts, each sent when something has been answered to the one before."""
    host, port = server.address.split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=20) as client:
        for part in parts:
            client.sendall(part)
            received += client.recv(65536)
        while more := client.recv(65536):
            received += more
    return received


def test_pipelined_and_later_requests_are_answered_on_one_connection(live):
    post = b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\n"
    sized = post + b"Content-Length: 2\r\n\r\n{}"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    answer = talk(live, sized + chunked + GET + b"\r\n" + sized, GET + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 5 and answer.count(b'{"live":true}') == 2


def test_a_client_is_told_to_go_on(live):
    head = b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    answer = talk(live, head, b"{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK") and answer.count(b"100 Continue") == 1
    too_long = head.replace(b"Length: 2", b"Length: 17000000")
    assert talk(live, too_long).startswith(b"HTTP/1.1 413")


def test_too_long_headers_are_refused_before_their_end(live):
    assert talk(live, GET + b"X: y\r\n" * 11_000).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"POST /v2/models/resnet9/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"]
)
def test_more_silent_clients_than_threads_keep_nobody_waiting(start, sent):
    with start("--threads", "2", "--header-timeout", "1", "--body-timeout", "1") as server, ExitStack() as stack:
        host, port = server.address.split(":")
        clients = [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(40)]
        for client in clients:
            client.sendall(sent)
        assert server.get("/v2/health/live") == '{"live":true}'
        picture = "GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2L\1\0;".encode("latin-1")
        body = b"POST /v2/models/resnet9/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        body += b"Content-Length: %d\r\n\r\n"
        assert LABELS[0].encode() in talk(server, body % len(picture) + picture)
        for client in clients:
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408") if b"\r\n\r\n" in sent else answer == b""
