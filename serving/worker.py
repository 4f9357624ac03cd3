"""gunicorn's threaded worker, hardened against slow, broken and vanishing clients; it shuts down without dropping any.

Against the stock worker: a thread is taken when a request has come (see `Receiver`); health is answered by threads of
its own; a client has a fixed time to send its headers and its body; connections that the kernel has accepted before
SIGTERM are answered, not reset; requests that are not HTTP get the server's JSON error, not HTML.
"""

import io
import json
import secrets
import socket
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from gunicorn.http import errors
from gunicorn.http.body import Body
from gunicorn.workers.gthread import TConn

from serving.engine.memory import trim
from serving.intake import BLOCK, Received
from serving.receiver import HELD, SMALL_BODY, Receiver

REFUSALS = (  # gunicorn's exception -> status line; the first that fits
    (errors.LimitRequestLine, "414 URI Too Long"),
    (errors.LimitRequestHeaders, "431 Request Header Fields Too Large"),
    (errors.ExpectationFailed, "417 Expectation Failed"),
    (errors.UnsupportedTransferCoding, "501 Not Implemented"),
    (errors.ParseException, "400 Bad Request"),
)

TICK = 0.2  # seconds between looks at the clock
LINGER = 2.0  # seconds for a client to read its answer and close; also for one that has sent nothing, at shutdown
STAY = 0.05  # seconds that a thread waits for the next request of the connection that it has answered


class Worker(Receiver):
    """Works on the requests that the `Receiver` has received, and sees every connection to its end, also at SIGTERM."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.stays = threading.BoundedSemaphore(self.cfg.threads // 2)  # the others are there for who comes
        self.reading: dict[TConn, float] = {}  # connections that a thread reads from, and until when it may
        self.next_look = 0.0

    # -- in a thread

    def handle(self, conn: TConn) -> Any:
        """Answer the request that has come, and those that follow soon.

        A thread that stays with its connection is woken once a request; else the main loop is, then a thread, then the
        main loop again, which takes longer than most requests do.
        """
        self.queue(-1)
        keep = self.answer(conn)
        while keep and self._comes_soon(conn):
            keep = self.answer(conn)
        return keep

    def _comes_soon(self, conn: TConn) -> bool:
        """Whether the next request of a connection is there, to its end, before the thread has waited too long.

        What comes too late or slowly is left to the main loop, with what there is of it.
        """
        if self.queued or not self.alive or not self.stays.acquire(blocking=False):
            return False
        try:
            intake = self.next_intake(conn)
            until = time.monotonic() + STAY
            while not intake.complete and self.held <= HELD * self.max_body and (left := until - time.monotonic()) > 0:
                conn.sock.settimeout(left)
                self.take_in(conn, conn.sock.recv(BLOCK))
        except TimeoutError:
            pass
        except OSError:
            self.take_in(conn, b"")
        finally:
            self.stays.release()
        if not intake.size and not intake.complete:
            conn.intake = None
            return False
        return intake.complete

    def answer(self, conn: TConn) -> Any:
        """Answer the request that has come; whether the connection is kept."""
        self.reading[conn] = time.monotonic() + self.header_seconds
        try:
            if conn.intake.refusal is not None:
                conn.sock.setblocking(True)
                self.handle_error(None, conn.sock, conn.client, conn.intake.refusal)
                return False
            conn.init()
            if not isinstance(conn.parser.unreader, Received):
                conn.parser.unreader = Received(conn.sock)
            conn.parser.unreader.blocks = conn.intake.blocks
            keep = super().handle(conn)
            conn.parser.unreader.put_back_rest()
            return keep
        finally:
            self.reading.pop(conn, None)
            self.hold(-conn.intake.size)
            conn.intake = None
            if self.paused:
                self.method_queue.defer(self._resume)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        self.reading[conn] = time.monotonic() + self.body_seconds
        timeout = struct.pack("@ll", int(self.body_seconds) + 1, 0)
        with suppress(OSError):  # a client that takes nothing of its answer for so long is one that has left
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        if conn.intake.is_too_long:
            req.body = Body(io.BytesIO())  # thrown away or not to be received; its length is known
            req.force_close()
        if conn.intake.expects_continue or conn.intake.is_too_long:
            req._expected_100_continue = False  # said already, or not to be said
        return super().handle_request(req, conn)

    # -- afterwards

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        if not fs.cancelled() and fs.exception() is None and fs.result():
            if conn.intake is not None:  # a part of the next request, which came while the thread stayed
                self.enqueue_req(conn)
            else:
                super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        """Say that no more will come, and close when the client has; closing at once could take its answer away."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self._watch(conn, self._drain)
        except (OSError, ValueError):
            self._close(conn)
            return
        self.closing[conn] = None
        self.deadlines[conn] = time.monotonic() + LINGER

    def _drain(self, conn: TConn, client: socket.socket) -> None:
        try:
            if client.recv(BLOCK):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._close(conn)

    def notify(self) -> None:
        """Called in every turn of the main loop, of which few are of use here: end what takes too long."""
        if self.alive:
            self.connections.note(self.column, self.nr_conns)
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + TICK
        super().notify()
        for conn in [conn for conn, deadline in self.deadlines.items() if deadline < now]:
            self._late(conn)
        for conn in [conn for conn, deadline in list(self.reading.items()) if deadline < now and self._waits_for(conn)]:
            if self.reading.pop(conn, None) is not None:
                with suppress(OSError):  # it may have left already
                    conn.sock.shutdown(socket.SHUT_RD)  # wakes the thread that waits for more
        self._resume()
        if self.most_held > self.max_body and self.held < SMALL_BODY:
            trim()
            self.most_held = 0

    @staticmethod
    def _waits_for(conn: TConn) -> bool:
        """Whether a thread waits for more of a request: one that has come may be worked on for as long as it takes."""
        unreader = conn.parser.unreader if conn.parser else None
        return not isinstance(unreader, Received) or unreader.waits

    # -- shutting down

    def handle_exit(self, sig: int, frame: Any) -> None:
        app = getattr(self, "wsgi", None)  # not there yet when the signal comes during the start
        if app is not None:
            app.extensions["needle-serve"].draining = True
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """At shutdown, accept the connections that the kernel has completed, and stop listening at once."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self.connections.leave(self.column)
            for listener in self.sockets:
                before = -1
                while before != self.nr_conns:
                    before = self.nr_conns
                    self.accept(listener)
                listener.close()
            soon = time.monotonic() + LINGER
            for conn, intake in self.intakes.items():
                if not intake.size:
                    self.deadlines[conn] = min(self.deadlines[conn], soon)

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
