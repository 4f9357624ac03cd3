"""`python -m bench.group GROUP [name ...]`: measure cases of one group in this process, a line of JSON for each row.

`python -m bench` starts one for each group, in the group's environment.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from statistics import median

from bench.case import Case, Run, select
from bench.cases import GROUPS
from bench.table import Row, compared
from bench.timing import Timer, interleaved, timer


def rows(case: Case, cost: bool) -> Iterator[Row]:
    """One row for each peer, all measured in the same rounds; one that cannot be set up is said to be."""
    sides, peers = case.build(), dict[str, Run]()
    failed: dict[str, str] = {}
    for name, make in sides.peers.items():
        try:
            peers[name] = make()
        except Exception as error:  # whatever a library that we do not know raises
            failed[name] = reason(error)
    programs = [sides.ours, *peers.values()]
    if sides.told:
        ours, *others = interleaved([told(run) for run in programs], case.turns)
    elif sides.unit == "s":
        ours, *others = interleaved([timer(run) for run in programs], case.turns)
    else:
        ours, *others = [[float(run()) for _ in range(2)] for run in programs]
    for name, found in zip(peers, others, strict=True):
        yield compared(case.name, ours, found, name, invert=cost, unit=sides.unit)
    for name, why in failed.items():
        yield Row(case.name, median(ours), label=name, note=f"does not run here: {why}", unit=sides.unit)


def told(run: Run) -> Timer:
    """The seconds that a program tells, as if one call had taken them."""
    return lambda calls: calls * float(run())


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of its message, short enough for a table."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    text = text.replace("|", "/")
    return text if len(text) <= 100 else text[:99] + "…"


def main() -> None:
    import numpy as np

    key, *names = sys.argv[1:]
    group = GROUPS[key]
    for case in select({key: group}, names or [key])[key]:
        np.random.seed(0)  # layers draw their weights from it
        for row in rows(case, group.cost):
            print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # which is the parent's to report
        main()
