"""The three commands are one family: the same flags, the same codes, completion for the same shells, all documented."""

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import deploy.cli
import zoo.cli
from needle import __version__
from needle.commands import CommandParser
from needle.commands.grammar import SHELLS, completion

pytest.importorskip("gunicorn")
import serving.cli

ROOT = Path(__file__).resolve().parent.parent
PARSERS = {"needle-zoo": zoo.cli, "needle-deploy": deploy.cli, "needle-serve": serving.cli}


def subcommands(parser: CommandParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """What does something: `keys create`, not `keys`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                deeper = list(subcommands(inner))
                yield from [(f"{name} {each}", parser) for each, parser in deeper] or [(name, inner)]


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}


@pytest.mark.parametrize("name", PARSERS)
def test_each_says_its_version_and_refuses_what_it_does_not_know(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag, code, says in (("--version", 0, f"{name} {__version__}"), ("--frobnicate", 2, f"{name}: error: ")):
        with pytest.raises(SystemExit) as done:
            PARSERS[name].main([flag])
        captured = capsys.readouterr()
        assert done.value.code == code and says in captured.out + captured.err


@pytest.mark.parametrize("name", PARSERS)
def test_every_flag_and_subcommand_has_a_word_of_help(name: str) -> None:
    parser = PARSERS[name].parser()
    assert {"--version", "--completion"} <= flags(parser)
    for subcommand, inner in subcommands(parser):
        assert "--json" in flags(inner), subcommand
    for each in (parser, *(inner for _, inner in subcommands(parser))):
        for action in each._actions:
            assert action.help or isinstance(action, argparse._SubParsersAction), action


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", PARSERS)
def test_every_flag_and_subcommand_is_completed(name: str, shell: str, tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    parser = PARSERS[name].parser()
    script = completion(parser, shell)
    assert "resnet9" in script or name == "needle-deploy"
    for subcommand, inner in [("", parser), *subcommands(PARSERS[name].parser())]:
        assert all(word in script for word in subcommand.split())
        for flag in flags(inner) - {"--help"}:
            assert re.search(rf"(--|-l ){re.escape(flag[2:])}\b", script), (subcommand, flag)
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_each_subcommand_is_in_the_documents() -> None:
    for name, page in (("needle-zoo", "zoo.md"), ("needle-deploy", "deploy.md")):
        text = (ROOT / "docs" / page).read_text()
        for subcommand, _ in subcommands(PARSERS[name].parser()):
            assert f"{name} {subcommand}" in text, f"docs/{page} does not show {name} {subcommand}"
