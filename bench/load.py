"""What else the machine does while we measure: load average and, on Linux, where its processors' time went.

Threads meet at barriers and spin there, so one that has lost its processor to another process stops all of them.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BUSY = 0.05  # the share of processor time that others may take of a quiet machine
CROWDED = 0.5  # where shares are not known: the load average of the last minute at which a machine is not quiet
PROC = Path("/proc")
ADVICE = """\
A thread that lost its processor keeps all others waiting at the next barrier: beside one busy process, a training step
has been seen to take a hundred times as long as alone. For figures that count, end or pause what else runs
(`kill -STOP PID`, and `kill -CONT PID` afterwards), wait until `top` shows a quiet machine, and start again."""


@dataclass(frozen=True)
class Share:
    """Fractions of the time of all processors: what other processes took, and what the hypervisor gave to others."""

    others: float
    steal: float

    @property
    def busy(self) -> bool:
        return self.others > BUSY or self.steal > BUSY

    def __str__(self) -> str:
        others, steal = percent(self.others), percent(self.steal)
        return f"other processes took {others} of the processors' time, the hypervisor {steal}"


@dataclass(frozen=True)
class Reading:
    """Seconds since the machine started, over all processors, and those of this process and its ended children."""

    total: float
    working: float
    steal: float
    own: float

    @classmethod
    def now(cls) -> Reading | None:
        """The times as /proc/stat has them; None where there is none."""
        try:
            first = (PROC / "stat").read_text().splitlines()[0]
        except OSError:
            return None
        return cls.parse(first, sum(os.times()[:4]), os.sysconf("SC_CLK_TCK"))

    @classmethod
    def parse(cls, line: str, own: float, ticks: int = 100) -> Reading:
        """Of a line `cpu user nice system idle iowait irq softirq steal ...` in ticks; guests' time is in user."""
        user, nice, system, idle, iowait, irq, softirq, steal = (int(x) / ticks for x in line.split()[1:9])
        working = user + nice + system + irq + softirq
        return cls(working + idle + iowait + steal, working, steal, own)


def between(start: Reading | None, end: Reading | None) -> Share | None:
    """Where the time between two readings went; None where it is not known."""
    if start is None or end is None or end.total <= start.total:
        return None
    total, own = end.total - start.total, end.own - start.own
    others = (end.working - start.working) - own  # below zero by a tick when ours is counted later
    return Share(max(0.0, others) / total, (end.steal - start.steal) / total)


class Watch:
    """The load average at the beginning of a `with` block, and where the processors' time goes in it."""

    share: Share | None = None

    def __enter__(self) -> Watch:
        self.load, self.start = os.getloadavg()[0], Reading.now()
        return self

    def __exit__(self, *exception: object) -> None:
        self.share = between(self.start, Reading.now())

    @property
    def busy(self) -> str:
        """Why figures do not count, or nothing; where shares are not known, by the load average at the beginning."""
        if self.share:
            return str(self.share) if self.share.busy else ""
        return crowded(self.load)

    def __str__(self) -> str:
        took = f"; meanwhile {self.share}" if self.share else ""
        return f"Load average {self.load:.2f} at the beginning{took}."


def warn(what: str) -> None:
    """Say that the machine is busy, because of `what`, and what to do; nothing without a reason."""
    if what:
        print(f"This machine is busy: {what}\n{ADVICE}\n", file=sys.stderr, flush=True)


def look(seconds: float = 1.0) -> str:
    """What keeps the machine busy while this process sleeps, as a sentence; empty when it is quiet."""
    start, before = Reading.now(), processes()
    if start is None:
        return crowded(os.getloadavg()[0])
    time.sleep(seconds)
    share, after = between(start, Reading.now()), processes()
    if share is None or not share.busy:
        return ""
    took = {key: (after[key] - before.get(key, after[key])) / seconds for key in after}
    first = sorted((key for key in took if took[key] > BUSY), key=lambda key: -took[key])[:3]
    names = [f"{name} (process {pid}, {percent(took[pid, name])} of a processor)" for pid, name in first]
    return f"{share}" + (": " + ", ".join(names) if names else "")


def crowded(load: float) -> str:
    """What a load average says where nothing else is known."""
    return f"the load average was {load:.2f}" if load > CROWDED else ""


def processes() -> dict[tuple[int, str], float]:
    """(process id, name) -> seconds of processor time, of every process but this one."""
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            front, _, fields = path.read_text().rpartition(")")
        except OSError:  # it has ended
            continue
        pid, _, name = front.partition(" (")
        user, system = fields.split()[11:13]
        if int(pid) != os.getpid():
            found[int(pid), name] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return found


def percent(fraction: float) -> str:
    """Two significant digits."""
    return f"{100 * fraction:.1f} %" if fraction < 0.0995 else f"{100 * fraction:.0f} %"
