"""`python -m serving.ray`: the same application as replicas in a Ray cluster, on Ray Serve.

Ray receives the requests and gives each to a replica, which is a process of its own with all models. What replicas
share is the state: a folder, and the rows in an SQLite file there, or on several machines in a PostgreSQL database.
"""

import argparse
import asyncio
import atexit
import logging
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from needle.backend_ndarray.ndarray_backend_cpu import num_threads
from needle.commands import CommandParser, number, run, whole
from needle.commands.plugins import load_plugins
from needle.errors import NeedleError, SettingError
from serving import cli, logs
from serving.engine import load
from serving.engine.sources import Source
from serving.parts import Parts
from serving.routes.table import CLIENT_LEFT

NAME = "needle"
BEAT = 1.0  # seconds between looks after the process that trains

log = logging.getLogger("serving")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Replica:
    """The ASGI application of one replica: the WSGI one in as many threads as the flags say, and what belongs to it."""

    def __init__(self, options: argparse.Namespace, given: Sequence[Source]):
        from a2wsgi import WSGIMiddleware

        logs.configure(options.log_format, options.log_requests)
        load_plugins(options.plugin)
        parts = Parts(load.load, given, options)
        self.wsgi = parts.app(min(num_threads(), int(options.cpus)))
        service = self.wsgi.extensions["needle-serve"]
        while not service.ready():  # a replica gets requests when this object is there
            threading.Event().wait(0.01)
        answer: Any = self._answer
        self.asgi: Any = WSGIMiddleware(answer, workers=options.threads)
        self.over = threading.Event()
        threading.Thread(target=self._look, args=(parts,), daemon=True).start()
        atexit.register(self.over.set)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input_terminated"] = True  # ASGI says where a body ends
        environ[CLIENT_LEFT] = environ["asgi.scope"][CLIENT_LEFT].is_set
        return self.wsgi(environ, start_response)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request; one whose client has left is cancelled."""
        scope[CLIENT_LEFT] = left = threading.Event()

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":  # Ray writes it too
                message["headers"] = [each for each in message["headers"] if each[0] != b"x-request-id"]
            await send(message)

        try:
            await self.asgi(scope, receive, named)
        except asyncio.CancelledError:
            left.set()
            raise

    def _look(self, parts: Parts) -> None:
        """See to the process that trains, as gunicorn's first process does."""
        while not self.over.wait(BEAT):
            parts.supervisor.look()
        parts.end()


def parser() -> CommandParser:
    """The flags of needle-serve, and those of the cluster."""
    found = cli.parser()
    found.prog = "python -m serving.ray"
    what = "processes with all models, on the machines of the cluster"
    found.add_argument("--replicas", type=whole(1), default=2, help=what)
    found.add_argument("--cpus", type=number(0, above=True), default=1.0, help="processors that a replica asks Ray for")
    what = "address of a running cluster, such as auto; without it, one begins and ends with this command"
    found.add_argument("--cluster", metavar="ADDRESS", help=what)
    found.set_defaults(run=serve)
    return found


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises NeedleError if it cannot begin."""
    try:
        import a2wsgi  # noqa: F401
        import ray
        from ray import serve as ray_serve
    except ImportError as problem:
        raise SettingError(f"[ray] {problem.name} is not installed: pip install 'needle-dl[ray]'") from None
    logs.configure(options.log_format, options.log_requests)
    given = cli.sources_of(options)
    cli.check_address(options)
    if options.engine == "compiled":
        cli.prepare(given)
    client: Any = ray
    cluster: Any = ray_serve  # their types say less than they do
    client.init(address=options.cluster, log_to_driver=True, include_dashboard=False)
    over = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):  # now, for Ray has handlers of its own
        signal.signal(each, lambda *_: over.set())
    try:
        cluster.start(proxy_location="EveryNode", http_options={"host": options.host, "port": options.port})
        del options.run, options.bind
        ingress = cluster.ingress(lambda: Replica(options, given))()
        deployment = cluster.deployment(ingress).options(
            num_replicas=options.replicas, max_ongoing_requests=options.threads,
            ray_actor_options={"num_cpus": options.cpus}, graceful_shutdown_timeout_s=options.drain_seconds,
        )  # fmt: skip
        cluster.run(deployment.bind(), name=NAME, route_prefix="/")
        log.info("listening on http://%s:%s", options.host, options.port)
        over.wait()
        cluster.delete(NAME)
    except RuntimeError as problem:
        raise NeedleError(f"[ray] {problem}") from problem
    finally:
        with suppress(Exception):
            cluster.shutdown()
        client.shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    logs.configure()
    return run(parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
