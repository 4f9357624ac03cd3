"""The command: what it refuses, and that its documentation is complete."""

from pathlib import Path

import pytest

from serving import cli

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--models", "nope"], "no model 'nope'; there are resnet9"),
        (["--workers", "0"], "--workers"),
        (["--threads", "1"], "--threads"),
        (["--port", "70000"], "--port"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(arguments, reason):
    with pytest.raises(SystemExit) as refusal:
        cli.check(cli.parser().parse_args(arguments), ["resnet9"])
    assert reason in str(refusal.value)


def test_a_limit_must_be_positive():
    with pytest.raises(SystemExit, match="--max-queue must be more than 0"):
        cli.limits(cli.parser().parse_args(["--max-queue", "0"]))
    found = cli.limits(cli.parser().parse_args(["--max-body-mib", "0.5", "--max-megapixels", "2"]))
    assert (found.body, found.pixels) == (1 << 19, 2_000_000)


def test_a_taken_port_is_said_plainly(live):
    with pytest.raises(SystemExit, match=r"cannot listen on .* in use; try another --port"):
        cli.check_address(cli.parser().parse_args(["--port", live.address.split(":")[1]]))


def test_every_flag_is_documented():
    text = DOCS.read_text()
    for action in cli.parser()._actions:
        for flag in action.option_strings:
            assert flag in ("-h", "--help") or f"`{flag}" in text or f" {flag}" in text, flag
