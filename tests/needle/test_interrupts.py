"""SIGINT and SIGTERM in the first epoch: the run is saved, says so, and goes on to the bytes of a whole one."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import needle as ndl
from needle.errors import SettingError
from needle.training.interrupts import Interrupted, Interrupts
from tests.needle.interrupted_run import train

pytestmark = pytest.mark.both_modes
PROGRAM = Path(__file__).parent / "interrupted_run.py"
STATUS = {"SIGINT": 130, "SIGTERM": 143}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("needle.training.history.History.plot", lambda self, path, title: None)


def interrupted(folder: Path, kind: str, name: str, where: str = "once") -> str:
    """Run the program until its signal ends it; what it wrote to the standard error stream."""
    done = subprocess.run([sys.executable, str(PROGRAM), str(folder), kind, name, where],
                          capture_output=True, text=True, timeout=100)  # fmt: skip
    assert done.returncode == STATUS[name], done.stderr
    assert "not reached" not in done.stdout
    return done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "times.csv"}


@pytest.mark.parametrize("kind", ["keyed", "drawn"])
@pytest.mark.parametrize("name", list(STATUS))
def test_a_run_that_is_told_to_end_is_saved_and_goes_on_to_the_same_bytes(tmp_path, kind, name):
    said = interrupted(tmp_path / "broken", kind, name)
    assert said == (
        f"[fit] ended by {name} in epoch 1 after batch 3, saved in {tmp_path}/broken/checkpoint.safetensors: "
        "start the same program again to go on from there\n"
    )
    assert set(contents(tmp_path / "broken")) == {"checkpoint.safetensors"}
    history = train(tmp_path / "broken", kind)
    assert train(tmp_path / "whole", kind).rows == history.rows and len(history) == 2
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_a_reader_that_ends_by_the_same_signal_does_not_end_the_run_before_it_is_saved(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        command = [sys.executable, str(PROGRAM), str(tmp_path), "keyed", "SIGINT", "later"]
        assert subprocess.run(command, stdout=gone, stderr=gone, timeout=100, check=False).returncode == 130
    assert set(contents(tmp_path)) == {"checkpoint.safetensors", "log.csv"}


@pytest.mark.parametrize("name", list(STATUS))
def test_a_second_signal_ends_at_once(tmp_path, name):
    assert interrupted(tmp_path, "keyed", name, "twice") == ""
    assert set(contents(tmp_path)) == {"run.lock"}  # the lock of a dead process is no lock
    train(tmp_path, "keyed")


def test_a_second_signal_leaves_no_file_half_written(tmp_path):
    assert interrupted(tmp_path, "keyed", "SIGTERM", "while saving") == ""
    assert set(contents(tmp_path)) == {"run.lock"}


def test_handlers_are_those_from_before_afterwards(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    seen = []
    train(tmp_path, "keyed", on_epoch=lambda epoch: seen.append(signal.getsignal(signal.SIGTERM)))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert seen[0] not in before


def test_signals_that_the_program_handles_or_ignores_are_left_to_it(tmp_path):
    caught = []
    before = signal.signal(signal.SIGTERM, lambda *_: caught.append("mine"))
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert len(train(tmp_path, "keyed", (signal.SIGTERM, signal.SIGINT))) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)
    assert caught == ["mine"]


def test_a_run_outside_the_main_thread_leaves_signals_alone(tmp_path):
    seen = []
    options = {"on_epoch": lambda epoch: seen.append(signal.getsignal(signal.SIGTERM))}
    thread = threading.Thread(target=train, args=(tmp_path, "keyed"), kwargs=options)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)] * 2


def test_a_signal_in_an_evaluation_ends_the_run_after_it(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt) as raised:
        train(tmp_path, "keyed", on_epoch=lambda epoch: os.kill(os.getpid(), signal.SIGINT))
    assert isinstance(raised.value, Interrupted) and raised.value.code == 130
    assert "[fit] ended by SIGINT after epoch 1, saved in " in capsys.readouterr().err


def test_an_interactive_session_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(KeyboardInterrupt) as raised:
        train(tmp_path, "keyed", (signal.SIGINT,))
    assert not isinstance(raised.value, SystemExit)


def test_a_signal_that_found_no_answer_is_passed_on():
    with pytest.raises(KeyboardInterrupt) as raised, Interrupts():
        os.kill(os.getpid(), signal.SIGINT)
    assert not isinstance(raised.value, Interrupted)


def test_minutes_between_checkpoints_inside_an_epoch(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr("needle.training.loop.save_run", lambda path, step, run, config: saved.append(run.steps))
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**6, 30)).__next__)
    train(tmp_path / "a", "drawn", save_minutes=None)
    assert saved == [5, 10]
    saved.clear()
    train(tmp_path / "b", "drawn", save_minutes=4)
    assert 5 in saved and 10 in saved and 2 < len(saved) < 10


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), "5"])
def test_minutes_that_make_no_sense_are_refused(minutes):
    with pytest.raises(SettingError, match=r"\[fit\] save_minutes must be a number greater than 0, or None, got"):
        ndl.fit(None, [], 1, save_minutes=minutes)
