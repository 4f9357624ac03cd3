"""What the server knows of a model: names, types and shapes of its tensors, its card, and how to run it on a batch."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.engine.errors import ServingError, Unavailable

if TYPE_CHECKING:
    from serving.engine.text.engine import TextEngine

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], Arrays]
SIDES = ("input", "output")
Canary = tuple[Arrays, Arrays]  # an input, and the answer that is known for it


def check_canary(where: str, run: Run, canary: Canary) -> None:
    """Raises Unavailable unless `run` gives the known answer, to a thousandth."""
    inputs, known = canary
    outputs = run(inputs)
    for name, expected in known.items():
        if not np.allclose(outputs[name], expected, rtol=1e-3, atol=1e-3):
            gap = float(np.abs(np.asarray(outputs[name]) - expected).max())
            raise Unavailable(f"[{where}] the canary's {name} are off by {gap:.3g}; the model is not to be trusted")


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its name, datatype on the wire, and shape with -1 for what varies (batch first)."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def check(self, shape: tuple[int, ...], max_batch: int) -> None:
        """Refuse a shape that differs in rank or in a fixed size, or whose batch is not in 1..max_batch."""
        fits = len(shape) == len(self.shape) and all(
            want in (-1, got) for got, want in zip(shape, self.shape, strict=True)
        )
        if not fits:
            raise ServingError(f"[{self.name}] shape must be {list(self.shape)} (-1 is any size), got {list(shape)}")
        if not 1 <= shape[0] <= max_batch:
            needed = f"shape {list(self.shape)} takes 1 to {max_batch} rows along its first axis"
            raise ServingError(f"[{self.name}] {needed}, got {shape[0]}")
        if math.prod(shape) == 0:
            raise ServingError(f"[{self.name}] no size may be 0, got {list(shape)}")


@dataclass(frozen=True)
class Model:
    """A loaded model. `run` maps a batch {input: (n, ...)} to {output: (n, ...)} and may be called from any thread.

    A model that does not give the known answer to its `canary` is not served.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    run: Run
    card: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1"
    platform: str = "needle_nd"
    max_batch: int = 32
    canary: Canary | None = None
    text: "TextEngine | None" = None

    @property
    def usage(self) -> str:
        """What a model is made for: "text" to write on from, an "image" file, "noise" to draw from; else "tensors"."""
        kinds = [entry.get("kind") if isinstance(entry := self.card.get(side), Mapping) else None for side in SIDES]
        match kinds:
            case _ if self.text is not None:
                return "text"
            case ["image", _] if len(self.outputs[0].shape) == 2:
                return "image"
            case ["latent", "image"]:
                return "noise"
        return "tensors"

    def close(self) -> None:
        """Let go of it, when what was begun has ended."""
        if self.text is not None:
            self.text.close()

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the Open Inference Protocol words it."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in self.inputs],
            "outputs": [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in self.outputs],
        }

    def config(self) -> dict[str, Any]:
        """The configuration in Triton's ModelConfig JSON: sizes without the batch, 64-bit integers as strings."""

        def tensors(specs: Iterable[Any]) -> list[dict[str, Any]]:
            return [{"name": t.name, "data_type": f"TYPE_{t.datatype}", "dims": list(t.shape[1:])} for t in specs]

        return {
            "name": self.name,
            "platform": self.platform,
            "backend": "needle",
            "max_batch_size": self.max_batch,
            "input": tensors(self.inputs),
            "output": tensors(self.outputs),
            "dynamic_batching": {"max_queue_delay_microseconds": "0", "preferred_batch_size": [self.max_batch]},
            "instance_group": [{"kind": "KIND_CPU", "count": 1}],
            "parameters": {
                "labels": {"string_value": json.dumps(self.outputs[0].labels)},
                "usage": {"string_value": self.usage},
            },
        }
