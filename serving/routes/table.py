"""What a route is, and the few things every route needs: the service, the body within its limits, a JSON answer."""

import select
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response, current_app, g, request

from serving.engine.errors import ServingError, TimedOut, TooLarge, UnsupportedMedia
from serving.engine.limits import PATIENCE, Limits, raise_with
from serving.engine.service import Service

CLIENT_LEFT = "needle.client_left"  # in the environment of a request whose server says so: a function
CHUNK = 1 << 16
INFLATED_AT_ONCE = 1 << 20  # bytes of a compressed body that are unpacked without asking for memory
MEMBERS = 4096  # of one gzip body; each costs time, however little is in it
GZIP, ZLIB = 31, 15  # zlib's window bits for the format
ENCODINGS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}


@dataclass(frozen=True)
class Route:
    """One path and method. `reply` and `body` name schemas, or media types with their schema, of `openapi.py`.

    `query` names all that may stand behind the question mark, NAME or NAME:SCHEMA of QUERY in `schemas.py`.
    """

    method: str
    path: str
    view: Callable[..., Response]
    summary: str
    reply: str = "Object"
    body: str = ""
    errors: tuple[int, ...] = ()
    versioned: bool = False
    scope: str | None = "infer"  # that a key needs; None for what needs no key, "" for what any will do
    query: tuple[str, ...] = ()

    def paths(self) -> list[str]:
        """The path, and the one with a version behind the model's name if there is such."""
        return [self.path] + [self.path.replace("<model>", "<model>/versions/<version>")] * self.versioned


def service() -> Service:
    """The service of the app that handles this request."""
    found: Service = current_app.extensions["needle-serve"]
    return found


def owner() -> str:
    """Whose request this is: the id of its key, empty where no keys are needed."""
    key = g.get("key")
    return key.id if key else ""


def count_usage(model: str, **amounts: int) -> None:
    """Count one request to a model for the key that it came with."""
    if g.get("key"):
        service().keys.count(g.key, model, **amounts)


def answer(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, mimetype="application/json")


def client_left() -> Callable[[], bool]:
    """What says whether the client of this request has closed its side of the connection meanwhile."""
    if CLIENT_LEFT in request.environ:
        told: Callable[[], bool] = request.environ[CLIENT_LEFT]
        return told
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        return lambda: False
    poll = select.poll()
    poll.register(connection, getattr(select, "POLLRDHUP", 0))  # hang-ups and errors are always told
    return lambda: bool(poll.poll(0))


def read_body() -> bytes:
    """The body, decompressed. Raises TooLarge, UnsupportedMedia, TimedOut, or ServingError for a damaged one."""
    limits = service().limits
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in ENCODINGS:
        raise UnsupportedMedia(f"[Content-Encoding] must be gzip, deflate or identity, got {encoding[:40]!r}")
    length = request.content_length
    if length is not None and length > PATIENCE * limits.body:
        raise TooLarge(f"[request] the body has {length} bytes; {raise_with('body', limits)}")
    body = _receive(limits)
    if length is not None and length > limits.body:
        raise TooLarge(f"[request] the body has {length} bytes; {raise_with('body', limits)}")
    if length is not None and len(body) < length:
        stopped = f"the body stopped after {len(body)} of {length} bytes"
        raise TimedOut(f"[request] {stopped}; {raise_with('body_seconds', limits)}")
    return body if encoding == "identity" else inflate(body, ENCODINGS[encoding], limits, service().memory.need_all)


def _receive(limits: Limits) -> bytes:
    """The body as sent, of which no more than the limit is kept."""
    chunks: list[bytes] = []
    size = 0
    try:
        while size <= PATIENCE * limits.body and (chunk := request.stream.read(CHUNK)):
            size += len(chunk)
            if size <= limits.body:
                chunks.append(chunk)
    except Exception as problem:  # servers have many words for bad chunks and for clients that left
        raise ServingError(f"[request] the body cannot be read: {type(problem).__name__}") from problem
    if size > limits.body:
        raise TooLarge(f"[request] the body is too long; {raise_with('body', limits)}")
    return b"".join(chunks)


def inflate(body: bytes, window: int, limits: Limits, need_all: Callable[[], None]) -> bytes:
    """`body` decompressed, stopping at the limit: a bomb costs no more than an honest body of the largest size.

    What becomes large waits for memory with `need_all()`: how large it becomes is not known beforehand. A gzip body may
    have several members, and zeros behind them (RFC 1952).
    """
    found, rest, asked = bytearray(), body, False
    for _ in range(MEMBERS):
        stream = zlib.decompressobj(window)
        while rest and not stream.eof and len(found) <= limits.inflated:
            if len(found) >= INFLATED_AT_ONCE and not asked:
                need_all()
                asked = True
            most = limits.inflated + 1 if asked else min(INFLATED_AT_ONCE, limits.inflated + 1)
            try:
                found += stream.decompress(rest, most - len(found))
            except zlib.error as problem:
                raise ServingError(f"[Content-Encoding] the compressed body is damaged: {problem}") from None
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
        if len(found) > limits.inflated:
            raise TooLarge(f"[request] the body inflates too far; {raise_with('inflated', limits)}")
        if not stream.eof or (rest and window == ZLIB):
            raise ServingError("[Content-Encoding] the compressed body is cut short, or something follows it")
        if not rest.strip(b"\0"):  # padding behind the last member
            return bytes(found)
    raise TooLarge(f"[Content-Encoding] a gzip body may have {MEMBERS} members, got more")
