"""Whether what is computed on Tensors is recorded for gradients: a switch that each thread has for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, ClassVar

from .errors import NeedleError


class _Switch(threading.local):
    """`on`: whether to record. `before`: what it was outside each block that was entered and not left."""

    def __init__(self) -> None:
        self.on = True
        self.before: list[bool] = []


switch = _Switch()


class _Block:
    """A block of code, or a function, in which the switch of the running thread is `on` or off."""

    on: ClassVar[bool]

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        block = super().__new__(cls)
        return block if function is None else block(function)

    def __enter__(self) -> None:
        switch.before.append(switch.on)
        switch.on = self.on

    def __exit__(self, *error: object) -> None:
        switch.on = switch.before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        name = type(self).__name__
        if not callable(function):
            raise NeedleError(f"[{name}] decorates functions, got a {type(function).__name__}")
        if isgeneratorfunction(function) or iscoroutinefunction(function) or isasyncgenfunction(function):
            raise NeedleError(f"[{name}] cannot decorate a generator or coroutine: its caller's code runs in between")

        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            with self:
                return function(*args, **options)

        return run


class no_grad(_Block):
    """`with needle.no_grad():` what is computed inside requires no gradient and keeps neither its op nor its inputs.

    For values of any shape that are only looked at: evaluation, statistics, updates by hand. Tensors made inside, such
    as Parameters, still may require gradients of what is computed outside. Also a decorator, `@needle.no_grad()`.
    Blocks may be nested; they hold for the running thread alone, and threads that it starts record. Raises NeedleError
    for a generator or a coroutine as the function to decorate.
    """

    on = False


class enable_grad(_Block):
    """`with needle.enable_grad():` records again inside a `no_grad` block, for values of any shape; also a decorator.

    Raises NeedleError for a generator or a coroutine as the function to decorate.
    """

    on = True


def is_grad_enabled() -> bool:
    """Whether the running thread records what is computed on Tensors, of any shape: false inside `no_grad`."""
    return switch.on
