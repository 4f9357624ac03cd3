"""docs/onnx.md's table, and the lists of cases that have passed: what a change must not lose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deploy.onnx.table import ROWS, WRITE, Refused, Row
from tests.onnx_suite.cases import Result

LISTS = {  # of cases: those that the interpreter passes, and those that compiled programs pass
    name: Path(__file__).parent / f"{name}.txt" for name in ("passed", "programs")
}
PAGE = "docs/onnx.md"
START, END = "<!-- table: python -m tests.onnx_suite --write -->\n", "<!-- end of the table -->\n"


def ratchet(name: str = "passed") -> set[str]:
    """The names of the cases that have passed before."""
    return set(LISTS[name].read_text().split())


def of_engine(engine: str) -> str:
    """The list that an engine's cases are in: the instant engine's programs are those that are compiled."""
    return "passed" if engine == "interpreted" else "programs"


def table(results: Sequence[Result]) -> str:
    """A line for each operator: read, written, cases passed of all, and by compiled programs."""
    total = Counter(r.operator for r in results)
    passed, programs = (Counter(r.operator for r in results if r.name in ratchet(name)) for name in LISTS)
    lines = ["| operator | read | written | cases | as programs |", "|---|---|---|---|---|"]
    for name in sorted(ROWS.keys() | {n for n in total if n[0].isupper() or n.startswith("ai.")}, key=str.lower):
        row = ROWS.get(name)
        read = f"no: {row.reason}" if isinstance(row, Refused) else "yes" if row else "as the standard's function"
        ops = list(row.write) if isinstance(row, Row) else []
        written = "yes" if any(not isinstance(WRITE[op], Refused) for op in ops) else ""
        cases, compiled = (f"{x[name]} / {total[name]}" if total[name] else "" for x in (passed, programs))
        lines.append(f"| {name} | {read} | {written} | {cases} | {compiled} |")
    expanded = {n for n in total if n not in ROWS and not n[0].isupper() and not n.startswith("ai.")}
    cases, compiled = (f"{sum(x[n] for n in expanded)} / {sum(total[n] for n in expanded)}" for x in (passed, programs))
    lines.append(f"| functions written out, and whole models | | | {cases} | {compiled} |")
    cases, compiled = (f"**{sum(x.values())} / {len(results)}**" for x in (passed, programs))
    lines.append(f"| **all** | | | {cases} | {compiled} |")
    return "\n".join(lines) + "\n"


def write(results: Sequence[Result], engine: str) -> None:
    """Put the passed cases into the engine's list, and the table into the page."""
    names = sorted(ratchet(of_engine(engine)) | {r.name for r in results if not r.reason})
    LISTS[of_engine(engine)].write_text("\n".join(names) + "\n")
    page = Path(__file__).parent.parent.parent / PAGE
    text = page.read_text()
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(before + START + table(results) + END + after)
