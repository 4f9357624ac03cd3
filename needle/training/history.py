"""What a run measured: rows of numbers, a CSV file of them, and a picture of the losses."""

from __future__ import annotations

import os
from typing import Any

from ..errors import NeedleError
from ..reprs import count, shortened, table
from ..weights import atomic_write

Row = dict[str, float]
SHOWN = 20  # rows in the text of a history


class History:
    """The rows of a run's log, each {"epoch", "step", and the mean of every metric since the row before}.

    `history["loss"]` is a column, `history.last` the newest row.
    """

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = [] if rows is None else rows

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order of their first appearance."""
        return list(dict.fromkeys(name for row in getattr(self, "rows", ()) for name in row))

    @property
    def last(self) -> Row:
        """The newest row; empty before the first."""
        return self.rows[-1] if self.rows else {}

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.columns:
            raise NeedleError(f"[History] has no column {name!r}; it has {', '.join(self.columns) or 'none yet'}")
        return [row[name] for row in self.rows if name in row]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        names, rows = self.columns, getattr(self, "rows", [])
        cells = [[short(row[name]) if name in row else "" for name in names] for row in shortened(rows, SHOWN, {})]
        if len(rows) > SHOWN:
            cells[SHOWN // 2] = ["..."] * len(names)
        return "\n".join([f"History of {count(len(rows), 'row')}", *(table([names, *cells]) if names else [])])

    def csv(self) -> str:
        """The rows as comma-separated text under a line of names; a cell is empty where a row lacks the column."""
        names = self.columns
        lines = [names, *([text(row[name]) if name in row else "" for name in names] for row in self.rows)]
        return "".join(",".join(cells) + "\n" for cells in lines)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `csv()` to `path`, whole or not at all."""
        with atomic_write(path, durable=False) as file:
            file.write(self.csv().encode())

    def plot(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Draw every column whose name contains "loss" against the step, as SVG (or by the suffix of `path`).

        Needs matplotlib; raises NeedleError, saying how to get it, where there is none.
        """
        try:
            from matplotlib import rc_context
            from matplotlib.figure import Figure
        except ImportError:
            raise NeedleError("[History.plot] needs matplotlib: pip install 'needle-dl[plots]'") from None
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes: Any = figure.add_subplot()
        for name in self.columns:
            points = [(row["step"], row[name]) for row in self.rows if name in row and "loss" in name]
            if points:
                steps, losses = zip(*points, strict=True)
                axes.plot(steps, losses, label=name.replace("_", " "), marker="." if len(points) < 50 else "")
        axes.set(xlabel="step", ylabel="loss", title=title)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        with rc_context({"svg.hashsalt": "needle"}), atomic_write(path, durable=False) as file:
            # (the salt and the missing date: the same bytes for the same numbers)
            figure.savefig(file, format=os.path.splitext(path)[1][1:] or "svg", metadata={"Date": None})


def short(value: float) -> str:
    """A number as the table has it: counts in full, measurements to six digits."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def text(value: float) -> str:
    """A number as the log has it: counts in full, measurements to eight digits."""
    return str(value) if isinstance(value, int) else f"{value:.8g}"
