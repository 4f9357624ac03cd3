"""`needle-serve`: the zoo's models over HTTP, by gunicorn with settings of its own and no configuration file."""

import argparse
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.app.base import BaseApplication

from serving import __version__
from serving.app import create_app
from serving.engine.errors import ServingError
from serving.engine.limits import FLAGS, Limits
from serving.engine.memory import return_freed_memory
from serving.engine.metrics import Metrics
from serving.engine.models import Model
from serving.engine.service import Service
from serving.worker import Worker

log = logging.getLogger("serving")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="needle-serve",
        description="Serve models over HTTP: Open Inference Protocol v2, image upload, metrics, and a page at /.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--models", nargs="+", default=["resnet9"], metavar="NAME", help="models of the zoo to serve")
    parser.add_argument("--workers", type=int, default=1, help="processes; one is enough for one machine's cores")
    parser.add_argument("--threads", type=int, default=64, help="requests that a process works on at once")
    engine = "auto interprets a model's graph until it is compiled, and where there is no C++ compiler"
    parser.add_argument("--engine", choices=("auto", "compiled", "interpreted"), default="auto", help=engine)
    for field, (flag, unit, _, text) in FLAGS.items():
        default = getattr(Limits(), field) / unit
        parser.add_argument(flag, dest=field, type=float, default=f"{default:g}", help=text)
    parser.add_argument("--prepare", action="store_true", help="compile the models into the cache, and exit")
    parser.add_argument("--drain-seconds", type=int, default=30, help="seconds for running requests after SIGTERM")
    parser.add_argument("--version", action="version", version=f"needle-serve {__version__}")
    return parser


def limits(options: argparse.Namespace) -> Limits:
    """The limits that the flags ask for. Exits with a message when one is not positive."""
    for field, (flag, *_) in FLAGS.items():
        if getattr(options, field) <= 0:
            sys.exit(f"needle-serve: {flag} must be more than 0, got {getattr(options, field):g}")
    whole = {"body", "inflated", "pixels", "memory", "queue"}
    values = {field: getattr(options, field) * unit for field, (_, unit, *_) in FLAGS.items()}
    return Limits(**{field: int(value) if field in whole else value for field, value in values.items()})


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with all its settings from here. `load` makes a Model from a name, in each worker."""

    def __init__(self, load: Callable[[str], Model], options: argparse.Namespace):
        self.load_model, self.options, self.limits = load, options, limits(options)
        # A worker that is being replaced and its successor count at the same time; more may be added while it runs.
        self.metrics = Metrics(options.models, columns=2 * options.workers + 62)
        self.free = list(range(self.metrics.counters.columns, 0, -1))
        super().__init__()

    def load_config(self) -> None:
        Worker.header_seconds = self.limits.header_seconds
        Worker.body_seconds = self.limits.body_seconds
        Worker.max_body = self.limits.body
        settings = {
            "bind": f"[{self.options.host}]:{self.options.port}" if ":" in self.options.host
            else f"{self.options.host}:{self.options.port}",
            "workers": self.options.workers,
            "threads": self.options.threads,
            "worker_class": "serving.worker.Worker",
            "keepalive": 75,
            "graceful_timeout": self.options.drain_seconds,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "needle-serve",
            "when_ready": self.listening,
            "pre_fork": self.before_fork,
            "post_fork": self.after_fork,
            "child_exit": self.worker_gone,
        }  # fmt: skip
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI app of one worker; its models load in the background, so that it answers health checks at once."""
        service = Service(self.load_model, self.options.models, self.metrics, self.limits)
        service.start()
        return create_app(service)

    def listening(self, arbiter: Any) -> None:
        for listener in arbiter.LISTENERS:
            host, port = listener.sock.getsockname()[:2]
            log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    def before_fork(self, arbiter: Any, worker: Any) -> None:
        worker.column = self.free.pop()

    def after_fork(self, arbiter: Any, worker: Any) -> None:
        self.metrics.counters.column = worker.column
        return_freed_memory()

    def worker_gone(self, arbiter: Any, worker: Any) -> None:
        self.metrics.counters.fold(worker.column)
        self.free.append(worker.column)


def check(options: argparse.Namespace, known: Iterable[str]) -> None:
    """Exit with a message unless the models exist and the numbers make sense."""
    unknown = [name for name in options.models if name not in known]
    if unknown:
        sys.exit(f"needle-serve: there is no model {unknown[0]!r}; there are {', '.join(known)}")
    if options.workers < 1 or options.threads < 2:
        sys.exit("needle-serve: --workers must be at least 1 and --threads at least 2")
    if not 0 <= options.port < 65536:
        sys.exit(f"needle-serve: --port must be 0 to 65535, got {options.port}")


def check_address(options: argparse.Namespace) -> None:
    """Exit with a message unless the address is free; warn when others than this machine can reach it."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as problem:
            address = f"{options.host} port {options.port}"
            sys.exit(f"needle-serve: cannot listen on {address}: {problem.strerror}; try another --port")
    if not _is_loopback(options.host):
        log.warning("there is no authentication: whoever can reach %s can use this server", options.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def prepare(names: list[str], load: Callable[[str, str], Model]) -> None:
    """Compile the models into the cache. Exits with a message when that fails."""
    for name in names:
        try:
            load(name, "compiled")
        except ServingError as problem:
            sys.exit(f"needle-serve: {problem}")


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from serving.engine import load

    logging.basicConfig(level=logging.INFO, format="needle-serve: %(message)s", stream=sys.stderr)
    options = parser().parse_args(arguments)
    check(options, load.names())
    if options.prepare:
        prepare(options.models, load.load)
        return
    check_address(options)
    Server(load.loader(options.engine), options).run()
