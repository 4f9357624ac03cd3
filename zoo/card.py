"""Model cards: the recorded facts of a model in Markdown, for the terminal and for its page."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from deploy.card import Image

from .curves import HIDDEN, label, sparkline
from .registry import Entry
from .runs import Run
from .signature import Labels, Text

PICTURES = (  # the names of what a recipe shows as files
    ("sheet", "Samples", "As they came, none chosen."),
    ("nearest", "Nearest training images", "The first samples above, and the training images nearest to them below."),
)
FRACTIONS = {"top1", "top1_mirrored"}  # the metrics that people read as per cent


def shown(metric: str, value: float) -> str:
    """A metric's value as people read it: per cent for a fraction, four digits otherwise."""
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"


def render(entry: Entry, pictures: str | None = None) -> str:
    """The card of one model, generated from its record alone.

    `pictures` is where the page finds the folder of the model's cards: with it the curves and sheets are pictures,
    without it they are characters.
    """
    parts: list[Iterable[str]] = [[f"# {entry.name}", f"**{_first(entry.task)}.**"], _state(entry)]
    parts += [_curves(entry, pictures is not None), _purpose(entry), _measured(entry), _runs(entry)]
    parts += [*_shown(entry, pictures), _recipe(entry), _use(entry)]
    return "\n\n".join(block for part in parts for block in part) + "\n"


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _state(entry: Entry) -> list[str]:
    """What there is of it: weights in the package, recorded runs, or only the recipe."""
    if not entry.runs:
        never = f" Its weights are never published, as {entry.withheld}." if entry.withheld else ""
        return [f"Not trained yet: `needle-zoo train {entry.name}`.{never}"]
    if not entry.shipped:
        reason = f"are not published, as {entry.withheld}" if entry.withheld else "are not in the package"
        return [f"Its weights {reason}: `needle-zoo train {entry.name}` makes them."]
    return []


def _curves(entry: Entry, picture: bool) -> list[str]:
    logs = [run.log for run in entry.runs if run.log]
    if picture or not logs:
        return [f"![curves of its training]({entry.name}.svg)"] if logs else []
    lines = []
    for name, column in logs[0].items():
        values = [value for value in column if value is not None]
        if name not in HIDDEN and values:
            lines.append(f"    {label(name):<18} {values[0]:<9.4g} {sparkline(column)} {values[-1]:.4g}")
    return ["\n".join(lines)]


def _purpose(entry: Entry) -> list[str]:
    facts = {
        "Task": entry.task, "Input": entry.input, "Output": entry.output, "Data": entry.data,
        "Not for, and limits": entry.limits, "Licence": entry.licence,
    }  # fmt: skip
    return ["## What it is for, and not for", "\n".join(f"- **{name}**: {fact}" for name, fact in facts.items())]


def _measured(entry: Entry) -> Iterator[str]:
    if not entry.measured:
        return
    yield "## Measured"
    lines = []
    for metric, number in entry.measured.items():
        one = f"of seed {entry.runs[0].seed}" if number.seeds == 1 else f"mean of {number.seeds} seeds"
        whose = "of the weights in the package" if entry.shipped else one
        spread = (
            f"; mean of {number.seeds} seeds {shown(metric, number.mean)}, standard deviation (n - 1) "
            f"{shown(metric, number.std)}" if number.seeds > 1 else ""
        )  # fmt: skip
        lines.append(f"- {metric}: **{shown(metric, number.value)}** {whose}{spread}; recomputed by `{number.by}`")
        if meaning := entry.recipe.meanings.get(metric):
            lines[-1] += f"\n  ({meaning})"
    yield "\n".join(lines)
    if entry.shipped and (note := entry.shipped[0][1].note):
        yield f"The weights stay float32: {note}."


