"""The command: what it refuses, and that its documentation is complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving import cli
from serving.engine.errors import ServingError
from serving.parts import limits_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


@pytest.mark.parametrize(
    "arguments, code, reason",
    [
        (["--models", "nope"], 1, "no model 'nope'; there are "),
        (["--models", "lstm-ptb"], 1, "needle-serve --models lstm-ptb=$(ls runs/lstm-ptb-seed0/*.safetensors)"),
        (["--models", "x=nope.safetensors"], 1, "no file nope.safetensors"),
        (["--models", "--repository", "nowhere"], 1, "no folder nowhere"),
        (["--models", "stats=a/x.nd"], 1, "a name is made of letters"),
        (["--models", "nope.nd"], 1, "no file nope.nd"),
        (["--models", "a/x.nd", "b/x.nd"], 1, "'x' was given twice"),
        (["--models", "resnet9", "resnet9"], 2, "resnet9 was given twice"),
        (["--workers", "0"], 2, "--workers: must be a whole number from 1 on, got '0'"),
        (["--threads", "1"], 2, "--threads: must be a whole number from 2 on, got '1'"),
        (["--port", "70000"], 2, "--port: must be a whole number from 0 to 65535, got '70000'"),
        (["--max-queue", "0"], 2, "--max-queue: must be a number above 0, got '0'"),
        (["--max-body-mib", "nan"], 2, "--max-body-mib: must be a number above 0, got 'nan'"),
        (["--drain-seconds", "-1"], 2, "--drain-seconds: must be a whole number from 0 on, got '-1'"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(arguments, code, reason, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "x.nd").touch()
    try:
        found = cli.main(arguments)
    except SystemExit as refusal:
        found = refusal.code
    assert found == code and reason in capsys.readouterr().err


def test_limits_are_in_the_units_of_their_flags():
    found = limits_of(cli.parser().parse_args(["--max-body-mib", "0.5", "--max-megapixels", "2"]))
    assert (found.body, found.pixels) == (1 << 19, 2_000_000)


def test_a_taken_port_is_said_plainly(live):
    with pytest.raises(ServingError, match=r"cannot be listened on: .* in use; try another --port"):
        cli.check_address(cli.parser().parse_args(["--port", live.address.split(":")[1]]))


@pytest.mark.parametrize("cause", ["CXX", "NEEDLE_HOME"])
def test_an_engine_that_cannot_compile_does_not_serve(cause, tmp_path):
    file = tmp_path / "file"
    file.touch()
    own = {"CXX": "false" if cause == "CXX" else "c++", "NEEDLE_HOME": str(file if cause != "CXX" else tmp_path)}
    command = [sys.executable, "-m", "serving.cli", "--engine", "compiled", "--port", "0"]
    run = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=60)
    last = run.stderr.splitlines()[-1]
    assert run.returncode == 1 and last.startswith("needle-serve: error: [") and "Traceback" not in run.stderr
    assert ("the C++ compiler 'false' failed" if cause == "CXX" else f"{file}/compiled cannot be written") in last


def test_every_flag_is_documented():
    text = DOCS.read_text()
    for action in cli.parser()._actions:
        for flag in action.option_strings:
            assert flag in ("-h", "--help") or f"`{flag}" in text or f" {flag}" in text, flag
