"""`python -m bench soak [minutes]`: a server under load that trains, while its workers are ended, killed and replaced.

Clients ask at 80 % of what the server was measured to answer, whatever it does; a fine-tuning job runs all the time.
Each minute a worker gets SIGTERM, each five one is killed, and so is the process that trains, which the job must bear.
What is told: requests by what became of them, lost ones by what was done to the worker then; latencies; memory; jobs.

`python -m bench soak --latency` compares the latencies at a fixed rate with and without a job instead.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cases.serving import started

SHARE = 0.8  # of the rate that it can answer
CLIENTS = 16
TERM, KILL = 60.0, 300.0  # seconds between two of them
NEAR = 3.0  # seconds after a signal in which what is lost is counted as its
LATENCY_SECONDS, ROUNDS = 10.0, 6
LATENCY_SHARE = 0.25  # of the rate that it can answer, as a server has that is not overrun


@dataclass
class Tally:
    """What became of the requests, and the seconds that those took which were answered."""

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, took: float, outcome: str, at: float) -> None:
        with self.lock:
            self.outcomes[outcome] += 1
            if outcome == "200":
                self.seconds.append(took)
            else:
                self.lost.append((at, outcome))

    def quantiles(self) -> str:
        """Median, p99 and longest in milliseconds."""
        if len(self.seconds) < 2:
            return "nothing was answered"
        cuts = statistics.quantiles(self.seconds, n=1000)
        return f"p50 {1e3 * cuts[499]:.1f} ms, p99 {1e3 * cuts[989]:.1f} ms, longest {1e3 * max(self.seconds):.0f} ms"


def body() -> bytes:
    """An image request."""
    from PIL import Image

    stream = io.BytesIO()
    noise = random.Random(0).randbytes(3 * 64 * 64)
    Image.frombytes("RGB", (64, 64), noise).save(stream, "PNG")
    return stream.getvalue()


class Load:
    """Clients that ask one address `rate` times a second together, each at times of its own, until told to stop.

    Latency counts from when a request was due: a server that stops for a while is not asked less for it.
    """

    def __init__(self, address: str, rate: float, tally: Tally) -> None:
        self.address, self.rate, self.tally, self.over = address, rate, tally, threading.Event()
        self.body = body()
        self.threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _ask(self, number: int) -> None:
        draw, connection = random.Random(number), http.client.HTTPConnection(self.address, timeout=30)
        due = time.monotonic()
        while not self.over.is_set():
            due += draw.expovariate(self.rate / CLIENTS)
            if self.over.wait(max(0.0, due - time.monotonic())):
                break
            outcome, connection = self._once(connection)
            now = time.monotonic()
            self.tally.add(now - due, outcome, now)
        connection.close()

    def _once(self, connection: http.client.HTTPConnection) -> tuple[str, http.client.HTTPConnection]:
        """One request; a connection that was closed while nothing was on it is opened anew, as all clients do."""
        for attempt in (1, 2):
            is_reused = connection.sock is not None
            try:
                connection.request("POST", "/v2/models/resnet9/classify", self.body)
                answer = connection.getresponse()
                answer.read()
                return str(answer.status), connection
            except (OSError, http.client.HTTPException) as problem:
                connection.close()
                connection = http.client.HTTPConnection(self.address, timeout=30)
                is_idle_close = isinstance(problem, http.client.RemoteDisconnected | BrokenPipeError)
                if not (attempt == 1 and is_reused and is_idle_close):
                    return type(problem).__name__, connection
        return "closed twice", connection


@contextmanager
def server(workers: int = 2) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of resnet9 in the instant engine with a state of its own; its first process and its address."""
    with tempfile.TemporaryDirectory() as state:
        flags = ["--models", "resnet9", "--engine", "instant", "--workers", str(workers), "--state", state]
        process, port = started(flags, ready=workers)
        assert process.stderr is not None
        threading.Thread(target=process.stderr.read, daemon=True).start()  # nobody else reads what it says
        try:
            yield process, f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def call(address: str, path: str, content: Any = None, kind: str = "application/json") -> Any:
    """The JSON of an answer."""
    data = content if isinstance(content, bytes | None) else json.dumps(content).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def rows(classes: int = 10, each: int = 40) -> bytes:
    """Images of noise to learn from."""
    import base64

    from PIL import Image

    draw, lines = random.Random(1), list[str]()
    for label in range(classes):
        for _ in range(each):
            stream = io.BytesIO()
            Image.frombytes("RGB", (32, 32), draw.randbytes(3072)).save(stream, "PNG")
            lines.append(json.dumps({"image": base64.b64encode(stream.getvalue()).decode(), "label": str(label)}))
    return "\n".join(lines).encode()


def upload(address: str, data: bytes) -> str:
    """The id of a file of rows."""
    name = b'Content-Disposition: form-data; name="'
    form = b"--b\r\n" + name + b'purpose"\r\n\r\nfine-tune\r\n--b\r\n' + name
    form += b'file"; filename="rows.jsonl"\r\n\r\n' + data + b"\r\n--b--\r\n"
    return str(call(address, "/v1/files", form, "multipart/form-data; boundary=b")["id"])


