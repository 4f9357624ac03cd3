"""The OpenAPI 3.1 description of the server, made from the tables of routes."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from serving import __version__
from serving.engine.images import FORMATS
from serving.routes.table import Route

STRING = {"type": "string"}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


DATATYPE = {"type": "string", "examples": ["FP32"]}
SHAPE = _list({"type": "integer", "minimum": 0})
DATA = {"type": "array", "description": "row-major, flat or nested like the shape"}
TENSOR_SPEC = _object("name datatype shape", name=STRING, datatype=DATATYPE, shape=_list(WHOLE))
TENSOR = _object("name shape datatype", name=STRING, shape=SHAPE, datatype=DATATYPE, data=DATA, parameters=_object())
STATES = {"enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object("error", error=STRING),
    "Object": _object(),
    "Empty": {"type": "object", "maxProperties": 0},
    "LoadRequest": _object(parameters={"type": "object", "maxProperties": 0}),
    "Live": _object("live", live=FLAG),
    "Ready": _object("ready", ready=FLAG, live=FLAG),
    "Server": _object("name version extensions", name=STRING, version=STRING, extensions=_list(STRING)),
    "Models": _object("models", models=_list(STRING)),
    "ModelReady": _object("name ready", name=STRING, ready=FLAG),
    "Metadata": _object(
        "name versions platform inputs outputs",
        name=STRING, versions=_list(STRING), platform=STRING, inputs=_list(TENSOR_SPEC), outputs=_list(TENSOR_SPEC),
    ),
    "Config": _object("name platform max_batch_size input output", name=STRING, platform=STRING, max_batch_size=WHOLE),
    "Statistics": _object("model_stats", model_stats=_list(_object("name version inference_stats"))),
    "IndexRequest": _object(ready=FLAG),
    "Index": _list(_object("name version state reason", name=STRING, version=STRING, state=STATES, reason=STRING)),
    "InferenceRequest": _object(
        "inputs", id=STRING, parameters=_object(), inputs=_list(TENSOR), outputs=_list(_object("name", name=STRING))
    ),
    "InferenceReply": _object(
        "model_name model_version outputs", model_name=STRING, model_version=STRING, id=STRING, outputs=_list(TENSOR)
    ),
    "Predictions": _object(
        "model_name model_version predictions",
        model_name=STRING,
        model_version=STRING,
        predictions=_list(_object("label probability", label=STRING, probability=NUMBER)),
    ),
}  # fmt: skip

BINARY = {
    "type": "string",
    "format": "binary",
    "description": "JSON of Inference-Header-Content-Length bytes, then the binary tensors (little-endian, row-major)",
}
IMAGES = {f"image/{name.lower()}": {"schema": {"type": "string", "format": "binary"}} for name in FORMATS}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


# What a route names that is more than one JSON schema.
MEDIA: dict[str, dict[str, Any]] = {
    "Inference": {"application/octet-stream": {"schema": BINARY}},
    "Image": IMAGES,
    "Html": {"text/html": {"schema": STRING}},
    "Text": {"text/plain": {"schema": STRING}},
    "File": {"text/css": {"schema": STRING}, "text/javascript": {"schema": STRING}, "image/svg+xml": {"schema": STRING},
             "text/html": {"schema": STRING}},
}  # fmt: skip
REQUESTS = {"Inference": {**_json("InferenceRequest"), **MEDIA["Inference"], **IMAGES}}
REPLIES = {
    "Inference": {
        "application/json": {"schema": {"anyOf": [_ref("InferenceReply"), _ref("Predictions")]}},
        **MEDIA["Inference"],
    }
}

REASONS = {
    400: "The request is malformed.",
    404: "There is no such thing.",
    405: "The path does not have this method.",
    408: "The body came too slowly.",
    413: "The request is larger than a limit.",
    415: "The body's format or encoding is not read.",
    422: "The image is damaged.",
    429: "The queue is full; come again after Retry-After seconds.",
    500: "The model failed.",
    503: "Not ready; come again after Retry-After seconds.",
}
LENGTH_HEADER = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "length of the JSON part of a binary body; 0 for a body that is one tensor",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes as plain data."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path in route.paths():
            paths.setdefault(re.sub(r"<(\w+)>", r"{\1}", path), {})[route.method.lower()] = _operation(route, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "needle-serve", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"},
                 "description": "Inference over HTTP: the Open Inference Protocol v2, image upload and metrics."},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }  # fmt: skip


def _operation(route: Route, path: str) -> dict[str, Any]:
    name = "".join(part.title() for part in route.view.__name__.split("_")) + ("Version" if "<version>" in path else "")
    responses = {"200": {"description": "The answer.", "content": REPLIES.get(route.reply) or _content(route.reply)}}
    for status in (*route.errors, 405):
        responses[str(status)] = {"description": REASONS[status], "content": _json("Error")}
    operation: dict[str, Any] = {
        "operationId": name[0].lower() + name[1:],
        "summary": route.summary,
        "parameters": list(_parameters(route, path)),
        "responses": responses,
    }
    if route.body:
        content = REQUESTS.get(route.body) or _content(route.body)
        operation["requestBody"] = {"content": content, "required": route.body in MEDIA}
    return operation


def _content(name: str) -> dict[str, Any]:
    return MEDIA.get(name) or _json(name)


def _parameters(route: Route, path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"<(\w+)>", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if route.body == "Inference":
        yield LENGTH_HEADER
