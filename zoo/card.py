"""Model cards: the recorded facts of a model as a page of Markdown."""

from __future__ import annotations

from dataclasses import asdict

from .registry import Entry

FRACTIONS = {"top1", "top1_mirrored"}  # the metrics that people read as per cent


def shown(metric: str, value: float) -> str:
    """A metric's value as people read it: per cent for a fraction, four digits otherwise."""
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"


def render(entry: Entry) -> str:
    """The card of one model, generated from its record and its recorded runs."""
    lines = [
        f"# {entry.name}",
        "",
        f"- **Task**: {entry.task}",
        f"- **Data**: {entry.data}",
        f"- **Input**: {entry.input}",
        f"- **Output**: {entry.output}",
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
            f"- {metric}: **{shown(metric, number.value)}** (mean of {number.seeds} seeds, "
            f"standard deviation {shown(metric, number.std)}), recomputed by `{number.by}`"
        )
    metrics = list(entry.runs[0].metrics)
    lines += ["", "| " + " | ".join(["seed", *metrics, "seconds", "commit", "weights", "sha256"]) + " |"]
    lines += ["|---" * (5 + len(metrics)) + "|"]
    for run in entry.runs:
        values = [shown(metric, run.metrics[metric]) for metric in metrics]
        cells = [str(run.seed), *values, f"{run.seconds:.0f}", run.commit, run.weights, f"`{run.sha256}`"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
