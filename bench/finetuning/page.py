"""The measured tables of docs/finetuning.md, and its pictures, from the results that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.finetuning.cases import METHODS, Case, results
from needle.weights import atomic_write

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = DOCS / "finetuning.md"
BEGIN, END = "<!-- measured: written by `python -m bench finetune` -->", "<!-- /measured -->"
TITLES = {
    "fruit": "ten kinds of fruit and flowers of CIFAR-100 (1,000 test images)",
    "signs": "sign-language digits (411 test images)",
}
NOT_YET = "not measured yet"


def write_page() -> None:
    """Write the tables between the page's marks, and the pictures beside it."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    parts = [*(image_table(data) for data in TITLES), text_table()]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")
    draw()


def image_table(data: str) -> str:
    """Accuracy on the test images by base, images a class and method."""
    found = results()
    head = ["base", "images a class", "LoRA", "all parameters", "from scratch", "processor time", "kept"]
    rows = [head, ["---"] * len(head)]
    for base in ("resnet9", "airnet"):
        for each in (5, 20, 100):
            cells = [found.get(Case(base, data, method, each).name) for method in METHODS]
            share = [f"{100 * cell['test']['accuracy']:.1f} %" if cell else NOT_YET for cell in cells]
            times = " / ".join(seconds(cell["processor_seconds"]) if cell else "-" for cell in cells)
            sizes = " / ".join(f"{cell['bytes'] / 1e6:.2f}" if cell else "-" for cell in cells)
            rows.append([base, str(each), *share, times, f"{sizes} MB"])
    return f"**{TITLES[data]}**, accuracy:\n\n" + markdown(rows)


def text_table() -> str:
    """Bits per byte on the held-out tenth of a text, by method."""
    found = results()
    head = ["text", "base", "LoRA", "all parameters", "LoRA's share of the gain", "processor time", "kept"]
    rows = [head, ["---"] * len(head)]
    for data in ("alice", "sherlock"):
        lora, full = (found.get(Case("gpt-novels", data, method).name) for method in ("lora", "full"))
        before, *after = (_bits(lora, "before"), _bits(lora, "after"), _bits(full, "after"))
        share = NOT_YET
        if None not in (before, *after):
            share = f"{100 * (before - after[0]) / (before - after[1]):.0f} %"  # type: ignore[operator]
        times = " / ".join(seconds(cell["processor_seconds"]) if cell else "-" for cell in (lora, full))
        sizes = " / ".join(f"{cell['bytes'] / 1e6:.2f}" if cell else "-" for cell in (lora, full))
        shown = [NOT_YET if value is None else f"{value:.3f}" for value in (before, *after)]
        rows.append([data, *shown, share, times, f"{sizes} MB"])
    return "**gpt-novels on a book**, bits per byte on its last tenth:\n\n" + markdown(rows)


def _bits(found: Any, when: str) -> float | None:
    return found[when]["bits_per_byte"] if found else None


def seconds(value: float) -> str:
    """Minutes, or seconds below two of them."""
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def markdown(rows: list[list[str]]) -> str:
    """Rows as a table of Markdown, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)


def draw() -> None:
    """Accuracy against images a class, for every base that has results, as docs/finetuning.svg."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = results()
    panels = [(base, data) for data in TITLES for base in ("resnet9", "airnet") if _points(found, base, data, "lora")]
    if not panels:
        return
    figure = Figure(figsize=(3.6 * len(panels), 3.2), layout="constrained")
    for place, (base, data) in enumerate(panels, 1):
        axes: Any = figure.add_subplot(1, len(panels), place)
        for method, title in zip(METHODS, ("LoRA", "all parameters", "from scratch"), strict=True):
            points = _points(found, base, data, method)
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=title)
        axes.set(
            title=f"{base}, {data}", xlabel="images a class", ylabel="accuracy on the test images, %", xscale="log"
        )
        axes.set_xticks([5, 20, 100], ["5", "20", "100"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    with rc_context({"svg.hashsalt": "needle"}), atomic_write(DOCS / "finetuning.svg") as file:
        figure.savefig(file, format="svg", metadata={"Date": None})


def _points(found: dict[str, Any], base: str, data: str, method: str) -> list[tuple[int, float]]:
    names = {each: Case(base, data, method, each).name for each in (5, 20, 100)}
    return [(each, 100 * found[name]["test"]["accuracy"]) for each, name in names.items() if name in found]
