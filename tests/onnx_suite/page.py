"""docs/onnx.md's table, and the list of cases that have passed: what a change must not lose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deploy.lower.table import CALLS
from deploy.onnx.table import ROWS, WRITE, Refused, Row
from tests.onnx_suite.cases import Result

PASSED = Path(__file__).parent / "passed.txt"
PAGE = "docs/onnx.md"
START, END = "<!-- table: python -m tests.onnx_suite --write -->\n", "<!-- end of the table -->\n"


def ratchet() -> set[str]:
    """The names of the cases that have passed before."""
    return set(PASSED.read_text().split())


def table(results: Sequence[Result]) -> str:
    """A line for each operator: read, written, compiled, cases passed of all."""
    total = Counter(r.operator for r in results)
    passed = Counter(r.operator for r in results if not r.reason)
    lines = ["| operator | read | written | compiled | cases |", "|---|---|---|---|---|"]
    for name in sorted(ROWS.keys() | {n for n in total if n[0].isupper() or n.startswith("ai.")}, key=str.lower):
        row = ROWS.get(name)
        read = f"no: {row.reason}" if isinstance(row, Refused) else "yes" if row else "as the standard's function"
        ops = list(row.write) if isinstance(row, Row) else []
        written = "yes" if any(not isinstance(WRITE[op], Refused) for op in ops) else ""
        compiled = "yes" if any(not isinstance(CALLS[op], type(CALLS_REFUSED)) for op in ops) else ""
        cases = f"{passed[name]} / {total[name]}" if total[name] else ""
        lines.append(f"| {name} | {read} | {written} | {compiled} | {cases} |")
    expanded = {n for n in total if n not in ROWS and not n[0].isupper() and not n.startswith("ai.")}
    lines.append(
        f"| functions written out, and whole models | | | | {sum(passed[n] for n in expanded)} / "
        f"{sum(total[n] for n in expanded)} |"
    )
    lines.append(f"| **all** | | | | **{sum(passed.values())} / {len(results)}** |")
    return "\n".join(lines) + "\n"


CALLS_REFUSED = next(row for row in CALLS.values() if type(row).__name__ == "Refused")


def write(results: Sequence[Result]) -> None:
    """Put the table into the page, and the passed cases into the ratchet."""
    page = Path(__file__).parent.parent.parent / PAGE
    text = page.read_text()
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(before + START + table(results) + END + after)
    names = sorted(ratchet() | {r.name for r in results if not r.reason})
    PASSED.write_text("\n".join(names) + "\n")
