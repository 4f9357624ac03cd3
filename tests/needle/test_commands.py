"""What the commands share: exit codes, messages, JSON, colours, completion, plugins, and the environment they read."""

import argparse
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from needle import __version__
from needle.commands import Answer, CommandParser, Distinct, number, offer, run, ticking, whole, write
from needle.commands.grammar import SHELLS, completion
from needle.commands.terminal import coloured
from needle.environment import cache_folder, check
from needle.errors import NeedleError, SettingError

Capture = pytest.CaptureFixture[str]


def grammar(do: Callable[[argparse.Namespace], Answer | None]) -> CommandParser:
    root = CommandParser(prog="needle-test")
    root.shared()
    sub = root.add_subparsers(dest="command", required=True)
    act: Any = sub.add_parser("act", help="do it")
    act.answers()
    act.pluggable()
    act.add_argument("--count", type=whole(1, 9), default=1)
    act.add_argument("--rate", type=number(0, 1, above=True), default=0.5)
    act.add_argument("--seeds", type=whole(0), nargs="+", action=Distinct)
    act.add_argument("--file", metavar="FILE")
    offer(act.add_argument("name", nargs="?"), ["alpha", "beta"])
    act.set_defaults(run=do, interrupted="go on later")
    return root


def failing(error: BaseException) -> CommandParser:
    def do(options: argparse.Namespace) -> None:
        raise error

    return grammar(do)


FAILURES = [
    (NeedleError("[place] it is wrong"), 1, "needle-test act: error: [place] it is wrong\n"),
    (SettingError("[place] so is this"), 1, "needle-test act: error: [place] so is this\n"),
    (FileNotFoundError(errno.ENOENT, "No such file", "a.nd"), 1, "needle-test act: error: [a.nd] No such file\n"),
    (OSError(errno.ENOSPC, "No space left"), 1, "needle-test act: error: [system] No space left\n"),
    (KeyboardInterrupt(), 130, "needle-test act: error: interrupted; go on later\n"),
    (BrokenPipeError(), 141, ""),
]


@pytest.mark.parametrize(("error", "code", "says"), FAILURES, ids=[type(error).__name__ for error, *_ in FAILURES])
def test_each_way_to_fail_has_its_code_and_its_sentence(
    error: BaseException, code: int, says: str, capsys: Capture
) -> None:
    assert run(failing(error), ["act"]) == code
    captured = capsys.readouterr()
    assert captured.err == says and captured.out == ""


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(failing(ZeroDivisionError()), ["act"])


