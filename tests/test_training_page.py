"""docs/training.md is one program that prints what stands below its blocks; "..." stands for any lines."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "training.md"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", re.DOTALL)


def test_the_program_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, expected in BLOCK.findall(PAGE.read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        pattern = re.sub(r"\d+:\d\d", r"\\d+:\\d\\d", pattern)  # seconds
        if expected:
            assert re.fullmatch(pattern, printed.getvalue(), re.DOTALL), printed.getvalue()
    files = {"checkpoint.safetensors", "log.csv", "times.csv", "loss.svg"}
    assert {path.name for path in (tmp_path / "run").iterdir()} | {"loss.svg"} == files
