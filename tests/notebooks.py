"""The notebooks, run from top to bottom: `python -m tests.notebooks [name ...]` stores their outputs anew."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
LIMIT = 300  # seconds for a cell, on a busy machine


def executed(path: Path) -> Any:
    """The notebook with the outputs that it has now: offline, with data that it makes itself."""
    import nbformat
    from nbclient import NotebookClient

    notebook = copy.deepcopy(nbformat.read(path, as_version=4))
    places = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places), "NEEDLE_OFFLINE": "1", "MPLBACKEND": ""}
    for name in ("NEEDLE_DATA", "NEEDLE_BACKEND", "MPLBACKEND"):
        environment.pop(name, None)
    client = NotebookClient(notebook, timeout=LIMIT, resources={"metadata": {"path": FOLDER}}, record_timing=False)
    client.execute(env=environment)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


if __name__ == "__main__":
    import nbformat

    for each in sorted(FOLDER.glob("*.ipynb")):
        if all(word in each.name for word in sys.argv[1:]):
            nbformat.write(executed(each), each)
            print(f"{each.name} {each.stat().st_size // 1024} KiB")
