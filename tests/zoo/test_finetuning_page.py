"""docs/finetuning.md is one program that prints what stands below its blocks, and its tables are what was measured."""

from pathlib import Path

import pytest

from bench.finetuning import page
from bench.finetuning.cases import CASES, results
from tests.page_programs import DOCS, check_page


def test_the_program_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_page("finetuning.md")


def test_the_tables_are_those_of_the_results() -> None:
    text = (DOCS / "finetuning.md").read_text()
    for part in (*(page.image_table(data) for data in page.TITLES), page.text_table()):
        assert part in text, "python -m bench finetune --list writes nothing; without it the page is written"
    assert set(results()) <= {case.name for case in CASES}
