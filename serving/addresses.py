"""The addresses behind the name of a host: all of them are listened on, on one port."""

import errno
import ipaddress
import socket
from contextlib import ExitStack

from serving.engine.errors import ServingError

LOCALHOST = ["127.0.0.1", "::1"]  # what the name stands for (RFC 6761), whatever a machine's list of names says
LACKING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # this machine has no such address, as where IPv6 is turned off
TRIES = 20  # to find a port that is free on all of them


def addresses(host: str, port: int) -> list[tuple[str, int]]:
    """(address, port) of everything that `host` stands for and that this machine can listen on; 0 takes a free port.

    Raises ServingError for a name that stands for nothing, or an address that is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is no name"
        raise ServingError(f"[{host}] is no host that can be listened on: {reason}") from None
    names = list(dict.fromkeys([str(address[0]) for *_, address in found] + LOCALHOST * (host == "localhost")))
    for _ in range(TRIES):
        try:
            return _bound(names, port)
        except OSError as problem:
            if port:
                reason = f"{problem.strerror}; try another --port or --host"
                raise ServingError(f"[{host}:{port}] cannot be listened on: {reason}") from None
    raise ServingError(f"[{host}] no port is free on all of {', '.join(names)}; name one with --port")


def _bound(names: list[str], port: int) -> list[tuple[str, int]]:
    """Those addresses that this machine has, all with one port. Raises OSError if one is taken or none is there."""
    found: list[tuple[str, int]] = []
    lacking: OSError | None = None
    with ExitStack() as stack:
        for name in names:
            family = socket.AF_INET6 if ":" in name else socket.AF_INET
            try:
                probe = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((name, port))
            except OSError as problem:
                if problem.errno not in LACKING:
                    raise
                lacking = problem
                continue
            port = probe.getsockname()[1] if len(names) > 1 else port
            found.append((name, port))
    if not found and lacking is not None:
        raise lacking
    return found


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach it."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def shown(address: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
