"""gunicorn's threaded worker, made fit to face slow, broken and leaving clients, and to leave without dropping any.

Against the stock worker: a client has a fixed time to send its headers and its body; connections that the kernel has
accepted before SIGTERM are answered, not reset; requests that are not HTTP get the server's JSON error, not HTML.
"""

import json
import secrets
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

REFUSALS = (  # gunicorn's exception -> status line; the first that fits
    (errors.LimitRequestLine, "414 URI Too Long"),
    (errors.LimitRequestHeaders, "431 Request Header Fields Too Large"),
    (errors.ExpectationFailed, "417 Expectation Failed"),
    (errors.UnsupportedTransferCoding, "501 Not Implemented"),
    (errors.ParseException, "400 Bad Request"),
)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Set `header_seconds`, `body_seconds` and `on_leaving` on the class before gunicorn makes instances."""

    header_seconds = 10.0
    body_seconds = 30.0

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.reading: dict[TConn, float] = {}  # connections that a thread reads from, and until when it may

    # -- slow clients: the main loop ends the reading side, which wakes the thread that waits for more

    def handle(self, conn: TConn) -> Any:
        self.reading[conn] = time.monotonic() + self.header_seconds
        try:
            return super().handle(conn)
        finally:
            self.reading.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        self.reading[conn] = time.monotonic() + self.body_seconds
        return super().handle_request(req, conn)

    def notify(self) -> None:
        super().notify()
        now = time.monotonic()
        for conn, deadline in list(self.reading.items()):
            if deadline < now and self.reading.pop(conn, None) is not None:
                with suppress(OSError):  # it may have left already
                    conn.sock.shutdown(socket.SHUT_RD)

    # -- leaving

    def handle_exit(self, sig: int, frame: Any) -> None:
        app = getattr(self, "wsgi", None)  # not there yet when the signal comes during the start
        if app is not None:
            app.extensions["needle-serve"].draining = True
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """When leaving, take in what the kernel has accepted already, and close the door at once behind it."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                before = -1
                while before != self.nr_conns:
                    before = self.nr_conns
                    self.accept(listener)
                listener.close()

    # -- clients that do not speak HTTP

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        status = next((line for kind, line in REFUSALS if isinstance(exc, kind)), None)
        if status is None:
            self.log.error("request failed outside the app", exc_info=exc)
            status = "500 Internal Server Error"
        message = str(exc) if not status.startswith("500") else "internal error"
        body = json.dumps({"error": f"[http] {message}"}).encode()
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"x-request-id: {secrets.token_hex(8)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):  # it may have left already
            client.sendall(head.encode() + body)
