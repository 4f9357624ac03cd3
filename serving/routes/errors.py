"""The one answer to every error, in the words of the protocol that was spoken: /v1 the OpenAI API's, else {"error"}."""

import re
from typing import Any

from serving.engine.errors import ServingError

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
FIELD = re.compile(r"\[([a-z][a-z_]*)\]")
NO_FIELDS = ("request", "queue", "memory", "models", "server", "http", "key")


def openai_error(refusal: ServingError) -> dict[str, Any]:
    """The body of an error below /v1: a message begins with the field that is to blame, in brackets."""
    found = FIELD.match(str(refusal))
    field = "model" if refusal.code == "model_not_found" else found[1] if found and found[1] not in NO_FIELDS else None
    kind = KINDS.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    return {"error": {"message": str(refusal), "type": kind, "param": field, "code": refusal.code}}


def body_of(path: str, refusal: ServingError) -> dict[str, Any]:
    """The body of the answer to a refused request for `path`."""
    return openai_error(refusal) if path == "/v1" or path.startswith("/v1/") else {"error": str(refusal)}


def headers_of(path: str, refusal: ServingError) -> dict[str, str]:
    """Whether, and when, it is worth to come again; for clients below /v1 in their own words too."""
    found: dict[str, str] = {}
    again = refusal.retry_after
    if again is not None:
        found["Retry-After"] = str(again)
    if path.startswith("/v1/") and refusal.status in (409, 429, 500, 503, 507):
        found["x-should-retry"] = "false" if again is None else "true"
        if again is not None:
            found["retry-after-ms"] = str(1000 * again)
    return found
