"""What is asked of a language model, and the tokens that came of it. Plain records, which a scheduler fills."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import Any

import numpy as np

from needle.data.text import Tokenizer
from serving.engine.errors import Left, ServingError, Unavailable
from zoo.generate import Ending, Sampling

LEFT = "[request] the client has left"
LOOK = 0.25  # seconds between looks whether the client is still there
INTERVAL = 0.02  # seconds between two parts of a stream at least


@dataclass(frozen=True)
class Asked:
    """How text is to go on: at most `max_tokens` tokens, ending before any of `stop`.

    The same `seed` gives the same text; `logprobs` asks for that many of the most probable tokens at each place, and
    `echo` for those of the prompt too. `bias` is added to logits; a token that has been written n times loses
    presence + n frequency.
    """

    max_tokens: int = 16
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    seed: int = 0
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    echo: bool = False
    ranked: bool = False  # whether `Task.sum_logprob` is needed


@dataclass(frozen=True)
class Token:
    """One token of the answer; `offset` is where its text begins in prompt and answer together."""

    id: int
    text: str
    offset: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Task:
    """One sequence on its way: what it has read, what it is to read next, and what it has written.

    Only the scheduler's thread changes it; `take` may be called from another one.
    """

    def __init__(self, asked: Asked, ids: Sequence[int], tokenizer: Tokenizer, choice: int = 0):
        self.asked, self.prompt = asked, list(ids)
        self.slot, self.position = -1, 0  # where it lies in the program's state, and how much of it was read
        self.window = list(ids)  # the tokens that the program has read or is to read, from position 0 on
        self.finish: str | None = None  # "stop", "length", "cancelled" or "failed"
        self.error: ServingError | None = None
        self.tokens: list[Token] = []
        self.completed = 0  # tokens that were drawn
        self.sum_logprob = 0.0  # of the drawn tokens
        self._counts: dict[int, int] = {}
        self._text: list[str] = []  # certain, and not taken yet
        self._ending = Ending(asked.stop)
        self._tokenizer = tokenizer
        self._latest: int | None = None
        self._pieces = tokenizer.pieces(self._fed())
        self._offset = len(tokenizer.decode(ids))
        self._offsets: list[int] = []  # of the prompt's tokens, if they are asked for
        self._rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((asked.seed, choice))))

    def _fed(self) -> Iterator[int]:
        while self._latest is not None:
            yield self._latest

    # -- reading

    def unread(self) -> int:
        """How many tokens the program has still to read before the next one can be drawn."""
        return len(self.window) - self.position

    def fit(self, context: int | None) -> None:
        """Move the window of a sequence that has grown beyond the context: its last half is read anew."""
        if context is not None and len(self.window) > context:
            self.window = self.window[-max(1, context // 2) :]
            self.position = 0

    # -- writing

    def echo(self, first: int, logits: np.ndarray) -> None:
        """Take the logits (time, vocabulary) after prompt tokens first, first + 1, ...: each is of the token behind."""
        if not self.tokens:
            self._offsets = [*accumulate(map(len, self._tokenizer.pieces(self.prompt)), initial=0)]
            self.tokens.append(Token(self.prompt[0], self._tokenizer.decode(self.prompt[:1]), 0))
        for place, row in enumerate(logits[: len(self.prompt) - first - 1], first + 1):
            token = self.prompt[place]
            logprob, top = self._logprobs(row, token)
            self.tokens.append(Token(token, self._tokenizer.decode([token]), self._offsets[place], logprob, top))

    def advance(self, logits: np.ndarray, token: int) -> None:
        """Take the next token, which was drawn from its logits (vocabulary,); perhaps it is the last."""
        self.completed += 1
        self._counts[token] = self._counts.get(token, 0) + 1
        self._latest = token
        piece = next(self._pieces)
        if self.asked.logprobs is not None or self.asked.ranked:
            logprob, top = self._logprobs(logits, token)
            self.sum_logprob += logprob
            self.tokens.append(Token(token, self._tokenizer.decode([token]), self._offset, logprob, top))
        self._offset += len(piece)
        self._write(self._ending.feed(piece))
        if self._ending.ended:
            self._end("stop")
        elif self.completed >= self.asked.max_tokens:
            self._end("length")
        else:
            self.window.append(token)

    @staticmethod
    def draw(tasks: "Sequence[Task]", logits: np.ndarray) -> None:
        """Draw the next token of each task from its row of logits (tasks, vocabulary), unless it drew enough."""
        together: dict[Sampling, list[int]] = {}
        for i, task in enumerate(tasks):
            if task.completed >= task.asked.max_tokens:
                task._end("length")
            else:
                together.setdefault(task.asked.sampling, []).append(i)
        for sampling, rows in together.items():
            adjusted = np.array([tasks[i]._adjusted(logits[i]) for i in rows], np.float64)
            drawn = sampling.draw_each(adjusted, [tasks[i]._rng for i in rows])
            for i, token in zip(rows, drawn, strict=True):
                tasks[i].advance(logits[i], token)

    def fail(self, reason: str, error: ServingError | None = None) -> None:
        """End it before its time."""
        self.error = error
        self.finish = reason

    def _end(self, reason: str) -> None:
        if reason == "length":
            self._latest = None
            self._write(self._ending.feed("".join(self._pieces)) + self._ending.rest())
        self.finish = reason

    def _write(self, text: str) -> None:
        if text:
            self._text.append(text)

    def take(self) -> str:
        """The text that is certain and was not taken before."""
        text, self._text = self._text, []
        return "".join(text)

    def _adjusted(self, logits: np.ndarray) -> np.ndarray:
        """The logits after bias and penalties."""
        asked = self.asked
        if not asked.bias and not ((asked.presence or asked.frequency) and self._counts):
            return logits
        logits = logits.astype(np.float64)
        for token, count in self._counts.items():
            logits[token] -= asked.presence + count * asked.frequency
        for token, amount in asked.bias.items():
            logits[token] += amount
        return logits

    def _logprobs(self, logits: np.ndarray, token: int) -> tuple[float, tuple[tuple[int, float], ...]]:
        """log softmax(logits) at `token`, and at the most probable tokens, as many as were asked for."""
        p = logits.astype(np.float64)
        p -= p.max()
        p -= np.log(np.exp(p).sum())
        count = self.asked.logprobs or 0
        best = np.argsort(-p, kind="stable")[:count] if count else ()
        return float(p[token]), tuple((int(i), float(p[i])) for i in best)


class Call:
    """The tasks of one request: whoever asked waits for them, and may leave."""

    def __init__(self, tasks: Sequence[Task], owner: str = "", stream: bool = False):
        self.tasks, self.owner, self.stream = list(tasks), owner, stream
        self.left = len(self.tasks)  # tasks that have not ended
        self.cancelled = False
        self.delivered = False  # whether the client took all of the answer, which may come long after it is done
        self.first: float | None = None  # when its first token was drawn, in seconds of time.perf_counter
        self.news = threading.Event()
        self._told = 0.0  # when there was news last

    @property
    def done(self) -> bool:
        return self.left == 0

    def tell(self, now: float) -> None:
        """Called by the scheduler after each turn in which one of its tasks got further.

        A stream is told of its first token, and then every now and then: waking a thread costs as much as a token.
        """
        if self.done or (self.stream and now - self._told >= INTERVAL):
            self._told = now
            self.news.set()

    def finish(self, left: Callable[[], bool] = lambda: False, timeout: float | None = None) -> None:
        """Wait for all tasks. Raises the error of one that failed, Left where `left()` says that the client has, and
        Unavailable after `timeout` seconds.
        """
        until = time.monotonic() + (inf if timeout is None else timeout)
        while not self.done:
            if not self.wait(LOOK) and left():
                raise Left(LEFT)
            if time.monotonic() > until:
                raise Unavailable("[request] its timeout passed before its text was written")
        self.delivered = True
        self.check()

    def check(self) -> None:
        """Raises the error of a task that failed."""
        for task in self.tasks:
            if task.error is not None:
                raise task.error

    def wait(self, timeout: float) -> bool:
        """Until there is news, or for `timeout` seconds; whether there was any."""
        found = self.news.wait(timeout)
        self.news.clear()
        return found


def usage(tasks: Sequence[Task], choices: int) -> dict[str, Any]:
    """Tokens read and written; prompts count once, however many choices each has."""
    prompt = sum(len(task.prompt) for task in tasks[::choices])
    completion = sum(task.completed for task in tasks)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
