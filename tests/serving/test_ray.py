"""Two replicas on Ray Serve, with PostgreSQL as their state, answer as one process of needle-serve does."""

import http.client
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import postgres
import pytest
import tuned
from conftest import real
from PIL import Image

from serving.engine.database import DATABASE
from serving.engine.keys import Keys
from tests.zoo import finetune_runs as small

pytest.importorskip("ray.serve")
pytest.importorskip("a2wsgi")
pytestmark = pytest.mark.thorough
ITS_OWN = {"date", "server", "connection", "x-request-id", "server-timing", "keep-alive", "transfer-encoding"}
FRESH = ("id", "created", "x")  # what is another for each answer


@contextmanager
def cluster(*flags):
    """The address of a cluster of two replicas."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving.ray", "--port", str(port), "--cpus", "0.5", "--replicas", "2", *flags]
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    output = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, env=os.environ | quiet, **output)
    lines = []
    try:
        while "listening on" not in (line := process.stderr.readline()):
            assert line, "".join(lines)
            lines.append(line)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=120)
        assert process.returncode == 0, rest


def ask(address, secret, method, path, body=b"", **headers):
    """Status, headers and body of an answer, without what is another each time."""
    connection = http.client.HTTPConnection(address, timeout=60)
    given = {"Authorization": f"Bearer {secret}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in ITS_OWN}
    names = [name.lower() for name, _ in answer.getheaders()]
    assert len(names) == len(set(names)), names
    content = answer.read()
    connection.close()
    return answer.status, found, plain(content, answer.headers.get_content_type())


def plain(content, kind):
    if kind == "application/json":
        return without(json.loads(content))
    if kind == "text/event-stream":
        events = [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]
        choices = [json.loads(event)["choices"][0] for event in events[:-1]]  # events hold as many tokens as are there
        tokens = [token for choice in choices for token in (choice["logprobs"] or {}).get("tokens", ())]
        return "".join(choice["text"] for choice in choices), tokens, choices[-1]["finish_reason"], events[-1]
    return content


def without(value):
    return {k: v for k, v in value.items() if k not in FRESH} if isinstance(value, dict) else value


def jpeg():
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def requests():
    """One request of each kind, and of each kind of refusal."""
    image = np.zeros((1, 3, 32, 32), np.float32)
    tensor = {"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32"}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": image.nbytes}}]}).encode()
    text = json.dumps({"model": "gpt", "prompt": "my cat ", "max_tokens": 12, "seed": 3, "logprobs": 2})
    infer = "/v2/models/images/infer"
    yield "GET", "/v2/health/ready", b"", {}
    yield "GET", "/v2/models/gpt", b"", {}
    yield "GET", "/openapi.json", b"", {}
    yield "POST", infer, json.dumps({"inputs": [tensor | {"data": image.ravel().tolist()}]}), {}
    yield "POST", infer, head + image.tobytes(), {"Inference_Header_Content_Length": str(len(head))}
    yield "POST", "/v2/models/images/classify", jpeg(), {"Content_Type": "image/jpeg"}
    yield "POST", "/v1/completions", text, {"Content_Type": "application/json"}
    yield "POST", "/v1/completions", text.replace('"seed"', '"stream": true, "seed"'), {}
    yield "POST", "/v1/completions", [text.encode()[:20], text.encode()[20:]], {}  # in chunks
    yield "POST", infer, b"{", {}
    yield "POST", infer, b"x" * 2_000_000, {"Content_Encoding": "br"}
    yield "POST", infer, struct.pack("<q", 3), {"Content_Encoding": "gzip"}
    yield "GET", "/v2/models/none", b"", {}
    yield "DELETE", "/v1/completions", b"", {}
    yield "GET", "/v1/files/file-none", b"", {}


def test_clients_see_no_difference(tmp_path, monkeypatch):
    openai = pytest.importorskip("openai")
    models = [f"{name}={path}" for name, path in tuned.bases().items()]
    flags = ["--state", str(tmp_path), "--engine", "instant", "--train-nice", "1", "--models", *models]
    with postgres.postgres() as server:
        url = postgres.fresh(server.url)
        monkeypatch.setenv(DATABASE, url)
        keys = Keys(url)
        _, secret = keys.create(["infer", "train"])
        with cluster(*flags) as replicas, real(*flags, models=len(models)) as one:
            for method, path, body, headers in requests():
                for _ in range(2):  # so that both replicas are likely to be asked
                    expected = ask(one.address, secret, method, path, body, **headers)
                    assert ask(replicas, secret, method, path, body, **headers) == expected, (method, path)
            assert ask(replicas, "nk-x", "GET", "/v1/models")[0] == 401
            with openai.OpenAI(base_url=f"http://{replicas}/v1", api_key=secret) as client:
                trains(client)
        keys.close()


def trains(client):
    """Jobs run once each, though two replicas and another server look for them, and their models are on all."""
    file = client.files.create(file=("my.txt", small.text().encode()), purpose="fine-tune")
    for name in tuned.models_of(client, [tuned.begun(client, file.id, seed) for seed in range(2)]):
        asked = {"model": name, "prompt": "my ", "seed": 1, "max_tokens": 9}
        assert len({client.completions.create(**asked).choices[0].text for _ in range(6)}) == 1
