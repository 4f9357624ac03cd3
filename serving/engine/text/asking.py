"""What a request for text asks for, read from its JSON object with every number checked. A refusal names the field."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serving.engine.errors import ServingError
from serving.engine.text.engine import TextEngine
from serving.engine.text.task import Asked
from zoo.generate import Sampling

MOST_TOKENS = 4096  # that one text may have
MOST_TEXTS = 128  # prompts times choices of one request
MOST_CHOICES = 64
MOST_STOPS, LONGEST_STOP = 16, 256
MOST_LOGPROBS = 20
MOST_BIASES = 1024
SEEDS = 2**63


@dataclass(frozen=True)
class TextRequest:
    """Prompts as ids, how each is to go on, how many texts are made for it, and how many of those are given."""

    prompts: list[list[int]]
    asked: Asked
    choices: int = 1
    best_of: int = 1
    stream: bool = False
    include_usage: bool = False
    echo: bool = False


def completion(body: Mapping[str, Any], engine: TextEngine) -> TextRequest:
    """The request of /v1/completions. Raises ServingError."""
    if body.get("suffix"):
        raise ServingError("[suffix] the model writes on from a prompt; it cannot fill in before a suffix")
    prompts = _prompts(body.get("prompt"), engine)
    logprobs = _whole(body, "logprobs", None, 0, MOST_LOGPROBS)
    asked = _asked(body, engine, _whole(body, "max_tokens", 16, 0, MOST_TOKENS), logprobs)
    return _checked(body, prompts, asked, _whole(body, "best_of", None, 1, MOST_CHOICES), _flag(body, "echo"))


def chat(body: Mapping[str, Any], engine: TextEngine) -> TextRequest:
    """The request of /v1/chat/completions; its messages become one prompt by `template`. Raises ServingError."""
    prompt, stop = template(body.get("messages"))
    shown = _whole(body, "top_logprobs", 0, 0, MOST_LOGPROBS)
    most = _whole(body, "max_completion_tokens", None, 1, MOST_TOKENS)
    if most is None:
        most = _whole(body, "max_tokens", 256, 1, MOST_TOKENS)
    asked = _asked(body, engine, most, shown if _flag(body, "logprobs") else None, (stop,))
    return _checked(body, [engine.encode(prompt, "messages")], asked)


def parameters(given: Mapping[str, Any], engine: TextEngine) -> Asked:
    """What the parameters of a request for tensors say of its text. Raises ServingError."""
    return _asked(given, engine, _whole(given, "max_tokens", 16, 0, MOST_TOKENS))


def embedding(body: Mapping[str, Any], engine: TextEngine) -> tuple[list[list[int]], bool]:
    """The texts of /v1/embeddings, and whether the numbers are wanted in base64. Raises ServingError."""
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise ServingError(f"[encoding_format] must be float or base64, got {form!r:.40}")
    return _prompts(body.get("input"), engine, "input"), form == "base64"


def template(messages: Any) -> tuple[str, str]:
    """The prompt of a conversation, a line for each message, and the text at which the answer ends."""
    if not isinstance(messages, list) or not messages:
        raise ServingError("[messages] must be a list of at least one message")
    lines = [f"{_role(message)}: {content_of(message)}\n" for message in messages]
    return "".join(lines) + "assistant:", "\nuser:"


def _role(message: Any) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ("system", "developer", "user", "assistant"):
        raise ServingError(f"[messages] a role is system, developer, user or assistant, got {role!r:.40}")
    return str(role)


def content_of(message: Mapping[str, Any]) -> str:
    """The text of a message. Raises ServingError."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in content
    ):
        return "".join(part["text"] for part in content)
    raise ServingError("[messages] content must be text, or a list of parts of type text")


def _prompts(given: Any, engine: TextEngine, where: str = "prompt") -> list[list[int]]:
    """A text, texts, ids or lists of ids, as ids."""
    if isinstance(given, str):
        return [engine.encode(given, where)]
    if _are_ids(given):
        return [engine.checked(given, where)]
    if isinstance(given, list) and 0 < len(given) <= MOST_TEXTS:
        if all(isinstance(one, str) for one in given):
            return [engine.encode(one, where) for one in given]
        if all(_are_ids(one) for one in given):
            return [engine.checked(one, where) for one in given]
    raise ServingError(
        f"[{where}] must be a text, a list of tokens, or a list of up to {MOST_TEXTS} texts or lists of tokens"
    )


