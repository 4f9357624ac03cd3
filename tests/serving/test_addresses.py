"""Names of hosts: everything that they stand for is listened on; what only this machine reaches needs no key."""

import json
import socket

import pytest
from fakes import fake

from serving import addresses as room
from serving.addresses import addresses, is_loopback, shown
from serving.app import create_app
from serving.engine.errors import ServingError


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def answers(*given: str):
    return lambda host, port, **_: [(socket.AF_INET, 0, 0, "", (address, port)) for address in given]


def test_an_address_is_itself_and_a_name_all_that_it_stands_for(monkeypatch):
    assert addresses("127.0.0.1", 0) == [("127.0.0.1", 0)]
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.1", "127.0.0.2", "127.0.0.1"))
    (first, port), (second, same) = addresses("two", 0)
    assert (first, second) == ("127.0.0.1", "127.0.0.2") and port == same > 0


def test_what_this_machine_lacks_is_left_out(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", answers("203.0.113.7", "127.0.0.1"))
    ((address, port),) = addresses("two", 0)
    assert address == "127.0.0.1" and port > 0
    monkeypatch.setattr(socket, "getaddrinfo", answers("203.0.113.7"))
    with pytest.raises(ServingError, match="cannot be listened on"):
        addresses("elsewhere", 8000)


def test_a_name_that_is_none_and_a_port_that_is_taken():
    with pytest.raises(ServingError, match="is no host that can be listened on"):
        addresses("no such host", 0)
    with pytest.raises(ServingError, match="is no host"):
        addresses("a" * 70, 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServingError, match=r"cannot be listened on: .* in use; try another --port"):
            addresses("127.0.0.1", taken.getsockname()[1])


def test_no_port_is_free_on_all(monkeypatch):
    def fails(names, port):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(room, "_bound", fails)
    with pytest.raises(ServingError, match="no port is free on all of"):
        addresses("127.0.0.1", 0)


def test_which_addresses_only_this_machine_reaches():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "fe80::1%eth0")))
    assert (shown("::1", 80), shown("127.0.0.1", 80)) == ("[::1]:80", "127.0.0.1:80")


@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
def test_localhost_is_reached_by_both_families(start):
    with start("--host", "localhost") as server:
        port = int(server.address.rpartition(":")[2])
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=20) as client:
                client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200")


def talk(address: str, request: bytes) -> tuple[int, bytes]:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(request)
        answer = b""
        while part := client.recv(65536):
            answer += part
    return int(answer.split()[1]), answer


CLOSE = b"Connection: close\r\n\r\n"


def test_a_request_says_whose_host_it_means(live):
    for head, status in (
        (b"GET /v2 HTTP/1.1\r\n", 400), (b"GET /v2 HTTP/1.0\r\n", 200), (b"GET /v2 HTTP/1.1\r\nHost:\r\n", 200),
        (b"GET /v2 HTTP/1.1\r\nHost: [::1]:80\r\n", 200), (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: a b\r\n", 400), (b"GET /v2 HTTP/1.1\r\nHost: a/b\r\n", 400),
        (b"POST /v1/completions HTTP/1.1\r\nContent-Length: 2\r\n", 400),
    ):  # fmt: skip
        found, answer = talk(live.address, head + (CLOSE if b"POST" not in head else CLOSE + b"{}"))
        assert found == status, (head, answer)
        if status == 400:
            assert "host" in json.dumps(json.loads(answer.partition(b"\r\n\r\n")[2])).lower()


@pytest.mark.parametrize(
    "headers, is_welcome",
    [
        ({}, True), ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy"}, True),
        ({"Sec-Fetch-Site": "none"}, True), ({"Origin": "http://localhost"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False), ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://evil.example"}, False), ({"Origin": "null"}, False),
    ],
)  # fmt: skip
def test_pages_of_others_cannot_use_a_server_that_needs_no_key(make_service, headers, is_welcome):
    service = make_service(lambda source: fake(source.name))
    client = create_app(service).test_client()
    answer = client.post("/v2/repository/models/other/unload", headers=headers)
    assert answer.status_code == (200 if is_welcome else 403)
    assert client.get("/v2", headers=headers).status_code == 200
    if not is_welcome:
        assert "a page of" in answer.json["error"]
        assert {entry["state"] for entry in service.index("")} == {"READY"}


def test_a_server_for_its_own_machine_answers_to_no_name_of_the_internet(make_service):
    service = make_service(lambda source: fake(source.name))
    client = create_app(service).test_client()
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "a.localhost", "box", "", "192.168.0.7", "evil.example"):
        assert client.get("/v2", headers={"Host": host}).status_code == 200, host
    service.is_private = True
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "a.localhost", "box", "", "192.168.0.7"):
        assert client.get("/v2", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "EVIL.example."):
        refused = client.get("/v2", headers={"Host": host})
        assert refused.status_code == 403 and "--open" in refused.json["error"], host
    assert client.get("/v2/health/live", headers={"Host": "evil.example"}).status_code == 200


def test_the_options_of_the_server(live):
    found, answer = talk(live.address, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert found == 200 and b"\r\nAllow: DELETE, GET, HEAD, OPTIONS, POST\r\n" in answer
    found, answer = talk(live.address, b"OPTIONS /v2 HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert found == 200 and b"Allow: " in answer
    found, _ = talk(live.address, b"GET * HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert found in (400, 404)
