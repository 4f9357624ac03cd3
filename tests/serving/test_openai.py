"""The OpenAI client, as it is, against a live server; and clients that leave, or do not read."""

import http.client
import json
import socket
import time

import pytest

openai = pytest.importorskip("openai")

ASKED = {"model": "gpt", "prompt": "O Rome", "max_tokens": 8, "seed": 1}


@pytest.fixture
def client(texting):
    with openai.OpenAI(base_url=f"http://{texting.address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models(client):
    assert sorted(model.id for model in client.models.list()) == ["gpt", "lstm"]
    assert client.models.retrieve("gpt").owned_by == "needle"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("ft:nope:x")
    assert refused.value.code == "model_not_found" and refused.value.request_id
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("gpt")


def test_completions(client):
    found = client.completions.create(**ASKED, n=2, logprobs=2, echo=True)
    assert [choice.index for choice in found.choices] == [0, 1] and found.usage.completion_tokens == 16
    first = found.choices[0]
    assert first.text.startswith("O Rome") and first.logprobs.token_logprobs[0] is None
    assert "".join(first.logprobs.tokens) == first.text
    assert client.completions.create(**ASKED).choices[0].text == first.text[6:]


def test_a_stream(client):
    whole = client.completions.create(**ASKED)
    parts = list(client.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].text for part in parts[:-1]) == whole.choices[0].text
    assert parts[-1].choices == [] and parts[-1].usage == whole.usage
    assert parts[-2].choices[0].finish_reason == "length"


def test_chat(client):
    said = [{"role": "user", "content": "O Rome"}]
    asked = {"model": "lstm", "messages": said, "max_completion_tokens": 9, "seed": 3}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    message = whole.choices[0].message
    assert message.role == "assistant" and len(whole.choices[0].logprobs.content) == 9
    parts = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == message.content


def test_embeddings(client):
    found = client.embeddings.create(model="gpt", input=["O Rome", "all"])
    assert [one.index for one in found.data] == [0, 1] and len(found.data[0].embedding) == 32


@pytest.mark.parametrize(
    ("change", "kind"),
    [({"prompt": "é"}, "BadRequestError"), ({"model": "x"}, "NotFoundError"), ({"temperature": -1}, "BadRequestError")],
)
def test_refusals_are_the_clients_exceptions(client, change, kind):
    with pytest.raises(getattr(openai, kind)) as refused:
        client.completions.create(**(ASKED | change))
    assert refused.value.type == "invalid_request_error" and refused.value.param == next(iter(change))


def _until_it_ends(connection) -> bytes:
    """What comes until the other side closes, or resets, the connection."""
    found = b""
    try:
        while part := connection.recv(1 << 16):
            found = found[-64:] + part
    except ConnectionResetError:
        pass
    return found


def cancelled(server) -> float:
    lines = server.get("/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("needle_cancelled_total{"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_text(texting, stream):
    before = cancelled(texting)
    connection = http.client.HTTPConnection(texting.address, timeout=20)
    connection.request("POST", "/v1/completions", json.dumps(ASKED | {"max_tokens": 4096, "n": 8, "stream": stream}))
    if stream:
        assert connection.getresponse().read(100)
    else:
        time.sleep(0.1)
    connection.close()
    deadline = time.monotonic() + 20
    while cancelled(texting) == before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert cancelled(texting) == before + 1


@pytest.mark.thorough
def test_a_client_that_does_not_read_delays_nobody_and_is_let_go(texting, client):
    """What it does not take stays in the system's buffers and, bounded by the text's length, with the request."""
    before = cancelled(texting)
    host, port = texting.address.split(":")
    body = json.dumps(ASKED | {"max_tokens": 4096, "n": 4, "stream": True, "logprobs": 20}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect((host, int(port)))
        idle.sendall(head + body)
        assert len(client.completions.create(**ASKED).choices[0].text) == 8
        deadline = time.monotonic() + 40
        while cancelled(texting) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert cancelled(texting) == before + 1
        idle.settimeout(20)
        assert b"[DONE]" not in _until_it_ends(idle)
