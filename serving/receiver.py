"""The receiving half of the worker: requests come in, headers and body, before a thread is taken.

Clients that are slow or silent cost no thread; beyond a limit on what is held in memory, one sends at a time.
"""

import errno
import selectors
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from serving.balance import PASSES, PAUSE, Connections
from serving.engine.limits import PATIENCE
from serving.intake import BLOCK, CONTINUE, Intake

PROBES = (b"/v2/health/live", b"/v2/health/ready")
PROBE_THREADS = 8
SMALL_BODY = 1 << 16  # bytes; up to this, a body is received whatever others hold
HELD = 4  # longest bodies that are held in memory at once; beyond, one client at a time goes on sending


class Receiver(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Accepts connections, and gives a request to `handle`, in a thread, when it is complete, too late or not HTTP.

    One for health is given to `answer`, in a thread of another pool.

    Set `header_seconds`, `body_seconds`, `max_body` (bytes) and `connections`, which the workers share, on the class,
    before there are instances.

    A connection is in one place at a time: `intakes` (its request is coming in), a thread pool, gunicorn's
    `keepalived_conns` (between requests), or `closing` (answered, lingering until the client closes).
    """

    header_seconds = 10.0
    body_seconds = 30.0
    max_body = 16 << 20
    connections = Connections(1)
    column = 1  # of this worker, in what workers share

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.intakes: dict[TConn, Intake] = {}
        self.closing: dict[TConn, None] = {}
        self.deadlines: dict[TConn, float] = {}  # of the connections in intakes and closing
        self.paused: dict[TConn, None] = {}  # those in intakes that are not read from for now, in order
        self.lock = threading.Lock()  # of the next three, which threads change
        self.queued = 0  # requests that no thread has begun to work on
        self.held = 0  # bytes of requests that are coming in or worked on
        self.most_held = 0  # since memory was last given back to the system
        self.passed = 0  # times that a connection was left to others

    def get_thread_pool(self) -> Any:
        self.probes = ThreadPoolExecutor(PROBE_THREADS, "probe")
        return super().get_thread_pool()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, unless another worker should, which has fewer.

        When there are as many as may be, at the cost of the one that has been idle longest.
        """
        if self.passed < PASSES and self.alive and self.connections.is_for_another(self.nr_conns):
            self.passed += 1
            time.sleep(PAUSE)
            return
        self.passed = 0
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        try:
            super().accept(listener)
        except OSError as problem:
            if problem.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._make_room()
        self.connections.note(self.column, self.nr_conns)

    def _make_room(self) -> None:
        silent = (conn for conn, intake in self.intakes.items() if not intake.in_body)
        for idle in (self.keepalived_conns, self.closing, silent, self.intakes):
            conn = next(iter(idle), None)
            if conn is not None:
                self._close(conn)
                return

    def enqueue_req(self, conn: TConn) -> None:
        """Receive a request on a connection that is new, or whose next one comes or has begun to come."""
        intake = self.intakes[conn] = self.next_intake(conn)
        seconds = self.body_seconds if intake.in_body else self.header_seconds
        self.deadlines[conn] = time.monotonic() + seconds
        if intake.complete:
            self._submit(conn)
        else:
            self._watch(conn, self._receive)

    def next_intake(self, conn: TConn) -> Intake:
        """The request of a connection that is coming in, with what has been read ahead of it."""
        if getattr(conn, "intake", None) is None:
            conn.intake = Intake(self.max_body, PATIENCE * self.max_body)
            begun = conn.parser.unreader.take_buffered() if conn.parser else b""
            if begun:
                self.take_in(conn, begun)
        intake: Intake = conn.intake
        return intake

    def take_in(self, conn: TConn, block: bytes) -> None:
        """What has been received of the request of a connection; answers one that waits for leave to send its body."""
        intake = conn.intake
        was_in_body, size = intake.in_body, intake.size
        intake.feed(block)
        self.hold(intake.size - size)
        if intake.expects_continue and not was_in_body and not intake.complete:
            with suppress(OSError):
                conn.sock.send(CONTINUE)

    def hold(self, size: int) -> None:
        """Count bytes that are held in memory from now on, or, below zero, no longer."""
        with self.lock:
            self.held += size
            self.most_held = max(self.most_held, self.held)

    def _watch(self, conn: TConn, callback: Any) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def queue(self, count: int) -> None:
        """Count requests that wait for a thread from now on, or, below zero, no longer."""
        with self.lock:
            self.queued += count

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
        was_in_body = intake.in_body
        self.take_in(conn, block)
        if intake.complete:
            self._submit(conn)
        elif intake.in_body and not was_in_body:
            self.deadlines[conn] = time.monotonic() + self.body_seconds
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
        del self.intakes[conn]
        conn.data_ready = True
        path = conn.intake.head.partition(b"\r\n")[0].partition(b" ")[2].partition(b" ")[0].partition(b"?")[0]
        if path.endswith(PROBES):
            future = self.probes.submit(self.answer, conn)
        else:
            self.queue(1)
            future = self.tpool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

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

    def _forget(self, conn: TConn) -> None:
        """Stop to watch a connection."""
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.deadlines.pop(conn, None)
        self.paused.pop(conn, None)

    def _close(self, conn: TConn) -> None:
        """Close a connection that no thread works on."""
        self._forget(conn)
        self.closing.pop(conn, None)
        intake = self.intakes.pop(conn, None)
        if intake is not None:
            self.hold(-intake.size)
        elif conn in self.keepalived_conns:
            self.keepalived_conns.remove(conn)
        self.nr_conns -= 1
        conn.close()
