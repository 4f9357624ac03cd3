"""Uploads: the parts of a multipart/form-data body, and pages of lists."""

import io
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from serving.engine.errors import ServingError, TooLarge, UnsupportedMedia
from serving.engine.tuning.store import Page
from serving.routes.table import answer, read_body, service

FORM = "multipart/form-data"
MOST_PARTS = 32
MOST_OTHERS = 1 << 20  # bytes of the parts that are no files; and of what the parser holds at once, which is 64 KiB


def read_form() -> tuple[dict[str, str], str, bytes]:
    """The fields of an upload, and the name and bytes of its part `file`.

    Raises UnsupportedMedia for another body, ServingError for a damaged one or one without a file, and as `read_body`.
    """
    if request.mimetype != FORM:
        raise UnsupportedMedia(f"[request] the body must be {FORM}, as sent by: curl -F file=@train.jsonl")
    body = read_body()
    service().memory.need(3 * len(body))  # the body, its part, and what is written of it
    limits: dict[str, Any] = {"max_form_memory_size": MOST_OTHERS, "max_form_parts": MOST_PARTS}
    parser = FormDataParser(_in_memory, silent=False, **limits)
    try:
        _, fields, files = parser.parse(io.BytesIO(body), FORM, len(body), request.mimetype_params)
    except RequestEntityTooLarge:
        bounds = f"{MOST_PARTS} parts, and {MOST_OTHERS >> 20} MiB of those that are no files"
        raise TooLarge(f"[request] a {FORM} body may have {bounds}") from None
    except (ValueError, HTTPException) as problem:
        reason = getattr(problem, "description", None) or problem
        raise ServingError(f"[request] the {FORM} body cannot be read: {reason!s:.200}") from None
    given = files.get("file")
    if given is None:
        raise ServingError("[file] is missing: a part of that name, with a filename, must hold the bytes")
    return dict(fields.items()), given.filename or "", given.stream.read()


def _in_memory(*arguments: Any, **named: Any) -> io.BytesIO:
    """Where a part goes: the whole body is in memory, within its limit."""
    return io.BytesIO()


def limit(most: int, default: int) -> int:
    """How many items the request wants. Raises ServingError."""
    word = request.args.get("limit")
    if word is None:
        return default
    if not (word.isascii() and word.isdigit() and len(word) < 10 and 1 <= int(word) <= most):
        raise ServingError(f"[limit] must be a whole number from 1 to {most}, got {word!r:.40}")
    return int(word)


def listed(page: Page, described: Any) -> Response:
    """A page as the OpenAI API words it; its last id is where the next one begins."""
    data = [described(row) for row in page.rows]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return answer({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": page.has_more})
