"""A run on the screen: what it will take, a bar, and what came of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from needle.reprs import table
from needle.training.progress import Progress, clock

from ..registry import entry
from .config import Config
from .estimate import Estimate
from .records import Report, Result

UNITS = {"loss": "nats", "bits_per_byte": "", "token_accuracy": "%", "accuracy": "%"}


class Screen(Progress):
    """Says each Report: on a terminal a bar that moves, elsewhere a line each half minute and at each measurement."""

    def __init__(self, title: str) -> None:
        super().__init__(title, 1, None)
        self.drawn = 0.0

    def tell(self, report: Report) -> None:
        """One report."""
        match report.event:
            case "begins" if report.estimate is not None:
                self.line(plan(report.estimate))
            case "probe":
                tried = [
                    f"{rate:g} leads to {'no finite loss' if loss is None else f'{loss:.4g}'}"
                    for rate, loss in report.rates
                ]
                self.line(f"learning rate {report.learning_rate:g}" + (f": {', '.join(tried)}" if tried else ""))
            case "step":
                self._step(report)
            case "validation":
                self.line(f"{self._place(report)}  held out: {numbers(report.validation or {})}")
            case "ends":
                self.end_line()

    def _step(self, report: Report) -> None:
        if time.monotonic() - self.drawn < (0.1 if self.terminal else 30):
            return
        self.drawn = time.monotonic()
        (self._show if self.terminal else self.line)(self._place(report))

    def _place(self, report: Report) -> str:
        filled = round(20 * report.step / max(1, report.total))
        left = "" if report.seconds_left is None else f"  {clock(report.seconds_left)} left"
        loss = "" if report.loss is None else f"  loss {report.loss:.4g}"
        return f"[{'=' * filled}{' ' * (20 - filled)}] {report.step}/{report.total}{left}{loss}"


def plan(estimate: Estimate) -> str:
    """What a run will take, in words."""
    held = f", {estimate.held_out:,} held out" if estimate.held_out else ""
    share = 100 * estimate.learning / estimate.parameters
    return (
        f"{estimate.examples:,} examples{held}; {estimate.learning:,} of {estimate.parameters:,} parameters learn "
        f"({share:.3g} %)\n{estimate.steps} steps of {estimate.batch}; about {clock(estimate.seconds)} and "
        f"{estimate.bytes / 1e6:.0f} MB of memory"
    )


def numbers(found: Mapping[str, float]) -> str:
    """Measurements in a line."""
    return "  ".join(f"{name.replace('_', ' ')} {shown(name, value)}" for name, value in found.items())


def shown(name: str, value: float) -> str:
    """A measurement as people read it."""
    return f"{100 * value:.1f} %" if UNITS.get(name) == "%" else f"{value:.4g}"


def outcome(config: Config, result: Result, folder: Path) -> str:
    """What came of a run: before and after, something to look at, and the commands that use it."""
    lines: list[str] = []
    if result.after:
        rows = [("held out", "before", "after")]
        rows += [(name.replace("_", " "), shown(name, result.before[name]), shown(name, value))
                 for name, value in result.after.items()]  # fmt: skip
        lines += table(rows, left=1)
    lines += _looks(result.shown)
    made = folder / Path(result.path).name
    size = sum(each.stat().st_size for each in (made.iterdir() if made.is_dir() else [made]))
    state = "stopped; the same command goes on" if result.stopped else "done"
    lines += ["", f"{state}: {result.path}, {size / 1e6:.2f} MB, sha256 {result.sha256[:16]}...", "Next:"]
    return "\n".join([*lines, *(f"    {command}" for command in commands(config, result, folder))])


def _looks(found: Mapping[str, Any]) -> list[str]:
    """Samples side by side, answers, or mistakes."""
    before, after = found.get("before", {}), found.get("after", {})
    if "sample" in after:
        parts = (("before", before.get("sample", "")), ("after", after["sample"]))
        return [line for name, text in parts for line in ("", f"{name}:", *(f"    {x}" for x in text.split("\n")))]
    lines = []
    for old, new in zip(before.get("answers", []), after.get("answers", []), strict=False):
        lines += ["", f"prompt  {new['prompt']!r}", f"meant   {new['completion']!r}", f"before  {old['answer']!r}",
                  f"after   {new['answer']!r}"]  # fmt: skip
    if "mistakes" in after:
        lines += [
            "",
            f"{after['wrong']} of {after['of']} held-out images are named wrongly" + (":" if after["mistakes"] else ""),
        ]
        lines += [f"    {each['image']}  is {each['label']}, taken for {each['answer']}" for each in after["mistakes"]]
    return lines


def commands(config: Config, result: Result, folder: Path) -> list[str]:
    """The command lines that use what a run has made, ready to be copied."""
    path = str(folder) if result.argument == "adapter" else result.path
    base = f" --weights {shlex.quote(config.weights)}" if config.weights and result.argument == "adapter" else ""
    source = entry(config.base).source
    plugin = f" --plugin {shlex.quote(str(source))}" if source else ""
    uses = f"{base} --{result.argument} {shlex.quote(path)}{plugin}"
    program = shlex.quote(f"{folder.name or 'mine'}.nd")
    text = not result.shown["after"].keys().isdisjoint(("sample", "answers"))
    use = f'generate {config.base} --prompt "The "' if text else f"predict {config.base} photo.jpg"
    return [f"needle-zoo {use}{uses}", f"needle-deploy freeze zoo:{config.base}{uses} -o {program}"]
