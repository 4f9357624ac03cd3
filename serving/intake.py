"""How much of an HTTP/1.1 request has come: enough to give it to a thread that then need not wait for the client.

This only decides *when*: gunicorn parses the same bytes, or refuses them. So whatever looks odd here is complete.
"""

import re
from collections import deque
from enum import Enum
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import SocketUnreader

BLOCK = 1 << 16  # bytes received at once
MAX_HEAD = 1 << 16  # request line and headers
MAX_LINE = 1 << 14  # of a chunk's size; likewise
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.I)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.I)
BARE_LF = re.compile(rb"(?<!\r)\n")
EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.I)


class State(Enum):
    """What is waited for. SIZE, DATA, END and TRAILER are the parts of a chunked body."""

    HEAD = "headers"
    BODY = "body"
    SIZE = "size of a chunk"
    DATA = "chunk"
    END = "line end behind a chunk"
    TRAILER = "trailer"
    DONE = "nothing"


class Intake:
    """One request as it comes in: `feed` it bytes until it is `complete`.

    A body of known length beyond `max_body` is counted and thrown away, so that clients that read only when they have
    sent all can read that it is refused. Beyond `max_waste` bytes it is not waited for.
    """

    def __init__(self, max_body: int, max_waste: int):
        self.max_body, self.max_waste = max_body, max_waste
        self.blocks: deque[bytearray] = deque()  # as received, for the parser
        self.size = 0  # bytes in them
        self.head = bytearray()
        self.state = State.HEAD
        self.left = 0  # bytes of the body, or of the chunk, that are to come
        self.line = b""  # the part of a line that ends in a later block
        self.is_too_long = False
        self.expects_continue = False  # the client waits for leave to send the body
        self.is_first = False  # it is received to its end, however much others hold
        self.refusal: Exception | None = None

    @property
    def complete(self) -> bool:
        return self.state is State.DONE

    @property
    def in_body(self) -> bool:
        return self.state is not State.HEAD

    def feed(self, block: bytes) -> None:
        """Take what has been received; an empty block means that no more will come."""
        if not block:
            self.state = State.DONE
        elif self.state is State.HEAD:
            self._keep(block)
            self._follow_head(block)
        else:
            if not self.is_too_long:
                self._keep(block)
            self._follow_body(block)

    def _keep(self, block: bytes) -> None:
        if not self.blocks or len(self.blocks[-1]) >= BLOCK:
            self.blocks.append(bytearray())
        self.blocks[-1] += block  # clients may send single bytes
        self.size += len(block)

    def _follow_head(self, block: bytes) -> None:
        before = len(self.head)
        self.head += block
        end = self.head.find(b"\r\n\r\n", max(0, before - 3))
        if end >= 0:
            rest = bytes(self.head[end + 4 :])
            del self.head[end + 4 :]
            self._begin_body()
            self._follow_body(rest)
        elif BARE_LF.search(self.head, before):
            self.state = State.DONE
        elif len(self.head) > MAX_HEAD:
            self.state = State.DONE
            self.refusal = LimitRequestHeaders(f"the request line and headers are longer than {MAX_HEAD} bytes")

    def _begin_body(self) -> None:
        length = LENGTH.search(self.head)
        if CHUNKED.search(self.head):
            self.state = State.SIZE
        elif length:
            self.left = int(length[1])
            self.is_too_long = self.left > self.max_body
            self.state = State.BODY if 0 < self.left <= self.max_waste else State.DONE
        else:
            self.state = State.DONE
        if EXPECTS.search(self.head) and not self.complete:
            self.expects_continue = not self.is_too_long
            self.state = State.DONE if self.is_too_long else self.state

    def _follow_body(self, block: bytes) -> None:
        """Go over the body as far as it has come."""
        at = 0
        while not self.complete:
            if self.state in (State.BODY, State.DATA):
                step = min(self.left, len(block) - at)
                at, self.left = at + step, self.left - step
                if self.left:
                    break
                self.state = State.DONE if self.state is State.BODY else State.END
                continue
            end = block.find(b"\n", at)
            self.line += block[at : end + 1 or None]
            if end < 0:
                if len(self.line) > MAX_LINE:
                    self.state = State.DONE
                break
            at = end + 1
            self._take_line()
        if self.state is not State.BODY and self.size > self.max_body + MAX_HEAD:
            self.state = State.DONE  # a chunked body that is too long

    def _take_line(self) -> None:
        line, self.line = self.line.strip(), b""
        match self.state:
            case State.SIZE:
                try:
                    self.left = int(line.partition(b";")[0].strip(), 16)
                except ValueError:
                    self.left = -1
                self.state = State.DATA if self.left > 0 else State.TRAILER if self.left == 0 else State.DONE
            case State.END:
                self.state = State.SIZE if not line else State.DONE
            case State.TRAILER:
                self.state = State.TRAILER if line else State.DONE


class Received(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Gives gunicorn's parser the blocks that have been received, and then what the socket gives."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.blocks: deque[bytearray] = deque()
        self.waits = False  # for the socket

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self.blocks:
            return bytes(self.blocks.popleft())
        self.waits = True
        try:
            block: bytes = super().chunk(size_hint)
        finally:
            self.waits = False
        return block

    def put_back_rest(self) -> None:
        """Let what the parser has not asked for be seen as read ahead: the next request has begun."""
        rest = b"".join(self.blocks)
        self.blocks = deque()
        if rest:
            self.buf.seek(0, 2)
            self.buf.write(rest)
