"""What a soak tells of the requests: which were lost, and what was done to a worker then."""

import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from bench import soak


def jobs(**outcomes: int) -> SimpleNamespace:
    return SimpleNamespace(outcomes=Counter(outcomes))


def test_what_is_lost_is_lost_to_the_signal_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    tally = soak.Tally()
    for at in range(10):
        tally.add(0.01, "200", float(at))
    assert soak.told(tally, [(2.0, "SIGTERM"), (5.0, "SIGKILL")], jobs(succeeded=1)) == 0
    tally.add(0.5, "ConnectionResetError", 5.5)
    assert soak.told(tally, [(2.0, "SIGTERM"), (5.0, "SIGKILL")], jobs()) == 0
    assert "lost after SIGKILL: 1 by ConnectionResetError" in capsys.readouterr().out
    assert soak.told(tally, [(2.0, "SIGKILL"), (5.0, "SIGTERM")], jobs()) == 1
    assert soak.told(tally, [(5.5 - soak.NEAR - 1, "SIGKILL")], jobs()) == 1
    assert "lost after no signal: 1" in capsys.readouterr().out
    assert soak.told(soak.Tally(), [], jobs(failed=1)) == 1


def test_quantiles_are_of_what_was_answered() -> None:
    tally = soak.Tally()
    assert tally.quantiles() == "nothing was answered"
    for number in range(1, 1001):
        tally.add(number / 1000, "200", 0.0)
    tally.add(99.0, "503", 0.0)
    assert tally.quantiles() == "p50 500.5 ms, p99 991.0 ms, longest 1000 ms"


def test_clients_ask_at_the_rate_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, lock = Counter[str](), threading.Lock()

    def once(self: soak.Load, connection: object) -> tuple[str, object]:
        with lock:
            seen["asked"] += 1
        return "200", connection

    monkeypatch.setattr(soak.Load, "_once", once)
    tally = soak.Tally()
    load = soak.Load("127.0.0.1:1", 400.0, tally)
    threading.Event().wait(0.5)
    load.stop()
    assert 20 <= seen["asked"] == tally.outcomes["200"] <= 400