def test_json_has_standard_output_for_itself(capsys: Capture) -> None:
    def do(options: argparse.Namespace) -> Answer:
        print("progress")
        return Answer({"found": [1, 2.5]}, "found 1 and 2.5", 3)

    assert run(grammar(do), ["act", "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"found": [1, 2.5]} and captured.err == "progress\n"
    assert run(grammar(do), ["act"]) == 3
    assert capsys.readouterr().out == "progress\nfound 1 and 2.5\n"


USAGE = {
    "act --count 0": "--count: must be a whole number from 1 to 9, got '0'",
    "act --count 10": "--count: must be a whole number from 1 to 9, got '10'",
    "act --count 2.5": "--count: must be a whole number from 1 to 9, got '2.5'",
    "act --count": "expected one argument",
    "act --rate 0": "--rate: must be a number above 0 to 1, got '0'",
    "act --rate nan": "--rate: must be a number above 0 to 1, got 'nan'",
    "act --rate inf": "--rate: must be a number above 0 to 1, got 'inf'",
    "act --seeds 3 1 3": "--seeds: 3 was given twice",
    "act --seeds -1": "--seeds: must be a whole number from 0 on, got '-1'",
    "act --cou 3": "unrecognized arguments: --cou",
    "leap": "invalid choice: 'leap'",
    "--completion cmd": "invalid choice: 'cmd'",
    "": "arguments are required: command",
}


@pytest.mark.parametrize(("line", "says"), USAGE.items(), ids=USAGE)
def test_wrong_usage_is_answered_with_2(line: str, says: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as refusal:
        run(failing(AssertionError("it must not run")), line.split())
    assert refusal.value.code == 2 and says in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    import tomllib

    with pytest.raises(SystemExit) as done:
        run(failing(AssertionError()), ["--version"])
    assert done.value.code == 0 and capsys.readouterr().out == f"needle-test {__version__}\n"
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == __version__


class Stream:
    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "variables", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals(
    terminal: bool, variables: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream: Any = Stream(terminal)
    assert coloured("error:", "error", stream) == ("\x1b[31merror:\x1b[0m" if colour else "error:")


def test_what_takes_long_is_said_with_its_seconds(capsys: Capture) -> None:
    with pytest.raises(ValueError), ticking("compiling it"):
        raise ValueError
    assert capsys.readouterr().err == "compiling it ...\n"
    with ticking("compiling it"):
        assert capsys.readouterr().err == "compiling it ...\n"
    assert capsys.readouterr().err == "compiling it ... 0 s\n"


# -- completion


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_flags_subcommands_and_names(shell: str, capsys: Capture) -> None:
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as done:
        run(failing(AssertionError()), ["--completion", shell])
    script = capsys.readouterr().out
    assert done.value.code == 0
    for word in ("act", "count", "seeds", "alpha", "beta", "completion"):
        assert word in script, word


def test_bash_completes(tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    script = tmp_path / "needle-test.bash"
    script.write_text(completion(failing(AssertionError()), "bash"))
    ask = f"""
    source {script}
    complete_words() {{
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}; COMPREPLY=()
        $(complete -p needle-test | sed 's/.*-F \\([^ ]*\\).*/\\1/') needle-test "${{COMP_WORDS[COMP_CWORD]}}" ""
        echo "${{COMPREPLY[@]}}"
    }}
    complete_words needle-test ac
    complete_words needle-test act al
    complete_words needle-test act --co
    """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == [["act"], ["alpha"], ["--count"]], done.stderr


# -- output that cannot be written


def commanded(body: str, stdout: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process whose command does `body`."""
    program = (
        "import sys\nfrom needle.commands import Answer, CommandParser, run, write\n"
        f"def do(options):\n    {body}\n"
        "root = CommandParser(prog='needle-test')\nroot.set_defaults(run=do)\nsys.exit(run(root, []))\n"
    )
    command, variables = [sys.executable, "-c", program], os.environ | environment
    return subprocess.run(command, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("body", ["return Answer({}, 'caf\u00e9 \u2581')", "write('caf\u00e9 \u2581')"])
def test_what_standard_output_cannot_express_is_replaced(body: str) -> None:
    done = commanded(body, subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "caf? ?\n", "")


def test_standard_output_may_be_no_stream_of_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert run(grammar(lambda options: Answer({}, "caf\u00e9")), ["act"]) == 0 and "caf\u00e9" in sys.stdout.getvalue()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("body", ["return Answer({}, 'word ' * 9999)", "write('word')", "print('word')"])
def test_a_full_disk_behind_standard_output_is_a_sentence(body: str) -> None:
    with open("/dev/full", "w") as full:
        done = commanded(body, full)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("needle-test: error: [") and "No space left on device" in done.stderr


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = commanded("[write('word') for _ in range(9)]", writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_write_names_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            pass

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(NeedleError, match=r"\[output\] standard output cannot be written: No space"):
        write("word")


# -- plugins


def act(path: Path | str, capsys: Capture, *more: str) -> tuple[int, str]:
    code = run(grammar(lambda options: None), ["act", "--plugin", str(path), *more])
    return code, capsys.readouterr().err


PLUGINS = {
    "a syntax error": ("x = 1\ny = = 2\n", ":2: SyntaxError: invalid syntax"),
    "an exception": ("def f():\n    raise ValueError('no luck')\n\nf()\n", ":2: ValueError: no luck"),
    "one below it": ("import json\n\njson.loads('{')\n", ":3: JSONDecodeError: Expecting property name"),
    "a missing module": ("import no_such_module\n", ":1: ModuleNotFoundError: No module named 'no_such_module'"),
    "no text": ("\x00", "SyntaxError: source code string cannot contain null bytes"),
}


@pytest.mark.parametrize(("text", "says"), PLUGINS.values(), ids=PLUGINS)
def test_a_plugin_that_fails_is_named_with_its_line(text: str, says: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "own.py"
    path.write_text(text)
    code, said = act(path, capsys)
    assert code == 1 and said.count("\n") == 1 and f"[plugin] {path}" in said and says in said


def test_a_plugin_must_be_a_python_file(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "own.txt").touch()
    for name, says in (("none.py", "is not a file"), (".", "is not a file"), ("own.txt", "must end with .py")):
        code, said = act(tmp_path / name, capsys)
        assert code == 1 and says in said


def test_plugins_run_once_and_also_come_from_the_environment(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one_plugin", "two_plugin"):
        (tmp_path / f"{name}.py").write_text(f"import sys\nsys.ran.append({name!r})\n")
    monkeypatch.setattr(sys, "ran", [], raising=False)
    named = [str(tmp_path / f"{name}.py") for name in ("two_plugin", "one_plugin")]
    monkeypatch.setenv("NEEDLE_PLUGINS", os.pathsep.join(named))
    for _ in range(2):
        assert act(tmp_path / "one_plugin.py", capsys) == (0, "")
    assert sys.ran == ["two_plugin", "one_plugin"]  # type: ignore[attr-defined]


# -- the environment

VARIABLES = {
    "NEEDLE_BACKEND": ["tf", "ND"],
    "NEEDLE_ISA": ["v9", "v", "v3 "],
    "NEEDLE_NUM_THREADS": ["abc", "0", "-1", "2.5", "4 ", "9" * 30, "²"],
    "NEEDLE_CACHE_MB": ["-1", "1e3", "much"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in VARIABLES for value in VARIABLES[name]])
def test_a_mistyped_variable_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=rf"\[needle\] {name} must be .*, got "):
        check()
    monkeypatch.setenv(name, "")
    check()


def test_a_command_answers_a_mistyped_variable_in_a_line() -> None:
    environment = os.environ | {"NEEDLE_NUM_THREADS": "abc"}
    command = [sys.executable, "-m", "zoo.cli", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = "error: [needle] NEEDLE_NUM_THREADS must be a whole number from 1 on, got 'abc'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_home_that_cannot_be_is_named_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingError, match=r"file/compiled cannot be written: Not a directory; set NEEDLE_HOME"):
        cache_folder("compiled")
    monkeypatch.delenv("NEEDLE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(SettingError, match=r"\.cache/needle/compiled cannot be written: .*; set NEEDLE_HOME"):
        cache_folder("compiled")
    monkeypatch.setenv("HOME", str(tmp_path / "new"))
    assert cache_folder("compiled") == tmp_path / "new" / ".cache" / "needle" / "compiled"


def test_a_user_without_a_home_is_told_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(uid: int) -> Any:
        raise KeyError(uid)

    monkeypatch.delenv("NEEDLE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(SettingError, match="this user has no home folder to keep a cache in; set NEEDLE_HOME"):
        cache_folder("compiled")
