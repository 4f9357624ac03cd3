"""Language models as programs: what reads tokens by a compiled decoding step, or by the same program at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

import deploy
from deploy.quantize import halve_exact
from deploy.runtime import Runtime

from .generate import GenerationError

if TYPE_CHECKING:
    from .language_model import LanguageModel

ENGINES = ("eager", "instant", "compiled")


class ProgramReader:
    """Reads one sequence by the program of a model's decoding step, "instant" or "compiled".

    The compiled one is made when it is first asked for, and kept. Beyond the context it starts anew with the last half
    of it, as the eager readers do. Raises GenerationError for another engine, BuildError where there is no compiler.
    """

    def __init__(self, model: LanguageModel, engine: str) -> None:
        if engine not in ENGINES[1:]:
            raise GenerationError(f"[generate] engine must be one of {', '.join(ENGINES)}, got {engine!r}")
        step, example, options = model.decoding(slots=1)
        graph = halve_exact(deploy.freeze(step, example, **options))
        self.context = model.context
        self.runtime: Runtime
        if engine == "instant":
            self.runtime = deploy.Instant(graph, max_batch=1)
        else:
            built = deploy.build(graph, name="decoding")
            longest = {"time": self.context or 256}
            self.runtime = deploy.Compiled(built.library, built.weights, max_batch=1, most=longest)
        self.slotted = "slot" in self.runtime.shapes
        self.longest = self.context or 256  # ids of one call
        self.window: list[int] = []
        self.read_so_far = 0

    def read(self, ids: Sequence[int]) -> numpy.ndarray:
        """The logits (vocabulary,) of the token that follows all that was read so far, `ids` last."""
        if self.context is not None:
            self.window += ids
            if len(self.window) > self.context:
                ids = self.window = self.window[-max(1, self.context // 2) :]
                self.read_so_far = 0
        for first in range(0, len(ids), self.longest):
            logits = self._step(ids[first : first + self.longest])
        last: numpy.ndarray = logits[0, -1]
        return last

    def _step(self, ids: Sequence[int]) -> Any:
        given = [numpy.array([ids], "int32")]
        if self.slotted:
            given += [numpy.zeros(1, "int32"), numpy.array([self.read_so_far], "int32")]
        self.read_so_far += len(ids)
        return self.runtime(*given)
