"""The pages of the zoo in the documents: one for each model, with its curves, and the table of all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from needle.weights import atomic_write

from .card import duration, render, shown, table
from .curves import svg
from .heatmap import heatmap
from .registry import Entry, ZooError
from .signature import Labels

MARKS = ("<!-- models: written by `needle-zoo card --pages` -->", "<!-- /models -->")


def pages(entries: Iterable[Entry], folder: Path) -> dict[Path, str]:
    """The text of every file in `folder`: NAME.md, NAME.svg for a model with a log, NAME-confusion.svg for one with a
    confusion matrix; and of FOLDER.md, whose table between MARKS lists the models, if there is one.
    """
    found: dict[Path, str] = {}
    entries = list(entries)
    for entry in entries:
        cards = os.path.relpath(entry.home / "cards", folder)
        found[folder / f"{entry.name}.md"] = render(entry, Path(cards).as_posix())
        picture = svg(entry.name, entry.runs)
        if picture:
            found[folder / f"{entry.name}.svg"] = picture
        counts = entry.record.shown.get("confusion")
        if counts and isinstance(entry.output, Labels):
            found[folder / f"{entry.name}-confusion.svg"] = heatmap(entry.name, entry.output.names, counts)
    overview = folder.with_name(f"{folder.name}.md")
    if overview.is_file():
        found[overview] = _overview(overview, entries, folder.name)
    return found


def write_pages(entries: Iterable[Entry], folder: Path) -> list[Path]:
    """Write `pages`; the files that have changed. Raises ZooError for a folder that cannot be made, or has no name."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    if not folder.name:
        raise ZooError(f"[card] {folder} has no name, nor would FOLDER.md have: --pages names one such as docs/zoo")
    if not folder.parent.is_dir():
        raise ZooError(f"[card] {folder.parent} is no folder: --pages names one in it, such as docs/zoo")
    folder.mkdir(exist_ok=True)
    changed = []
    for path, text in pages(entries, folder).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            with atomic_write(path) as file:
                file.write(text.encode())
            changed.append(path)
    return changed


def _overview(path: Path, entries: list[Entry], folder: str) -> str:
    """The page with the table between its marks. Raises ZooError where it has none."""
    first, last = MARKS
    text = path.read_text(encoding="utf-8")
    if text.count(first) != 1 or text.count(last) != 1:
        raise ZooError(f"[card] {path} needs the lines {first} and {last}, between which the table of models goes")
    rows = [["model", "task", "measured", "training", "pictures"]]
    rows += [_line(entry, path.parent, folder) for entry in entries]
    made = f"{first}\n{table(rows)}\n{last}"
    return re.sub(f"{re.escape(first)}.*{re.escape(last)}", lambda _: made, text, flags=re.DOTALL)


def _line(entry: Entry, home: Path, folder: str) -> list[str]:
    """The row of a model in the page in `home`, whose other pages are in its `folder`."""
    numbers = [f"{metric} {shown(metric, number.value)}" for metric, number in entry.measured.items()]
    state = ", ".join(numbers) or ("weights in the package" if entry.shipped else "not trained yet")
    runs = [run for run, _ in entry.shipped] or entry.runs  # the one whose numbers stand before it
    time = f"{duration(runs[0].seconds)} on {runs[0].machine}" if runs else ""
    pictures = []
    if any(run.log for run in entry.runs):
        pictures.append(f'<img src="{folder}/{entry.name}.svg" width="300" alt="curves of {entry.name}">')
    if "sheet" in entry.record.shown:
        cards = Path(os.path.relpath(entry.home / "cards", home)).as_posix()
        pictures.append(f'<img src="{cards}/{entry.record.shown["sheet"]}" width="150" alt="samples of {entry.name}">')
    return [f"[{entry.name}]({folder}/{entry.name}.md)", entry.task, state, time, " ".join(pictures)]
