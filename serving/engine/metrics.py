"""What the server counts, and its two views: Prometheus text and the statistics of the Open Inference Protocol."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from serving.engine import timing
from serving.engine.counters import Counters
from serving.engine.registry import CAPACITY, Registry, Row

CODES = (200, 400, 404, 405, 408, 411, 413, 415, 422, 429, 500, 501, 503)
TIMES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
HISTOGRAMS = {  # name -> (upper bounds, help)
    "request_duration_seconds": (TIMES, "Seconds from the first byte of a request's body to its answer."),
    "queue_seconds": (TIMES, "Seconds that a request waited for the model to be idle."),
    "compute_seconds": (TIMES, "Seconds of the model run that a request was part of."),
    "batch_size": (SIZES, "Rows in one run of the model."),
    "time_to_first_token_seconds": (TIMES, "Seconds from a request for text to its first token."),
}
TOKENS = ("prompt", "completion")
MAX_BATCH = 128  # sizes of batches that are counted apart
PHASES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
OTHER = 0  # the code of requests whose status is not in CODES


class Metrics:
    """Counts requests and runs of the models in a registry. Shared by all workers when made before they are forked."""

    def __init__(self, registry: Registry, columns: int = 1):
        self.registry = registry
        keys: list[Any] = [("requests", code) for code in (*CODES, OTHER)]
        keys += [(phase, part) for phase in PHASES for part in ("count", "seconds")]
        keys += [("batch", size, part) for size in range(1, MAX_BATCH + 1) for part in ("count", "seconds")]
        keys += [("tokens", kind) for kind in TOKENS] + ["cancelled"]
        for name, (bounds, _) in HISTOGRAMS.items():
            keys += [(name, bound) for bound in (*bounds, float("inf"), "sum")]
        self.counters = Counters(keys, columns, CAPACITY, levels=["in_flight", "loaded"], flags=["last"])

    def add(self, model: str, *amounts: tuple[Any, float]) -> None:
        """Count for a model, unless it was removed meanwhile."""
        row = self.registry.rows().get(model)
        if row is not None:
            self.counters.add_all(row.place, amounts)

    def request(self, model: str, code: int, seconds: float) -> None:
        """Count one answered request."""
        outcome = "success" if code == 200 else "fail"
        self.add(
            model,
            (("requests", code if code in CODES else OTHER), 1),
            ((outcome, "count"), 1),
            ((outcome, "seconds"), seconds),
            *self._observe("request_duration_seconds", seconds),
        )

    def phases(self, model: str, **seconds: float) -> None:
        """Count where one successful request spent its time: queue, compute_input, compute_infer, compute_output."""
        timing.note(**{phase.removeprefix("compute_").replace("infer", "compute"): s for phase, s in seconds.items()})
        amounts: list[tuple[tuple[Any, ...], float]] = []
        for phase, spent in seconds.items():
            amounts += [((phase, "count"), 1), ((phase, "seconds"), spent)]
        amounts += self._observe("queue_seconds", seconds["queue"])
        amounts += self._observe("compute_seconds", seconds["compute_infer"])
        self.add(model, *amounts)

    def run(self, model: str, rows: int, seconds: float) -> None:
        """Count one run of the model."""
        size = min(rows, MAX_BATCH)
        self.add(
            model,
            (("batch", size, "count"), 1),
            (("batch", size, "seconds"), seconds),
            *self._observe("batch_size", rows),
        )
        row = self.registry.rows().get(model)
        if row is not None:
            self.counters.raise_flag(row.place, "last", int(time.time() * 1000))

    def text_request(
        self, model: str, prompt_tokens: int, completion_tokens: int, first: float | None, cancelled: bool
    ) -> None:
        """Count the tokens of a request for text, and the seconds to its first one if there was any."""
        read, written = (("tokens", "prompt"), prompt_tokens), (("tokens", "completion"), completion_tokens)
        amounts = [read, written, ("cancelled", cancelled)]
        self.add(model, *amounts, *(self._observe("time_to_first_token_seconds", first) if first is not None else []))

    @staticmethod
    def _observe(name: str, value: float) -> list[tuple[tuple[Any, ...], float]]:
        bounds = (*HISTOGRAMS[name][0], float("inf"))
        return [((name, bounds[bisect_left(bounds, value)]), 1), ((name, "sum"), value)]

    def statistics(self, model: str) -> dict[str, Any]:
        """One entry of `model_stats`: nanoseconds and counts, over all workers and since the model was registered."""
        row = self.registry.rows()[model]

        def duration(*key: Any) -> dict[str, Any]:
            count, seconds = (self.counters.total(row.place, (*key, part)) for part in ("count", "seconds"))
            return {"count": int(count), "ns": int(seconds * 1e9)}

        batches: list[dict[str, Any]] = []
        for size in range(1, MAX_BATCH + 1):
            spent = duration("batch", size)
            if spent["count"]:
                nothing = {"count": spent["count"], "ns": 0}
                batches.append(
                    {"batch_size": size, "compute_input": nothing, "compute_infer": spent, "compute_output": nothing}
                )
        none = {"count": 0, "ns": 0}
        return {
            "name": model,
            "version": str(row.source.version),
            "last_inference": int(self.counters.flag(row.place, "last")),
            "inference_count": sum(b["batch_size"] * b["compute_infer"]["count"] for b in batches),
            "execution_count": sum(b["compute_infer"]["count"] for b in batches),
            "inference_stats": {p: duration(p) for p in PHASES} | {"cache_hit": none, "cache_miss": none},
            "response_stats": {},
            "batch_stats": batches,
            "memory_usage": [],
        }

    def text(self, sees: Callable[[str], bool] = lambda model: True) -> str:
        """The Prometheus exposition, format 0.0.4, of the models that one sees.

        A second family has Triton's names, for dashboards made for it.
        """
        rows = {model: row for model, row in self.registry.rows().items() if sees(model)}
        return "\n".join([*self._own(rows), *self._triton(rows)]) + "\n"

    def _own(self, rows: Mapping[str, Row]) -> Iterator[str]:

        def counted(key: Any) -> Iterator[tuple[str, float]]:
            """What was counted of each model, with its label."""
            yield from ((f'model="{name}"', self.counters.total(row.place, key)) for name, row in rows.items())

        yield from _head("needle_requests_total", "counter", "Inference requests answered, by HTTP status.")
        for model, row in rows.items():
            for code in (*CODES, OTHER):
                if count := self.counters.total(row.place, ("requests", code)):
                    labels = f'{{model="{model}",version="{row.source.version}",code="{code or "other"}"}}'
                    yield f"needle_requests_total{labels} {count:.0f}"
        for name in HISTOGRAMS:
            yield from self._histogram(name, rows)
        yield from _head("needle_tokens_total", "counter", "Tokens read and written by language models.")
        for kind in TOKENS:
            yield from (f'needle_tokens_total{{{m},kind="{kind}"}} {n:.0f}' for m, n in counted(("tokens", kind)))
        yield from _head("needle_cancelled_total", "counter", "Requests for text whose client left before the end.")
        yield from (f"needle_cancelled_total{{{model}}} {n:.0f}" for model, n in counted("cancelled"))
        yield from _head("needle_requests_in_flight", "gauge", "Inference requests being worked on.")
        yield from (f"needle_requests_in_flight{{{model}}} {n:.0f}" for model, n in counted("in_flight"))
        yield from _head("needle_model_loaded", "gauge", "Workers that have the model loaded and ready.")
        yield from (f"needle_model_loaded{{{model}}} {n:.0f}" for model, n in counted("loaded"))

    def _histogram(self, name: str, rows: Mapping[str, Row]) -> Iterator[str]:
        bounds, text = HISTOGRAMS[name]
        yield from _head(f"needle_{name}", "histogram", text)
        for model, row in rows.items():
            so_far = 0.0
            for bound in (*bounds, float("inf")):
                so_far += self.counters.total(row.place, (name, bound))
                le = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield f'needle_{name}_bucket{{model="{model}",le="{le}"}} {so_far:.0f}'
            yield f'needle_{name}_sum{{model="{model}"}} {self.counters.total(row.place, (name, "sum")):.9g}'
            yield f'needle_{name}_count{{model="{model}"}} {so_far:.0f}'

    def _triton(self, rows: Mapping[str, Row]) -> Iterator[str]:
        families: tuple[tuple[str, Callable[[Any], int]], ...] = (
            ("request_success", lambda s: s["inference_stats"]["success"]["count"]),
            ("request_failure", lambda s: s["inference_stats"]["fail"]["count"]),
            ("count", lambda s: s["inference_count"]),
            ("exec_count", lambda s: s["execution_count"]),
            ("request_duration_us", lambda s: s["inference_stats"]["success"]["ns"] // 1000),
            ("queue_duration_us", lambda s: s["inference_stats"]["queue"]["ns"] // 1000),
            ("compute_input_duration_us", lambda s: s["inference_stats"]["compute_input"]["ns"] // 1000),
            ("compute_infer_duration_us", lambda s: s["inference_stats"]["compute_infer"]["ns"] // 1000),
            ("compute_output_duration_us", lambda s: s["inference_stats"]["compute_output"]["ns"] // 1000),
        )
        statistics = {model: self.statistics(model) for model in rows}
        for name, value in families:
            yield from _head(f"nv_inference_{name}", "counter", "As in Triton Inference Server.")
            for model, found in statistics.items():
                yield f'nv_inference_{name}{{model="{model}",version="{found["version"]}"}} {value(found)}'
        yield from _head("nv_inference_pending_request_count", "gauge", "Requests waiting or running.")
        for model, row in rows.items():
            labels = f'model="{model}",version="{row.source.version}"'
            yield f"nv_inference_pending_request_count{{{labels}}} {self.counters.total(row.place, 'in_flight'):.0f}"


def levels(name: str, text: str, label: str, values: Mapping[str, int]) -> str:
    """A family of levels that somebody else counts, by the values of one label."""
    lines = [f'needle_{name}{{{label}="{value}"}} {count}' for value, count in values.items()]
    return "\n".join([*_head(f"needle_{name}", "gauge", text), *lines]) + "\n"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
