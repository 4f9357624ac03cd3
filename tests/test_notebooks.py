"""The notebooks run from top to bottom, offline, and say what is stored in them."""

import re
from pathlib import Path

import pytest

from tests.notebooks import FOLDER, executed

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")
import nbformat

# What Jupyter's own libraries say about each other and about event loops is not ours to mend.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
CLOCK = re.compile(r"\d+:\d\d")


def printed(cell):
    """What a cell printed, without times."""
    return CLOCK.sub("0:00", "".join(output.text for output in cell.outputs if output.output_type == "stream"))


def pictures(cell):
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.thorough
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_says_what_is_stored(path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    now = executed(path)
    for before, after in zip(stored.cells, now.cells, strict=True):
        if before.cell_type == "code":
            where = before.source.splitlines()[0]
            assert pictures(before) == pictures(after), where
            old, new = printed(before), printed(after)
            assert NUMBER.sub("#", old) == NUMBER.sub("#", new), f"{where}: python -m tests.notebooks stores it anew"
            # The same bits wherever there are fused multiply-adds; elsewhere a training run may wander a little.
            values = ([float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (old, new))
            assert next(values) == pytest.approx(next(values), rel=0.15, abs=0.02), where


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_whole_and_private(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(map(pictures, cells)) >= 4 and sum(bool(printed(cell)) for cell in cells) >= 4
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data", "execute_result")
            assert output.get("name") != "stderr", output.text
            assert not re.search(r"/(tmp|home|root|work|Users)/", str(output.get("text", "")))
    assert path.stat().st_size < 1_000_000


def test_there_are_notebooks() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]
