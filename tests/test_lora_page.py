"""docs/lora.md is one program that prints what stands below its blocks."""

import contextlib
import io
from pathlib import Path

import pytest

from tests.test_training_page import BLOCK

PAGE = Path(__file__).resolve().parent.parent / "docs" / "lora.md"


def test_the_program_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, expected in BLOCK.findall(PAGE.read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        assert printed.getvalue() == expected
    assert {path.name for path in (tmp_path / "sentiment").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
