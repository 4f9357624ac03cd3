"""A language model as the routes see it: text in, calls out, and what it takes to answer for them."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

import deploy
from needle.data.text import Tokenizer
from needle.errors import NeedleError
from serving.engine.errors import ServingError, TooLong
from serving.engine.text.programs import StepProgram
from serving.engine.text.scheduler import Scheduler
from serving.engine.text.task import Asked, Call, Task


class TextEngine:
    """A tokenizer, a step program behind its scheduler, and what makes embeddings (None if the model has none)."""

    def __init__(
        self, name: str, tokenizer: Tokenizer, program: StepProgram, features: Callable[[], deploy.Graph] | None,
        fingerprint: str, limit: int = 56,
    ):  # fmt: skip
        self.name, self.tokenizer, self.context, self.fingerprint = name, tokenizer, program.context, fingerprint
        self.scheduler = Scheduler(name, program, limit)
        self._features = features
        self._embedder: deploy.Instant | None = None
        self._lock = threading.Lock()

    def encode(self, text: str, where: str = "prompt") -> list[int]:
        """The ids of a text, at least one. Raises ServingError for text that the vocabulary cannot express, TooLong."""
        if self.context is not None and (least := self.tokenizer.at_least(text)) > self.context:
            raise TooLong(f"[{where}] the model reads at most {self.context} tokens at once, got {least} or more")
        try:
            return self.checked(self.tokenizer.encode(text), where)
        except NeedleError as problem:
            if isinstance(problem, ServingError):
                raise
            raise ServingError(f"[{where}] cannot be read: {problem}") from None

    def checked(self, ids: Sequence[int], where: str = "prompt") -> list[int]:
        """Ids that the program takes. Raises ServingError for unknown ones or none, TooLong beyond the context."""
        if not ids:
            raise ServingError(f"[{where}] needs at least one token, such as that of a line's end")
        if not 0 <= min(ids) <= max(ids) < len(self.tokenizer):
            raise ServingError(f"[{where}] tokens are 0 to {len(self.tokenizer) - 1}, got {min(ids)} to {max(ids)}")
        if self.context is not None and len(ids) > self.context:
            raise TooLong(f"[{where}] the model reads at most {self.context} tokens at once, got {len(ids)}")
        return list(ids)

    def call(
        self, prompts: Sequence[Sequence[int]], asked: Asked, choices: int = 1, owner: str = "", stream: bool = False
    ) -> Call:
        """Begin to write `choices` texts for each prompt, in this order. Raises Busy when there is too much to do."""
        tasks = [Task(asked, ids, self.tokenizer, k) for ids in prompts for k in range(choices)]
        call = Call(tasks, owner, stream)
        self.scheduler.submit(call)
        return call

    def embed(self, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """For each prompt the mean over its tokens of what the last layer makes logits of, at length 1: (n, width).

        Raises ServingError for a model that has no embeddings.
        """
        if self._features is None:
            raise ServingError(f"[{self.name}] gives no embeddings: its file holds only the step that decodes")
        with self._lock:
            if self._embedder is None:
                self._embedder = deploy.Instant(self._features(), name=self.name)
        means = []
        for ids in prompts:
            states = self._embedder(np.array([ids], np.int32))[0].astype(np.float64).mean(axis=0)
            means.append(states / max(float(np.linalg.norm(states)), 1e-12))
        return np.array(means)

    def close(self) -> None:
        """Let what was begun come to its end, and the rest go."""
        self.scheduler.close()
