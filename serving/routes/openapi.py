"""The OpenAPI 3.1 description of the server, made from the tables of routes."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from serving import __version__
from serving.engine.images import FORMATS
from serving.routes.schemas import QUERY, SCHEMAS, STRING, ref
from serving.routes.table import Route

PLACE = r"<(?:\w+:)?(\w+)>"  # of a value in a path
BINARY = {
    "type": "string",
    "format": "binary",
    "description": "JSON of Inference-Header-Content-Length bytes, then the binary tensors (little-endian, row-major)",
}
IMAGES = {f"image/{name.lower()}": {"schema": {"type": "string", "format": "binary"}} for name in FORMATS}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": ref(name)}}


# What a route names that is more than one JSON schema.
MEDIA: dict[str, dict[str, Any]] = {
    "Inference": {"application/octet-stream": {"schema": BINARY}},
    "Image": IMAGES,
    "Picture": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    "Content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "Zip": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    "Html": {"text/html": {"schema": STRING}},
    "Text": {"text/plain": {"schema": STRING}},
    "File": {"text/css": {"schema": STRING}, "text/javascript": {"schema": STRING}, "image/svg+xml": {"schema": STRING},
             "text/html": {"schema": STRING}},
}  # fmt: skip
EVENTS = {
    "text/event-stream": {"schema": {"type": "string", "description": "`data: {...}` events, then `data: [DONE]`"}}
}
REQUESTS = {
    "Inference": {**_json("InferenceRequest"), **MEDIA["Inference"], **IMAGES},
    "Upload": {"multipart/form-data": {"schema": ref("Upload")}},
    "AdapterUpload": {"multipart/form-data": {"schema": ref("AdapterUpload")}},
}
REPLIES = {
    "Inference": {
        "application/json": {"schema": {"anyOf": [ref("InferenceReply"), ref("Predictions")]}},
        **MEDIA["Inference"],
    },
    "Completion": {**_json("Completion"), **EVENTS},
    "ChatCompletion": {**_json("ChatCompletion"), **EVENTS},
}

REASONS = {
    400: "The request is malformed.",
    401: "A key is needed: Authorization: Bearer KEY.",
    403: "This may not be done, or not with this key.",
    404: "There is no such thing.",
    405: "The path does not have this method.",
    408: "The body came too slowly.",
    413: "The request is larger than a limit.",
    415: "The body's format or encoding is not read.",
    422: "The image is damaged, the answer holds numbers that JSON has no words for, or the Idempotency-Key is used.",
    429: "The queue is full; come again after Retry-After seconds.",
    500: "The model failed.",
    503: "Not ready; come again after Retry-After seconds.",
    507: "The disk is full.",
}
LENGTH_HEADER = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "length of the JSON part of a binary body; 0 for a body that is one tensor",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}


REPEAT_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same key with the same body gives the job that was made the first time",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes as plain data."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path in route.paths():
            shown = re.sub(PLACE, r"{\1}", path)
            paths.setdefault(shown, {})[route.method.lower()] = _operation(route, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "needle-serve", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"},
                 "description": "Inference over HTTP: the Open Inference Protocol v2, image upload, text and "
                                "fine-tuning as in the OpenAI API, metrics."},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }  # fmt: skip


def _operation(route: Route, path: str) -> dict[str, Any]:
    name = "".join(part.title() for part in route.view.__name__.split("_")) + ("Version" if "<version>" in path else "")
    responses = {"200": {"description": "The answer.", "content": REPLIES.get(route.reply) or _content(route.reply)}}
    error = "OpenAIError" if path.startswith("/v1/") else "Error"
    statuses = {*route.errors, 405} | ({401, 403, 429} if route.scope is not None else set())
    for status in sorted(statuses):
        responses[str(status)] = {"description": REASONS[status], "content": _json(error)}
    operation: dict[str, Any] = {
        "operationId": name[0].lower() + name[1:],
        "summary": route.summary,
        "parameters": list(_parameters(route, path)),
        "responses": responses,
    }
    if route.scope is not None:
        operation["security"] = [{}, {"key": []}]  # keys are needed where there are some
    if route.body:
        content = REQUESTS.get(route.body) or _content(route.body)
        operation["requestBody"] = {"content": content, "required": route.body in MEDIA or path.startswith("/v1/")}
    return operation


def _content(name: str) -> dict[str, Any]:
    return MEDIA.get(name) or _json(name)


def _parameters(route: Route, path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(PLACE, path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for each in route.query:
        name, _, schema = each.partition(":")  # in Route.query, a name and the schema where that is called otherwise
        yield {"name": name, "in": "query", "required": False, "schema": QUERY[schema or name]}
    if route.body == "Inference":
        yield LENGTH_HEADER
    if route.body == "JobRequest":
        yield REPEAT_HEADER
