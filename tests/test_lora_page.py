"""docs/lora.md is one program that prints what stands below its blocks."""

from pathlib import Path

import pytest

from tests.page_programs import BLOCK, DOCS, check_page


def test_the_program_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert all("..." not in expected for _, expected in BLOCK.findall((DOCS / "lora.md").read_text()))  # word for word
    check_page("lora.md")
    assert {path.name for path in (tmp_path / "sentiment").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
