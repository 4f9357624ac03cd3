"""What a case is: a name, what builds its programs, and how they take turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from bench.timing import Turns

THREAD_VARIABLES = ("NEEDLE_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Run = Callable[[], Any]


@dataclass(frozen=True)
class Sides:
    """Needle's program of a case, and by name what builds the peers'; a peer's library is imported when it is built.

    With another `unit` than seconds the programs are not timed: what they return is what is compared. So it is with
    `told`, in turns as if they were timed: the seconds that a client has measured.
    """

    ours: Run
    peers: dict[str, Callable[[], Run]] = field(default_factory=dict)
    unit: str = "s"
    told: bool = False


@dataclass(frozen=True)
class Case:
    """One row: `make` names a function in `bench.cases`, "module.function", whose arguments are `sizes`."""

    name: str
    make: str
    sizes: tuple[Any, ...]
    turns: Turns

    def build(self) -> Sides:
        """The programs; raises whatever importing or setting up raises where needle lacks what the case needs."""
        module, function = self.make.split(".")
        sides = getattr(import_module(f"bench.cases.{module}"), function)(*self.sizes)
        assert isinstance(sides, Sides)
        return sides


@dataclass(frozen=True)
class Group:
    """Cases that share a process and a number of threads.

    `needs` are the peers' libraries. With `cost`, the peer is what needle's program is made of, so the ratio to show is
    needle's time over the peer's. With `commits` off, the cases are too long to compare commits with.
    """

    title: str
    threads: int
    needs: tuple[str, ...]
    cases: tuple[Case, ...]
    cost: bool = False
    commits: bool = True

    def environment(self) -> dict[str, str]:
        """The environment of a process that runs these cases: as many threads for every library."""
        return os.environ | dict.fromkeys(THREAD_VARIABLES, str(self.threads)) | {"NEEDLE_BACKEND": "nd"}


def select(groups: dict[str, Group], names: Iterable[str]) -> dict[str, list[Case]]:
    """The cases of each group that a name asks for: a group's name, or what names of cases begin with; all without one.

    Raises KeyError of the first name that nothing answers to.
    """
    names = list(names)
    if not names:
        return {key: list(group.cases) for key, group in groups.items()}
    chosen: dict[str, list[Case]] = {}
    for key, group in groups.items():
        found = [case for case in group.cases if any(name == key or _begins(case, name) for name in names)]
        if found:
            chosen[key] = found
    for name in names:
        if name not in groups and not any(_begins(case, name) for group in groups.values() for case in group.cases):
            raise KeyError(name)
    return chosen


def _begins(case: Case, name: str) -> bool:
    return case.name.lower().startswith(name.lower())