def _runs(entry: Entry) -> Iterator[str]:
    if not entry.runs:
        return
    yield "## Runs"
    metrics = list(entry.runs[0].metrics)
    rows = [["seed", *metrics, "time", "machine", "commit", "trained by"]]
    rows += [_row(run, metrics) for run in entry.runs]
    yield table(rows)
    files = [["weights in the package", *metrics, "sha256"]]
    for _, file in entry.shipped:
        numbers = [shown(metric, file.metrics[metric]) for metric in metrics]
        files.append([f"{file.file}, {file.dtype}", *numbers, f"`{file.sha256}`"])
    if len(files) > 1:
        yield table(files)


def _row(run: Run, metrics: list[str]) -> list[str]:
    numbers = [shown(metric, run.metrics[metric]) for metric in metrics]
    return [str(run.seed), *numbers, duration(run.seconds), run.machine, f"`{run.commit}`", f"`{run.command}`"]


def duration(seconds: float) -> str:
    """A time as people read it: 4 min, 4 h 8 min."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def table(rows: list[list[str]]) -> str:
    """A table of Markdown, its columns aligned for who reads it as it is."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    first, *rest = (f"| {' | '.join(row)} |" for row in padded)
    return "\n".join([first, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *rest])


def _shown(entry: Entry, pictures: str | None) -> Iterator[list[str]]:
    """What its weights make."""
    facts = entry.record.shown
    if "confusion" in facts and isinstance(entry.output, Labels):
        picture = f"![confusion matrix]({entry.name}-confusion.svg)" if pictures is not None else None
        yield ["## Confusion", *_confusion(entry.output.names, facts["confusion"], picture)]
    if "samples" in facts:
        yield ["## Samples", "As they came, none chosen.", *(_sample(each) for each in facts["samples"])]
    for kind, title, text in PICTURES:
        if kind in facts:
            place = str(entry.home / "cards") if pictures is None else pictures
            path = f"{place}/{facts[kind]}"
            yield [f"## {title}", text, path if pictures is None else f"![{title.lower()}]({path})"]


def _confusion(names: tuple[str, ...], counts: list[list[int]], picture: str | None) -> Iterator[str]:
    pairs = sorted(
        ((counts[i][j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j), reverse=True
    )
    worst = ", ".join(f"{names[i]} for {names[j]} ({count})" for count, i, j in pairs[:3])
    yield f"Test images by their label (rows) and by what they were taken for (columns). Most often taken: {worst}."
    if picture is not None:
        yield picture
        return
    rows = [["", *names]]
    rows += [[name, *(str(count) if count else "" for count in row)] for name, row in zip(names, counts, strict=True)]
    yield table(rows)


def _sample(sample: dict[str, Any]) -> str:
    settings = ", ".join(f"{key} {sample[key]!r}" for key in ("prompt", "temperature", "seed") if key in sample)
    text = "\n".join(f"    {line}".rstrip() for line in sample["text"].strip("\n").split("\n"))
    return f"{settings}:\n\n{text}"


def _recipe(entry: Entry) -> list[str]:
    recipe = entry.record.recipe or asdict(entry.recipe)
    settings = "\n".join(f"- {name}: {value}" for name, value in recipe.items())
    return ["## Recipe", f"{type(entry.recipe).__name__}, whose settings are:", settings]


def _use(entry: Entry) -> list[str]:
    """The command lines that use, recompute and train it."""
    plugin = f" --plugin {shlex.quote(entry.source.name)}" if entry.source else ""
    weights = "" if entry.shipped else " --weights FILE"
    lines = [f"needle-zoo evaluate {entry.name}{plugin}{weights}", f"needle-zoo train {entry.name}{plugin}"]
    match entry.output:
        case Labels():
            lines.insert(0, f"needle-zoo predict {entry.name} photo.jpg{plugin}{weights}")
        case Text():
            lines.insert(0, f"needle-zoo generate {entry.name}{plugin}{weights}")
        case Image():
            lines.insert(0, f"needle-zoo sample {entry.name}{plugin}{weights}")
    return ["## Use, recompute, train", "\n".join(f"    {line}" for line in lines)]
