"""Model cards: the recorded facts of a model as a page of Markdown."""

from __future__ import annotations

from dataclasses import asdict

from .registry import Entry


def render(entry: Entry) -> str:
    """The card of one model, generated from its record and its recorded runs."""
    lines = [
        f"# {entry.name}",
        "",
        f"- **Task**: {entry.task}",
        f"- **Data**: {entry.data}",
        f"- **Input**: {entry.input.channels} x {entry.input.height} x {entry.input.width}, "
        f"(pixels / 255 - mean) / std with mean {list(entry.input.mean)}, std {list(entry.input.std)}",
        f"- **Labels**: {', '.join(entry.labels)}",
        f"- **Licence**: {entry.licence}",
        f"- **Limits**: {entry.limits}",
        "",
        "## Recipe",
        "",
        *[f"- {name}: {value}" for name, value in asdict(entry.recipe).items()],
        "",
        "## Measured",
        "",
    ]
    if not entry.runs:
        return "\n".join([*lines, f"Not trained yet: `needle-zoo train {entry.name}`.", ""])
    for metric, number in entry.measured.items():
        lines.append(
            f"- {metric}: **{100 * number.value:.2f} %** (mean of {number.seeds} seeds, "
            f"standard deviation {100 * number.std:.2f}), recomputed by `{number.by}`"
        )
    metrics = list(entry.runs[0].metrics)
    lines += ["", f"| seed | {' | '.join(metrics)} | seconds | commit | weights | sha256 |"]
    lines += ["|---" * (5 + len(metrics)) + "|"]
    for run in entry.runs:
        values = " | ".join(f"{100 * run.metrics[metric]:.2f} %" for metric in metrics)
        lines.append(f"| {run.seed} | {values} | {run.seconds:.0f} | {run.commit} | {run.weights} | `{run.sha256}` |")
    return "\n".join([*lines, ""])