def _are_ids(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(one) is int for one in given)


def _asked(
    body: Mapping[str, Any], engine: TextEngine, most: int | None, logprobs: int | None = None,
    stop: Sequence[str] = (),
) -> Asked:  # fmt: skip
    top_p = _number(body, "top_p", None, 0, 1)
    sampling = Sampling(
        _number(body, "temperature", 1.0, 0, 100), _whole(body, "top_k", None, 1, 2**31),
        top_p if top_p is None else max(top_p, 1e-9),  # 0 is the most probable token alone
    )  # fmt: skip
    seed = _whole(body, "seed", None, -SEEDS, SEEDS - 1)
    return Asked(
        max_tokens=most or 0, sampling=sampling, stop=(*_stops(body), *stop), logprobs=logprobs,
        seed=secrets.randbits(63) if seed is None else seed % (2 * SEEDS),
        presence=_number(body, "presence_penalty", 0.0, -2, 2),
        frequency=_number(body, "frequency_penalty", 0.0, -2, 2), bias=_bias(body, len(engine.tokenizer)),
    )  # fmt: skip


def _checked(
    body: Mapping[str, Any], prompts: list[list[int]], asked: Asked, best_of: int | None = None, echo: bool = False
) -> TextRequest:
    choices = _whole(body, "n", 1, 1, MOST_CHOICES) or 1
    stream = _flag(body, "stream")
    best = choices if best_of is None else best_of
    if best < choices:
        raise ServingError(f"[best_of] must be at least n, which is {choices}, got {best}")
    if best > choices and stream:
        raise ServingError("[best_of] the best are known when all are written: they cannot be streamed")
    if best * len(prompts) > MOST_TEXTS:
        given = f"{best} for each of {len(prompts)} prompts"
        raise ServingError(f"[n] one request may ask for {MOST_TEXTS} texts, got {given}")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise ServingError("[stream_options] must be an object")
    asked = replace(asked, ranked=best > choices, echo=echo and asked.logprobs is not None)
    return TextRequest(prompts, asked, choices, best, stream, _flag(options, "include_usage"), echo)


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    given = body.get("stop")
    stops = [given] if isinstance(given, str) else given or []
    if not isinstance(stops, list) or not all(isinstance(x, str) and 0 < len(x) <= LONGEST_STOP for x in stops):
        raise ServingError(f"[stop] must be a text or a list of texts, each of 1 to {LONGEST_STOP} characters")
    if len(stops) > MOST_STOPS:
        raise ServingError(f"[stop] takes at most {MOST_STOPS} texts, got {len(stops)}")
    return tuple(stops)


def _bias(body: Mapping[str, Any], tokens: int) -> dict[int, float]:
    given = body.get("logit_bias") or {}
    if not isinstance(given, dict) or len(given) > MOST_BIASES:
        raise ServingError(f"[logit_bias] must be an object of at most {MOST_BIASES} tokens")
    found = {}
    for token, amount in given.items():
        if not (token.isascii() and token.isdigit() and len(token) < 10 and int(token) < tokens):
            raise ServingError(f"[logit_bias] its keys are tokens from '0' to '{tokens - 1}', got {token!r:.40}")
        if type(amount) not in (int, float) or not -100 <= amount <= 100:
            raise ServingError(f"[logit_bias] amounts are numbers from -100 to 100, got {amount!r:.40}")
        found[int(token)] = float(amount)
    return found


def _flag(body: Mapping[str, Any], name: str) -> bool:
    given = body.get(name)
    if given is not None and not isinstance(given, bool):
        raise ServingError(f"[{name}] must be true or false, got {given!r:.40}")
    return bool(given)


def _whole(body: Mapping[str, Any], name: str, default: int | None, least: int, most: int) -> int | None:
    given = body.get(name)
    if given is None:
        return default
    if type(given) is not int or not least <= given <= most:
        raise ServingError(f"[{name}] must be a whole number from {least} to {most}, got {given!r:.40}")
    return given


def _number(body: Mapping[str, Any], name: str, default: Any, least: float, most: float) -> Any:
    given = body.get(name)
    if given is None:
        return default
    if type(given) not in (int, float) or not least <= given <= most:
        raise ServingError(f"[{name}] must be a number from {least:g} to {most:g}, got {given!r:.40}")
    return float(given)
