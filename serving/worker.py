"""gunicorn's threaded worker, hardened against slow, broken and vanishing clients; it shuts down without dropping any.

Against the stock worker: a thread is taken when a request has come, headers and body, so that clients that are slow or
silent cost none; health is answered by threads of its own; a client has a fixed time to send its headers and its body;
connections that the kernel has accepted before SIGTERM are answered, not reset; requests that are not HTTP get the
server's JSON error, not HTML.
"""

import errno
import io
import json
import secrets
import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http import errors
from gunicorn.http.body import Body
from gunicorn.workers.gthread import TConn, ThreadWorker

from serving.engine.limits import PATIENCE
from serving.engine.memory import trim
from serving.intake import BLOCK, CONTINUE, Intake, Received

REFUSALS = (  # gunicorn's exception -> status line; the first that fits
    (errors.LimitRequestLine, "414 URI Too Long"),
    (errors.LimitRequestHeaders, "431 Request Header Fields Too Large"),
    (errors.ExpectationFailed, "417 Expectation Failed"),
    (errors.UnsupportedTransferCoding, "501 Not Implemented"),
    (errors.ParseException, "400 Bad Request"),
)


PROBE = b"/v2/health/"
PROBE_THREADS = 8
SMALL_BODY = 1 << 16  # bytes; up to this, a body is received whatever others hold
HELD = 4  # longest bodies that are held in memory at once; beyond, one client at a time goes on sending
TICK = 0.2  # seconds between looks at the clock
LINGER = 2.0  # seconds for a client to read its answer and close; also for one that has sent nothing, at shutdown


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Set `header_seconds`, `body_seconds` and `max_body` (bytes) on the class, before there are instances.

    A connection is in one place at a time: `intakes` (its request is coming in), a thread pool, gunicorn's
    `keepalived_conns` (between requests), or `closing` (answered, lingering until the client closes).
    """

    header_seconds = 10.0
    body_seconds = 30.0
    max_body = 16 << 20

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.reading: dict[TConn, float] = {}  # connections that a thread reads from, and until when it may
        self.intakes: dict[TConn, Intake] = {}
        self.deadlines: dict[TConn, float] = {}  # of the connections in intakes and closing
        self.paused: dict[TConn, None] = {}  # those in intakes that are not read from for now, in order
        self.closing: dict[TConn, None] = {}
        self.held = 0  # bytes of requests that are coming in or worked on
        self.most_held = 0  # since memory was last given back to the system
        self.next_look = 0.0

    def get_thread_pool(self) -> Any:
        self.probes = ThreadPoolExecutor(PROBE_THREADS, "probe")
        return super().get_thread_pool()

    # -- coming in

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; when there are as many as may be, at the cost of the one that has been idle longest."""
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        try:
            super().accept(listener)
        except OSError as problem:
            if problem.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._make_room()

    def _make_room(self) -> None:
        silent = (conn for conn, intake in self.intakes.items() if not intake.in_body)
        for idle in (self.keepalived_conns, self.closing, silent, self.intakes):
            conn = next(iter(idle), None)
            if conn is not None:
                self._close(conn)
                return

    def enqueue_req(self, conn: TConn) -> None:
        """Begin to receive a request on a connection that is new, or whose next one comes."""
        self.intakes[conn] = Intake(self.max_body, PATIENCE * self.max_body)
        self.deadlines[conn] = time.monotonic() + self.header_seconds
        self._watch(conn, self._receive)
        begun = conn.parser.unreader.take_buffered() if conn.parser else b""
        if begun:
            self._feed(conn, begun)

    def _watch(self, conn: TConn, callback: Any) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def _receive(self, conn: TConn, client: socket.socket) -> None:
        try:
            block = client.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError:
            block = b""
        self._feed(conn, block)

    def _feed(self, conn: TConn, block: bytes) -> None:
        intake = self.intakes[conn]
        was_in_body, size = intake.in_body, intake.size
        intake.feed(block)
        self.held += intake.size - size
        self.most_held = max(self.most_held, self.held)
        if intake.complete:
            self._submit(conn)
        elif intake.in_body and not was_in_body:
            self.deadlines[conn] = time.monotonic() + self.body_seconds
            if intake.expects_continue:
                with suppress(OSError):
                    conn.sock.send(CONTINUE)
        elif self.held > HELD * self.max_body and intake.size > SMALL_BODY and not intake.is_first:
            self.poller.unregister(conn.sock)
            self.paused[conn] = None
            self._resume()

    def _resume(self) -> None:
        """Let paused clients go on sending when there is room; when there is none, one of them, to its end."""
        while self.paused:
            if self.held > HELD * self.max_body:
                if any(intake.is_first for intake in self.intakes.values()):
                    return
                self.intakes[next(iter(self.paused))].is_first = True
            conn = next(iter(self.paused))
            del self.paused[conn]
            self._watch(conn, self._receive)

    def _submit(self, conn: TConn) -> None:
        """Give a request that has come to a thread."""
        self._forget(conn)
        conn.intake = self.intakes.pop(conn)
        conn.data_ready = True
        line = conn.intake.head.partition(b"\r\n")[0]
        pool = self.probes if PROBE in line else self.tpool
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _forget(self, conn: TConn) -> None:
        """Stop to watch a connection."""
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.deadlines.pop(conn, None)
        self.paused.pop(conn, None)

    # -- in a thread

    def handle(self, conn: TConn) -> Any:
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

    def handle_request(self, req: Any, conn: TConn) -> Any:
        self.reading[conn] = time.monotonic() + self.body_seconds
        if conn.intake.is_too_long:
            req.body = Body(io.BytesIO())  # thrown away or not to be received; its length is known
            req.force_close()
        if conn.intake.expects_continue or conn.intake.is_too_long:
            req._expected_100_continue = False  # said already, or not to be said
        return super().handle_request(req, conn)

    # -- afterwards

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        self.held -= conn.intake.size
        conn.intake = None
        self._resume()
        if not fs.cancelled() and fs.exception() is None and fs.result():
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

    def _close(self, conn: TConn) -> None:
        """Close a connection that no thread works on."""
        self._forget(conn)
        self.closing.pop(conn, None)
        intake = self.intakes.pop(conn, None)
        if intake is not None:
            self.held -= intake.size
        elif conn in self.keepalived_conns:
            self.keepalived_conns.remove(conn)
        self.nr_conns -= 1
        conn.close()

    def notify(self) -> None:
        """Called in every turn of the main loop: end what takes too long."""
        super().notify()
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + TICK
        for conn in [conn for conn, deadline in self.deadlines.items() if deadline < now]:
            self._late(conn)
        for conn in [conn for conn, deadline in list(self.reading.items()) if deadline < now]:
            if self.reading.pop(conn, None) is not None:
                with suppress(OSError):  # it may have left already
                    conn.sock.shutdown(socket.SHUT_RD)  # wakes the thread that waits for more
        self._resume()
        if self.most_held > self.max_body and self.held < SMALL_BODY:
            trim()
            self.most_held = 0

    def _late(self, conn: TConn) -> None:
        """A body that came too slowly is answered as far as it has come; silence is not."""
        intake = self.intakes.get(conn)
        if intake is None or not intake.in_body:
            self._close(conn)
            return
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_RD)
        intake.feed(b"")
        self._submit(conn)

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
