"""`needle-serve`: the zoo's models over HTTP, by gunicorn with settings of its own and no configuration file."""

import argparse
import atexit
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from needle.backend_ndarray.ndarray_backend_cpu import num_threads
from needle.commands import CommandParser, Distinct, number, offer, run, whole
from serving import logs
from serving.addresses import addresses, is_loopback, shown
from serving.balance import Connections
from serving.config import with_config
from serving.doctor import add_doctor
from serving.engine import load, sources
from serving.engine.errors import ServingError
from serving.engine.limits import FLAGS, Limits
from serving.engine.memory import return_freed_memory
from serving.engine.models import Model
from serving.engine.sources import Source
from serving.key_commands import add_keys, add_state, state_of
from serving.parts import Parts
from serving.supervisor import Master
from serving.trainer import NICEST
from serving.worker import Worker

MODELS = ("resnet9", "gpt-novels")  # of images and of text, unless others are asked for

log = logging.getLogger("serving")


class ServeParser(CommandParser):
    """The grammar of the command, which takes flags from a file too."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Raises ServingError where the file cannot be used."""
        return super().parse_args(with_config(self, sys.argv[1:] if args is None else args), namespace)


def parser() -> CommandParser:
    parser = ServeParser(
        prog="needle-serve",
        description="Serve models over HTTP: Open Inference Protocol v2, image upload, metrics, and a page at /.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.shared()
    parser.pluggable()
    parser.add_argument("--port", type=whole(0, 65535), default=8000, help="port to listen on; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    several: dict[str, Any] = {"nargs": "*", "default": [*MODELS], "metavar": "MODEL", "action": Distinct}
    what = "trained models of the zoo, and files of models: .nd, or what needle-zoo train wrote; [NAME=]FILE"
    offer(parser.add_argument("--models", **several, help=what), sources.names())
    what = "a folder of models, NAME.nd or NAME/VERSION/model.nd, which is looked into again at each load"
    parser.add_argument("--repository", type=Path, metavar="FOLDER", help=what)
    what = "processes; one is enough for one machine's cores"
    parser.add_argument("--workers", type=whole(1), default=1, help=what)
    parser.add_argument("--threads", type=whole(2), default=64, help="requests that a process works on at once")
    engine = "auto is instant until the model is compiled, and where there is no C++ compiler"
    parser.add_argument("--engine", choices=load.ENGINES, default="auto", help=engine)
    for field, (flag, unit, _, text) in FLAGS.items():
        default = getattr(Limits(), field) / unit
        parser.add_argument(flag, dest=field, type=number(0, above=True), default=f"{default:g}", help=text)
    parser.add_argument("--prepare", action="store_true", help="compile the models into the cache, and exit")
    what = "seconds for running requests after SIGTERM"
    parser.add_argument("--drain-seconds", type=whole(0), default=30, help=what)
    what = "how far the process that trains goes behind others, 0 to 19; with 19 it runs where nobody else wants to"
    parser.add_argument("--train-nice", type=whole(0, NICEST), default=NICEST, metavar="N", help=what)
    what = "answer whoever reaches the address, also from other machines, while there are no keys"
    parser.add_argument("--open", action="store_true", help=what)
    add_state(parser)
    what = "lines for people, or a JSON object a line for what collects logs"
    parser.add_argument("--log-format", choices=logs.FORMATS, default="text", help=what)
    parser.add_argument("--log-requests", action="store_true", help="log each answer")
    what = "flags from a TOML file, by their names, as in port = 8080; those of the command line win"
    parser.add_argument("--config", type=Path, metavar="FILE", help=what)
    commands = parser.add_subparsers(dest="action", metavar="COMMAND", help="instead of serving: keys, doctor")
    add_keys(commands)
    add_doctor(commands)
    parser.set_defaults(run=serve)
    return parser


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with all its settings from here; arguments as of `Parts`."""

    def __init__(self, load: Callable[[Source], Model], given: Sequence[Source], options: argparse.Namespace):
        self.parts, self.options = Parts(load, given, options), options
        self.supervisor = self.parts.supervisor
        self.free = list(range(self.parts.metrics.counters.columns, 0, -1))
        super().__init__()

    def load_config(self) -> None:
        limits = self.parts.limits
        Worker.header_seconds, Worker.body_seconds = limits.header_seconds, limits.body_seconds
        Worker.max_body = limits.body
        Worker.connections = Connections(self.parts.metrics.counters.columns)
        settings = {
            "bind": self.options.bind,
            "workers": self.options.workers,
            "threads": self.options.threads,
            "worker_class": "serving.worker.Worker",
            "keepalive": 75,
            "graceful_timeout": self.options.drain_seconds,
            "loglevel": "warning",
            "logger_class": logs.ServerLogger,
            "control_socket_disable": True,
            "proc_name": "needle-serve",
            "when_ready": self.listening,
            "pre_fork": self.before_fork,
            "post_fork": self.after_fork,
            "worker_exit": self.worker_ends,
            "child_exit": self.worker_gone,
            "on_exit": self.ended,
        }  # fmt: skip
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self.parts.app(num_threads() // self.options.workers)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        Master(self).run()

    def ended(self, arbiter: Any) -> None:
        self.parts.end()

    def listening(self, arbiter: Any) -> None:
        for listener in arbiter.LISTENERS:
            host, port = listener.sock.getsockname()[:2]
            log.info("listening on http://%s", shown(host, port))

    def before_fork(self, arbiter: Any, worker: Any) -> None:
        worker.column = self.free.pop()

    def after_fork(self, arbiter: Any, worker: Any) -> None:
        self.parts.metrics.counters.column = worker.column
        return_freed_memory()

    def worker_ends(self, arbiter: Any, worker: Any) -> None:
        """Leave the process at once: Python ends threads that are in C++ (that load, or write a text) by aborting."""
        problem = sys.exc_info()[1]
        code = problem.code if isinstance(problem, SystemExit) else 1
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)

    def worker_gone(self, arbiter: Any, worker: Any) -> None:
        self.parts.metrics.counters.fold(worker.column)
        Worker.connections.leave(worker.column)
        self.free.append(worker.column)


def check_address(options: argparse.Namespace) -> None:
    """Put into `options.bind` what is to be listened on, and whether that is for this machine alone.

    Raises ServingError for an address that is taken, or that others can reach while nobody needs a key.
    """
    found = addresses(options.host, options.port)
    options.bind = [shown(*each) for each in found]
    options.is_private = not options.open and all(is_loopback(address) for address, _ in found)
    keys = state_of(options).keys()
    is_needed = keys.needed
    keys.close()
    if is_needed:
        log.info("requests need a key, as %s holds some", keys.database)
    elif not options.open and not options.is_private:
        reason = "other machines can reach it, and there are no keys"
        advice = "make one with needle-serve keys create, or let everybody in with --open"
        raise ServingError(f"[{options.host}] {reason}; {advice}")
    else:
        log.info("whoever reaches %s can use this server: there are no keys", options.host)


def sources_of(options: argparse.Namespace) -> list[Source]:
    """The models that the flags ask for. Raises NeedleError for one that there is not."""
    given = sources.sources(options.models, options.engine)
    if options.repository:
        named = {source.name for source in given}
        given += [x for x in sources.scan(options.repository, options.engine) if x.name not in named]
    return given


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C, or only compile. Raises NeedleError if it cannot begin."""
    logs.configure(options.log_format, options.log_requests)
    given = sources_of(options)
    if options.prepare:
        prepare(given, everywhere=True)  # an image of a container may come to an older processor
        return
    check_address(options)
    if options.engine == "compiled":
        prepare(given)  # before there are workers, whose failure would end in a server that is never ready
    Server(load.load, given, options).run()


def prepare(given: Sequence[Source], everywhere: bool = False) -> None:
    """Compile what is not in the cache; SIGTERM ends the compiler too. Raises NeedleError if it cannot be compiled."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        load.prepare(given, everywhere)
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    logs.configure()
    return run(parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
