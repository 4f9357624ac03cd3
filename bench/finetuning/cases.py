"""The experiments: one run each, kept by its name when it is done."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo
from bench.finetuning.data import folder, text
from zoo.finetune import Config, Job, measure

HOME = Path(__file__).resolve().parent.parent.parent / "build" / "finetune"
RESULTS = Path(__file__).resolve().parent / "results.json"


@dataclass(frozen=True)
class Case:
    """A base learns some data by a method: "lora", "full" or "scratch"; of images `each` of every class."""

    base: str
    data: str
    method: str
    each: int | None = None

    @property
    def name(self) -> str:
        return f"{self.base} {self.data}{f' {self.each}' if self.each else ''} {self.method}"

    def config(self) -> Config:
        """As `needle-zoo finetune` has it with nothing but the method said."""
        path = text(self.data) if self.each is None else folder(self.data, self.each, HOME / "data")
        options: dict[str, Any] = (
            {"method": "full", "pretrained": False} if self.method == "scratch" else {"method": self.method}
        )
        return Config(self.base, str(path), **options)

    def run(self) -> dict[str, Any]:
        """What came of it: the numbers, the time of the processors, the size of what is kept."""
        began, processor = time.monotonic(), time.process_time()
        result = Job(self.config(), HOME / "runs" / self.name.replace(" ", "-")).run()
        assert result is not None
        took = {"seconds": time.monotonic() - began, "processor_seconds": time.process_time() - processor}
        path = Path(result.path)
        size = sum(each.stat().st_size for each in (path.iterdir() if path.is_dir() else [path]))
        found = {
            "before": dict(result.before), "after": dict(result.after), "steps": result.steps, "bytes": size,
            "learning_rate": result.learning_rate, "sha256": result.sha256, **took,
        }  # fmt: skip
        if self.each is not None:
            model = zoo.load(self.base, **{result.argument: result.path})  # type: ignore[arg-type]
            found["test"] = measure(model, str(folder(self.data, None, HOME / "data")))
        return found

    @property
    def has_base(self) -> bool:
        """Whether the zoo has trained weights of the base."""
        return bool(zoo.entry(self.base).shipped)


METHODS = ("lora", "full", "scratch")
IMAGES = [
    Case(base, data, method, each)
    for base in ("resnet9", "airnet")
    for data in ("fruit", "signs")
    for each in (20, 100, 5)
    for method in METHODS
]
TEXTS = [Case("gpt-novels", data, method) for data in ("alice", "sherlock") for method in ("lora", "full")]
CASES = [*TEXTS, *IMAGES]


def results() -> dict[str, Any]:
    """What has been measured, by the names of the cases."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def keep(name: str, found: dict[str, Any]) -> None:
    """Add a result to those that there are."""
    from zoo.runs import write_json

    write_json(RESULTS, dict(sorted((results() | {name: found}).items())))
