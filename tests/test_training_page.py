"""docs/training.md is one program that prints what stands below its blocks."""

from pathlib import Path

import pytest

from tests.page_programs import check_page


def test_the_program_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_page("training.md")
    files = {"checkpoint.safetensors", "log.csv", "times.csv", "loss.svg"}
    assert {path.name for path in (tmp_path / "run").iterdir()} | {"loss.svg"} == files
