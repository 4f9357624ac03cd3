"""The process that trains: it claims jobs, one after the other, and ends when there is none.

`serving.supervisor` starts it, again where it was killed: the job goes on, and no web worker notices. Before anything
else, also before what it needs is imported, it goes behind those who answer requests.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

NICEST = 19


def yield_processors(niceness: int) -> None:
    """Let this process go behind others; with the highest niceness it runs where nobody else wants to.

    Linux weighs sessions against each other, whatever the niceness inside: that of the session is set too.
    """
    os.nice(niceness)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))
    if niceness == NICEST:
        with suppress(AttributeError, OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main(home: str, holder: str, niceness: str, form: str, limits: str) -> None:
    yield_processors(int(niceness))
    from serving import logs
    from serving.engine.limits import Limits
    from serving.engine.tuning.loop import work_on_jobs

    logs.configure(form)
    work_on_jobs(home, holder, Limits(**json.loads(limits)))


if __name__ == "__main__":
    main(*sys.argv[1:])
