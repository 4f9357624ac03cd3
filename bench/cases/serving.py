"""Text over HTTP: many clients of one server beside one client, which asks for the same one after another.

The clients are raw sockets in one thread, so that they cost as little as clients can.
"""

from __future__ import annotations

import atexit
import json
import re
import selectors
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from bench.case import Run, Sides

TOKENS = 32
PROMPT = "What say the citizens? "


@cache
def server() -> tuple[str, int]:
    """The address of a server of a model as large as gpt-char, which was not trained: that costs the same time."""
    import zoo
    from needle.weights import save_safetensors

    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "gpt.safetensors"
    save_safetensors(path, zoo.load("gpt-char").state_dict(), {"model": "gpt-char", "config": "{}"})
    process, port = started(["--models", str(path), "--state", folder.name])
    atexit.register(folder.cleanup)
    atexit.register(process.wait)
    atexit.register(process.terminate)
    return "127.0.0.1", port


def started(flags: list[str], ready: int = 1) -> tuple[subprocess.Popen[str], int]:
    """A server of its own process and its port, once it has said so many times that a model is ready."""
    command = [sys.executable, "-m", "serving.cli", "--port", "0", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    port, left = 0, ready
    for line in process.stderr:
        found = re.search(r"listening on http://127.0.0.1:(\d+)", line)
        port = int(found[1]) if found else port
        left -= "] ready" in line
        if port and left <= 0:
            return process, port
    raise RuntimeError("the server did not start")


class Client:
    """A connection that asks for text: `ask`, then `receive` whenever there is something, until it says True."""

    def __init__(self, stream: bool, tokens: int = TOKENS) -> None:
        asked: dict[str, Any] = {"model": "gpt", "prompt": PROMPT, "max_tokens": tokens, "seed": 1, "stream": stream}
        body = json.dumps(asked).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self.request, self.stream = head + body, stream
        self.socket = socket.create_connection(server())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.found = b""

    def ask(self) -> None:
        self.found = b""
        self.socket.sendall(self.request)

    def receive(self) -> bool:
        """Take what is there; whether that is the end of the answer."""
        self.found += self.socket.recv(1 << 16)
        return self.is_whole()

    def is_whole(self) -> bool:
        """Whether the answer is there to its end."""
        if self.stream:
            return self.found.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        head, end, body = self.found.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return bool(end) and length is not None and len(body) == int(length[1])

    def first(self) -> None:
        """Ask, and wait for the first token."""
        self.ask()
        while b"data: {" not in self.found:
            self.found += self.socket.recv(1 << 16)

    def rest(self) -> None:
        while not self.is_whole():
            self.receive()

    def checked(self) -> None:
        assert b" 200 " in self.found[:20], self.found[:300]


def together(clients: list[Client]) -> None:
    """All ask at once; until each has its answer."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.ask()
        left = len(clients)
        while left:
            for key, _ in selector.select():
                if key.data.receive():
                    selector.unregister(key.fileobj)
                    key.data.checked()
                    left -= 1


def one_after_another(client: Client, times: int) -> None:
    for _ in range(times):
        client.ask()
        client.rest()
        client.checked()


def completions(clients: int, stream: bool) -> Sides:
    """`clients` texts: for as many clients at once, and for one client one after another."""
    many, one = [Client(stream) for _ in range(clients)], Client(stream)

    def peer() -> Run:
        return lambda: one_after_another(one, clients)

    return Sides(lambda: together(many), {"one client": peer})


def first_token(others: int) -> Sides:
    """The first token of a stream, alone, and beside others that never end."""
    client = Client(stream=True, tokens=1)

    def alone() -> None:
        client.first()
        client.rest()

    return Sides(alone, {f"{others} at once, all of them": lambda: _first_of_many(others)})


def _first_of_many(count: int) -> Run:
    many = [Client(stream=True, tokens=1) for _ in range(count)]
    return lambda: together(many)
