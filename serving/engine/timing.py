"""Where the request that a thread works on has spent its time: the header `Server-Timing` of its answer.

The header's form: https://www.w3.org/TR/server-timing/; browsers show it beside each request.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

_began: ContextVar[float] = ContextVar("began")
_spent: ContextVar[dict[str, float]] = ContextVar("spent")


def begin() -> None:
    """A request begins on this thread."""
    _began.set(time.perf_counter())
    _spent.set({})


def note(**seconds: float) -> None:
    """What the request has spent on something; nothing is noted outside of one."""
    spent = _spent.get(None)
    if spent is not None:
        spent.update(seconds)


def elapsed() -> float:
    """Seconds since the request began."""
    return time.perf_counter() - _began.get(time.perf_counter())


def header() -> str:
    """`queue;dur=0.05, compute;dur=3.1, total;dur=3.4`: milliseconds, up to now."""
    parts = {**_spent.get({}), "total": elapsed()}
    return ", ".join(f"{name};dur={1e3 * seconds:.3g}" for name, seconds in parts.items())