class Jobs:
    """Fine-tuning jobs, one after the other: `look` begins the next one when there is none."""

    def __init__(self, address: str) -> None:
        self.address, self.file, self.outcomes = address, upload(address, rows()), Counter[str]()
        self.now = ""

    def look(self) -> None:
        with suppress(OSError):
            status = call(self.address, f"/v1/fine_tuning/jobs/{self.now}")["status"] if self.now else "none"
            if status in ("none", "succeeded", "failed", "cancelled"):
                if self.now:
                    self.outcomes[status] += 1
                hyperparameters = {"n_epochs": 50, "batch_size": 32, "learning_rate": 0.003}
                method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
                asked = {"model": "resnet9", "training_file": self.file, "seed": 1, "method": method}
                self.now = call(self.address, "/v1/fine_tuning/jobs", asked)["id"]

    def step(self) -> int:
        """The newest step of the job that runs."""
        events = call(self.address, f"/v1/fine_tuning/jobs/{self.now}/events?limit=20")["data"]
        return max((event["data"]["step"] for event in events if event["type"] == "metrics"), default=0)


def capacity(address: str, seconds: float = 5.0) -> float:
    """Requests a second that it answers to clients that ask as fast as they can."""
    tally = Tally()
    load = Load(address, 1e6, tally)
    time.sleep(seconds)
    load.stop()
    return tally.outcomes["200"] / seconds


def workers_of(process: subprocess.Popen[str]) -> tuple[list[int], list[int]]:
    """The processes that answer, and the one that trains."""
    pids = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    trains = {pid: b"serving.trainer" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    return [pid for pid in trains if not trains[pid]], [pid for pid in trains if trains[pid]]


def memory(process: subprocess.Popen[str]) -> float:
    """MiB of the first process and those that answer, what they share counted once."""
    total = 0
    for pid in (process.pid, *workers_of(process)[0]):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def soak(minutes: float, term: float, kill: float) -> int:
    """Run it; the exit status: 1 where a request was lost that must not be, or a job was."""
    with server() as (process, address):
        jobs = Jobs(address)
        most = capacity(address)
        print(f"answers {most:.0f} requests a second; asked {SHARE * most:.0f} for {minutes:g} minutes", flush=True)
        jobs.look()
        tally, signals = Tally(), list[tuple[float, str]]()
        load = Load(address, SHARE * most, tally)
        begun, next_term, next_kill, next_look = time.monotonic(), term, kill, 0.0
        try:
            while (passed := time.monotonic() - begun) < 60 * minutes:
                if passed >= next_kill:
                    answering, training = workers_of(process)
                    signals.append((time.monotonic(), "SIGKILL"))
                    for pid in (answering[0], *training):
                        os.kill(pid, signal.SIGKILL)
                    next_kill, next_term = next_kill + kill, max(next_term, passed + term / 2)
                elif passed >= next_term:
                    signals.append((time.monotonic(), "SIGTERM"))
                    os.kill(workers_of(process)[0][0], signal.SIGTERM)
                    next_term += term
                if passed >= next_look:
                    jobs.look()
                    state = f"job at step {jobs.step()}, {dict(jobs.outcomes)}"
                    print(f"{passed:6.0f} s  {memory(process):6.1f} MiB  {state}  {dict(tally.outcomes)}", flush=True)
                    next_look += 30
                time.sleep(0.5)
        finally:
            load.stop()
        return told(tally, signals, jobs)


def told(tally: Tally, signals: list[tuple[float, str]], jobs: Jobs) -> int:
    """Print what became of all; the exit status."""
    causes = Counter[tuple[str, str]]()
    for at, outcome in tally.lost:
        before = [kind for when, kind in signals if when <= at <= when + NEAR]
        causes[before[-1] if before else "no signal", outcome] += 1
    print(f"{sum(tally.outcomes.values())} requests, {dict(tally.outcomes)}; {tally.quantiles()}")
    print(f"signals: {dict(Counter(kind for _, kind in signals))}; jobs that ended: {dict(jobs.outcomes)}")
    for (cause, outcome), count in sorted(causes.items()):
        print(f"lost after {cause}: {count} by {outcome}")
    return int(any(cause != "SIGKILL" for cause, _ in causes) or jobs.outcomes["failed"] > 0)


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so, or for so many seconds."""
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.2)


def latency() -> int:
    """Print the latencies at a fixed rate without and with a job, in turns."""
    with server(workers=1) as (process, address):
        jobs, most = Jobs(address), capacity(address)
        rate = LATENCY_SHARE * most
        print(f"answers {most:.0f} requests a second; asked {rate:.0f} a second", flush=True)
        found: dict[bool, Tally] = {False: Tally(), True: Tally()}
        for turn in range(2 * ROUNDS):
            training = turn % 2 == 1
            if training:
                jobs.look()
                until(lambda: jobs.step() > 0)
            elif jobs.now:
                with suppress(OSError):
                    call(address, f"/v1/fine_tuning/jobs/{jobs.now}/cancel", b"")
                until(lambda: not workers_of(process)[1])
            before, first = (jobs.step() if training else 0), len(found[training].seconds)
            load = Load(address, rate, found[training])
            time.sleep(LATENCY_SECONDS)
            load.stop()
            round = Tally(found[training].seconds[first:])
            made = f", {jobs.step() - before} steps made" if training else ""
            print(f"{'with a job' if training else 'without   '}  {round.quantiles()}{made}", flush=True)
        for training, tally in found.items():
            which = "with a job" if training else "without a job"
            print(f"all rounds {which}: {tally.quantiles()}, {dict(tally.outcomes)}")
    return 0


def main(arguments: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        "python -m bench soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", nargs="?", type=float, default=30.0)
    parser.add_argument("--term", type=float, default=TERM, help="seconds between two SIGTERM (default: %(default)g)")
    parser.add_argument("--kill", type=float, default=KILL, help="seconds between two SIGKILL (default: %(default)g)")
    parser.add_argument("--latency", action="store_true", help="latencies with and without a job instead")
    options = parser.parse_args(arguments)
    return latency() if options.latency else soak(options.minutes, options.term, options.kill)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
