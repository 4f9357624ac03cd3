"""The JSON of answers in text, as the OpenAI API words it: one shape for whole answers, another for their parts."""

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from serving.engine.text.asking import TextRequest
from serving.engine.text.engine import TextEngine
from serving.engine.text.task import Call, Task, Token, usage

DONE = b"data: [DONE]\n\n"


def event(content: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


class Completion:
    """The answers of /v1/completions, whole (`whole`) or in parts (`parts`), which all have the same id."""

    prefix, kind, kind_of_part = "cmpl", "text_completion", "text_completion"

    def __init__(self, model: str, engine: TextEngine, request: TextRequest):
        self.request, self.tokenizer = request, engine.tokenizer
        self.head = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}", "object": self.kind, "created": int(time.time()),
            "model": model, "system_fingerprint": engine.fingerprint,
        }  # fmt: skip

    def whole(self, call: Call) -> dict[str, Any]:
        """The answer to a call that is done: of each prompt's texts the best."""
        given, made = self.request.choices, self.request.best_of
        kept: list[Task] = []
        for first in range(0, len(call.tasks), made):
            tasks = call.tasks[first : first + made]
            if made > given:
                tasks = sorted(tasks, key=lambda task: -task.sum_logprob / max(task.completed, 1))[:given]
            kept += tasks
        choices = [self._choice(index, Part(task, self)) for index, task in enumerate(kept)]
        return {**self.head, "choices": choices, "usage": usage(call.tasks, made)}

    def parts(self, call: Call) -> Iterator[bytes]:
        """Events, as the texts of a call grow: each time it has news, what that is. Ends when it is done.

        Whoever iterates waits for the news; an empty piece means that there is none to send.
        """
        head: dict[str, Any] = {**self.head, "object": self.kind_of_part}
        if self.request.include_usage:
            head["usage"] = None
        yield b"".join(event({**head, "choices": [choice]}) for choice in self._opening(len(call.tasks)))
        parts = [Part(task, self) for task in call.tasks]
        while not all(part.ended for part in parts):
            choices = [(index, part) for index, part in enumerate(parts) if not part.ended and part.take()]
            yield b"".join(event({**head, "choices": [self._delta(index, part)]}) for index, part in choices)
        if self.request.include_usage:
            yield event({**head, "choices": [], "usage": usage(call.tasks, self.request.best_of)})
        yield DONE

    def _opening(self, count: int) -> Iterator[dict[str, Any]]:
        yield from ()

    def _choice(self, index: int, part: "Part") -> dict[str, Any]:
        part.take()
        return self._delta(index, part)

    def _delta(self, index: int, part: "Part") -> dict[str, Any]:
        return {"index": index, "text": part.text, "logprobs": self._logprobs(part), "finish_reason": part.finish}

    def _logprobs(self, part: "Part") -> dict[str, Any] | None:
        count = self.request.asked.logprobs
        if count is None:
            return None
        return {
            "tokens": [token.text for token in part.tokens],
            "token_logprobs": [token.logprob for token in part.tokens],
            "top_logprobs": [self._best(token) for token in part.tokens] if count else None,
            "text_offset": [token.offset for token in part.tokens],
        }

    def _best(self, token: Token) -> dict[str, float] | None:
        """The most probable tokens at a place, by their texts; of several with one text the first."""
        if token.logprob is None:
            return None
        found: dict[str, float] = {}
        for index, logprob in token.top:
            found.setdefault(self.tokenizer.decode([index]), logprob)
        return found


class ChatCompletion(Completion):
    """The answers of /v1/chat/completions."""

    prefix, kind, kind_of_part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _opening(self, count: int) -> Iterator[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        yield from ({"index": i, "delta": delta, "logprobs": None, "finish_reason": None} for i in range(count))

    def _choice(self, index: int, part: "Part") -> dict[str, Any]:
        part.take()
        message = {"role": "assistant", "content": part.text, "refusal": None}
        return {"index": index, "message": message, "logprobs": self._logprobs(part), "finish_reason": part.finish}

    def _delta(self, index: int, part: "Part") -> dict[str, Any]:
        delta = {"content": part.text} if part.text else {}
        return {"index": index, "delta": delta, "logprobs": self._logprobs(part), "finish_reason": part.finish}

    def _logprobs(self, part: "Part") -> dict[str, Any] | None:
        if self.request.asked.logprobs is None:
            return None

        def shown(index: int, logprob: float | None) -> dict[str, Any]:
            known = self.tokenizer.token(index)
            return {"token": known.decode(errors="replace"), "logprob": logprob, "bytes": list(known)}

        content = [
            shown(token.id, token.logprob) | {"top_logprobs": [shown(i, logprob) for i, logprob in token.top]}
            for token in part.tokens
        ]
        return {"content": content, "refusal": None}


class Part:
    """What has been given of a task's text, and what comes next: `take` moves on to it."""

    def __init__(self, task: Task, answer: Completion):
        self._task = task
        self._prompt = answer.tokenizer.decode(task.prompt)
        self._echo = answer.request.echo
        self._end = 0 if self._echo else len(self._prompt)  # of what was given, in prompt and text together
        self._given = 0  # tokens
        self.text, self.ended = "", False
        self.finish: str | None = None
        self.tokens: Sequence[Token] = ()

    def take(self) -> bool:
        """Go on to what is certain by now; whether there is anything to give."""
        self.finish = self._task.finish  # before the text: what comes between the two is given the next time
        self.text = self._task.take()
        if self._echo:
            self.text, self._echo = self._prompt + self.text, False
        self._end += len(self.text)
        if not self.text and self.finish is None:
            return False
        self.ended = self.finish is not None
        known = self._task.tokens[self._given :]
        self.tokens = known if self.finish == "length" else [token for token in known if token.offset < self._end]
        self._given += len(self.tokens)
        return True
