"""What the server counts, and its two views: Prometheus text and the statistics of the Open Inference Protocol."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from serving.engine.counters import Counters

CODES = (200, 400, 404, 405, 408, 411, 413, 415, 422, 429, 500, 501, 503)
TIMES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
HISTOGRAMS = {  # name -> (upper bounds, help)
    "request_duration_seconds": (TIMES, "Seconds from the first byte of a request's body to its answer."),
    "queue_seconds": (TIMES, "Seconds that a request waited for the model to be idle."),
    "compute_seconds": (TIMES, "Seconds of the model run that a request was part of."),
    "batch_size": (SIZES, "Rows in one run of the model."),
}
PHASES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
OTHER = 0  # the code of requests whose status is not in CODES


class Metrics:
    """Counts requests and runs of a fixed set of models. Shared by all workers when made before they are forked."""

    def __init__(self, models: Iterable[str], columns: int = 1, max_batch: int = 128):
        self.models = tuple(models)
        self.max_batch = max_batch
        keys: list[tuple[Any, ...]] = []
        levels: list[tuple[Any, ...]] = []
        flags: list[tuple[Any, ...]] = []
        for model in self.models:
            keys += [("requests", model, code) for code in (*CODES, OTHER)]
            keys += [(phase, model, part) for phase in PHASES for part in ("count", "seconds")]
            keys += [("batch", model, size, part) for size in range(1, max_batch + 1) for part in ("count", "seconds")]
            for name, (bounds, _) in HISTOGRAMS.items():
                keys += [(name, model, bound) for bound in (*bounds, float("inf"), "sum")]
            levels += [("in_flight", model), ("loaded", model)]
            flags += [("wanted", model), ("last", model)]
        self.counters = Counters(keys, columns, levels, flags)
        for model in self.models:
            self.counters.set_flag(("wanted", model), 1)

    def request(self, model: str, code: int, seconds: float) -> None:
        """Count one answered request."""
        outcome = "success" if code == 200 else "fail"
        self.counters.add_all([
            (("requests", model, code if code in CODES else OTHER), 1),
            ((outcome, model, "count"), 1),
            ((outcome, model, "seconds"), seconds),
            *self._observe("request_duration_seconds", model, seconds),
        ])

    def phases(self, model: str, **seconds: float) -> None:
        """Count where one successful request spent its time: queue, compute_input, compute_infer, compute_output."""
        amounts: list[tuple[tuple[Any, ...], float]] = []
        for phase, spent in seconds.items():
            amounts += [((phase, model, "count"), 1), ((phase, model, "seconds"), spent)]
        amounts += self._observe("queue_seconds", model, seconds["queue"])
        amounts += self._observe("compute_seconds", model, seconds["compute_infer"])
        self.counters.add_all(amounts)

    def run(self, model: str, rows: int, seconds: float) -> None:
        """Count one run of the model."""
        size = min(rows, self.max_batch)
        self.counters.add_all([
            (("batch", model, size, "count"), 1),
            (("batch", model, size, "seconds"), seconds),
            *self._observe("batch_size", model, rows),
        ])
        self.counters.raise_flag(("last", model), int(time.time() * 1000))

    @staticmethod
    def _observe(name: str, model: str, value: float) -> list[tuple[tuple[Any, ...], float]]:
        bounds = (*HISTOGRAMS[name][0], float("inf"))
        return [((name, model, bounds[bisect_left(bounds, value)]), 1), ((name, model, "sum"), value)]

    def statistics(self, model: str, version: str) -> dict[str, Any]:
        """One entry of `model_stats`: nanoseconds and counts, over all workers and since the server started."""
        total = self.counters.total

        def duration(*key: Any) -> dict[str, Any]:
            return {"count": int(total((*key, "count"))), "ns": int(total((*key, "seconds")) * 1e9)}

        batches: list[dict[str, Any]] = []
        for size in range(1, self.max_batch + 1):
            spent = duration("batch", model, size)
            if spent["count"]:
                nothing = {"count": spent["count"], "ns": 0}
                batches.append(
                    {"batch_size": size, "compute_input": nothing, "compute_infer": spent, "compute_output": nothing}
                )
        none = {"count": 0, "ns": 0}
        return {
            "name": model,
            "version": version,
            "last_inference": int(self.counters.flag(("last", model))),
            "inference_count": sum(b["batch_size"] * b["compute_infer"]["count"] for b in batches),
            "execution_count": sum(b["compute_infer"]["count"] for b in batches),
            "inference_stats": {p: duration(p, model) for p in PHASES} | {"cache_hit": none, "cache_miss": none},
            "response_stats": {},
            "batch_stats": batches,
            "memory_usage": [],
        }

    def text(self, version: str) -> str:
        """The Prometheus exposition, format 0.0.4; a second family has Triton's names, for dashboards made for it."""
        return "\n".join([*self._own(version), *self._triton(version)]) + "\n"

    def _own(self, version: str) -> Iterator[str]:
        total = self.counters.total
        yield from _head("needle_requests_total", "counter", "Inference requests answered, by HTTP status.")
        for model in self.models:
            for code in (*CODES, OTHER):
                if count := total(("requests", model, code)):
                    labels = f'{{model="{model}",version="{version}",code="{code or "other"}"}}'
                    yield f"needle_requests_total{labels} {count:.0f}"
        for name, (bounds, text) in HISTOGRAMS.items():
            yield from _head(f"needle_{name}", "histogram", text)
            for model in self.models:
                so_far = 0.0
                for bound in (*bounds, float("inf")):
                    so_far += total((name, model, bound))
                    le = "+Inf" if bound == float("inf") else f"{bound:g}"
                    yield f'needle_{name}_bucket{{model="{model}",le="{le}"}} {so_far:.0f}'
                yield f'needle_{name}_sum{{model="{model}"}} {total((name, model, "sum")):.9g}'
                yield f'needle_{name}_count{{model="{model}"}} {so_far:.0f}'
        yield from _head("needle_requests_in_flight", "gauge", "Inference requests being worked on.")
        yield from (f'needle_requests_in_flight{{model="{m}"}} {total(("in_flight", m)):.0f}' for m in self.models)
        yield from _head("needle_model_loaded", "gauge", "Workers that have the model loaded and ready.")
        yield from (f'needle_model_loaded{{model="{m}"}} {total(("loaded", m)):.0f}' for m in self.models)

    def _triton(self, version: str) -> Iterator[str]:
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
        statistics = {model: self.statistics(model, version) for model in self.models}
        for name, value in families:
            yield from _head(f"nv_inference_{name}", "counter", "As in Triton Inference Server.")
            for model in self.models:
                yield f'nv_inference_{name}{{model="{model}",version="{version}"}} {value(statistics[model])}'
        yield from _head("nv_inference_pending_request_count", "gauge", "Requests waiting or running.")
        for model in self.models:
            waiting = self.counters.total(("in_flight", model))
            yield f'nv_inference_pending_request_count{{model="{model}",version="{version}"}} {waiting:.0f}'


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
