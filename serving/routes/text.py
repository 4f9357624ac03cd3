"""Text as the clients of the OpenAI API ask for it: completions, chat and embeddings; and what a key has used."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from flask import Response, g

from serving.engine.codec import parse_json
from serving.engine.errors import Left, OtherUse, ServingError
from serving.engine.text import asking
from serving.engine.text.answers import ChatCompletion, Completion, event
from serving.engine.text.engine import TextEngine
from serving.engine.text.task import LEFT, LOOK, Call
from serving.routes.errors import openai_error
from serving.routes.table import Route, answer, client_left, count_usage, owner, read_body, service

STREAM = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def completions() -> Response:
    """Text that goes on from prompts."""
    return _text(asking.completion, Completion)


def chat_completions() -> Response:
    """The assistant's next message in a conversation."""
    return _text(asking.chat, ChatCompletion)


def embeddings() -> Response:
    """A vector of length 1 for each text."""
    body = _object()
    name = _model(body)
    with service().counted(name):
        engine = _engine(name)
        prompts, in_base64 = asking.embedding(body, engine)
        vectors = engine.embed(prompts).astype("<f4")
        count_usage(name, prompt_tokens=sum(map(len, prompts)))
    data = [
        {"object": "embedding", "index": i,
         "embedding": base64.b64encode(x.tobytes()).decode() if in_base64 else x.tolist()}
        for i, x in enumerate(vectors)
    ]  # fmt: skip
    count = sum(map(len, prompts))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return answer({"object": "list", "data": data, "model": name, "usage": usage})


def _object() -> dict[str, Any]:
    return parse_json(read_body(), service().memory.need)


def _model(body: Mapping[str, Any]) -> str:
    name = body.get("model")
    if not isinstance(name, str):
        raise ServingError(f"[model] must be the name of a model, got {name!r:.40}")
    return name


def _engine(name: str) -> TextEngine:
    model = service().model(name, owner=owner())
    if model.text is None:
        raise OtherUse(f"[model] {name} takes {model.usage}, not text")
    return model.text


def _text(read: Callable[[Mapping[str, Any], TextEngine], asking.TextRequest], shape: type[Completion]) -> Response:
    body = _object()
    name = _model(body)
    begun = time.perf_counter()
    with ExitStack() as counted:
        counted.enter_context(service().counted(name))
        engine = _engine(name)
        request = read(body, engine)
        service().memory.release()
        call = engine.call(request.prompts, request.asked, request.best_of, owner(), request.stream)
        reply = shape(name, engine, request)
        left, finish = client_left(), _finisher(name, engine, call, request.best_of, begun)
        if not request.stream:
            try:
                call.finish(left)
                return answer(reply.whole(call))
            finally:
                finish()
        response = Response(_streamed(reply, call, left), mimetype="text/event-stream", headers=STREAM)
        response.call_on_close(partial(_end, call, finish, counted.pop_all()))
        return response


def _end(call: Call, finish: Callable[[], None], counted: ExitStack) -> None:
    """When a stream is closed: it was one request until now, which was answered, has failed or was given up."""
    with suppress(ServingError), counted:
        finish()
        call.check()
        if not call.delivered:
            raise Left(LEFT)


def _finisher(name: str, engine: TextEngine, call: Call, choices: int, begun: float) -> Callable[[], None]:
    """What ends a call, whether it is done or its client has left, and counts it."""
    found, key = service(), g.key  # a stream ends when there is no request any more

    def finish() -> None:
        used = found.end_text(name, engine, call, choices, begun)
        if key is not None:
            found.keys.count(key, name, **used)

    return finish


def _streamed(reply: Completion, call: Call, left: Callable[[], bool]) -> Iterator[bytes]:
    """Events as soon as there is something in them. A client that has left ends it at the next one, or is noticed."""
    parts = reply.parts(call)
    try:
        for piece in parts:
            if piece:
                yield piece
            if not call.done and not call.wait(LOOK) and left():
                return
            if any(task.error is not None for task in call.tasks):
                call.check()
    except ServingError as problem:
        yield event(openai_error(problem))
    call.delivered = True  # behind the last event: who closes this before has not got them all


def key_usage() -> Response:
    """What the key of the request has used; what all have, for one that administers."""
    key = g.key
    is_all = key is None or "admin" in key.scopes
    return answer({"object": "list", "data": service().keys.usage(None if is_all else key.id)})


BODY = (400, 408, 413, 415)
RUN = (*BODY, 404, 422, 429, 500, 503)
ROUTES = (
    Route("POST", "/v1/completions", completions, "Text that goes on from prompts.", "Completion", "CompletionRequest",
          RUN),
    Route("POST", "/v1/chat/completions", chat_completions, "The next message of a conversation.", "ChatCompletion",
          "ChatRequest", RUN),
    Route("GET", "/v1/usage", key_usage, "What a key has used, by day and model.", "Usage", scope=""),
    Route("POST", "/v1/embeddings", embeddings, "A vector for each text.", "Embeddings", "EmbeddingRequest", RUN),
)  # fmt: skip
