"""The Open Inference Protocol v2 as KServe's and Triton's clients speak it, and image files in place of tensors.

The clients send no Content-Type: bodies are read as what they are, whatever the header says.
"""

from functools import partial
from typing import Any

from flask import Response, request

from serving import __version__
from serving.engine.codec import parse_json
from serving.engine.errors import ServingError, UnsupportedMedia
from serving.engine.images import sniff
from serving.routes.table import Route, answer, client_left, count_usage, owner, read_body, service

EXTENSIONS = [
    "binary_tensor_data",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "statistics",
    "classification",
]
LENGTH = "Inference-Header-Content-Length"


def live() -> Response:
    return answer({"live": True})


def ready() -> Response:
    is_ready = service().ready()
    return answer({"ready": is_ready, "live": True}, 200 if is_ready else 503)


def server() -> Response:
    return answer({"name": "needle-serve", "version": __version__, "extensions": EXTENSIONS})


def models() -> Response:
    return answer({"models": [entry["name"] for entry in service().index(owner()) if entry["state"] == "READY"]})


def metadata(model: str, version: str | None = None) -> Response:
    return answer(service().model(model, version, owner()).metadata())


def config(model: str, version: str | None = None) -> Response:
    return answer(service().model(model, version, owner()).config())


def model_ready(model: str, version: str | None = None) -> Response:
    service().model(model, version, owner())
    return answer({"name": model, "ready": not service().draining}, 503 if service().draining else 200)


def all_statistics() -> Response:
    entries = service().index(owner())
    return answer({"model_stats": [service().metrics.statistics(entry["name"]) for entry in entries]})


def statistics(model: str, version: str | None = None) -> Response:
    service().model(model, version, owner())
    return answer({"model_stats": [service().metrics.statistics(model)]})


def index() -> Response:
    only_ready = _optional_json().get("ready", False)
    if not isinstance(only_ready, bool):
        raise ServingError(f"[request] ready must be true or false, got {type(only_ready).__name__}")
    return answer([entry for entry in service().index(owner()) if entry["state"] == "READY" or not only_ready])


def load(model: str) -> Response:
    if _optional_json().get("parameters", {}) != {}:
        raise ServingError(f"[{model}] models are loaded from the zoo alone; parameters must be empty")
    service().known(model, owner())
    service().catalog.load(model)
    return answer({})


def unload(model: str) -> Response:
    _optional_json()
    service().known(model, owner())
    service().catalog.unload(model)
    return answer({})


def _optional_json() -> dict[str, Any]:
    """The JSON object in the body; clients may also leave the body empty."""
    body = read_body()
    return parse_json(body, service().memory.need) if body else {}


def infer(model: str, version: str | None = None) -> Response:
    """Tensors in, tensors out; or an image file in, probabilities out."""
    with service().counted(model):
        body = read_body()
        length = request.headers.get(LENGTH)
        is_image = request.mimetype.startswith("image/") or (length is None and sniff(body) is not None)
        if is_image:
            return answer(_classified(model, version, body))
        count = partial(count_usage, model)
        content, json_size = service().infer(model, version, body, length, owner(), client_left(), count)
    if json_size is None:
        return Response(content, mimetype="application/json")
    return Response(content, mimetype="application/octet-stream", headers={LENGTH: str(json_size)})


def classify(model: str, version: str | None = None) -> Response:
    """An image file in, probabilities out; the format is told by the file's first bytes, not by the Content-Type."""
    with service().counted(model):
        body = read_body()
        if sniff(body) is None and (not body or request.mimetype == "multipart/form-data"):
            hint = f"curl --data-binary @photo.jpg {request.url}"
            raise UnsupportedMedia(f"[image] the body must be the image file itself, as sent by: {hint}")
        return answer(_classified(model, version, body))


def _classified(model: str, version: str | None, body: bytes) -> dict[str, Any]:
    found = service().classify(model, version, body, owner())
    count_usage(model, rows=1)
    return found


def sample(model: str, version: str | None = None) -> Response:
    """Pictures that a model makes of noise."""
    with service().counted(model):
        picture, count = service().sample(model, version, _optional_json(), owner())
        count_usage(model, rows=count)
    return Response(picture, mimetype="image/png")


M = "/v2/models/<model>"
BODY = (400, 408, 413, 415)
RUN = (*BODY, 404, 422, 429, 500, 503)
ROUTES = (
    Route("GET", "/v2/health/live", live, "The process answers.", "Live", scope=None),
    Route("GET", "/v2/health/ready", ready, "Every model has given its known answer.", "Ready", errors=(503,),
          scope=None),
    Route("GET", "/v2", server, "Name, version and protocol extensions of the server.", "Server"),
    Route("GET", "/v2/models", models, "Names of the models that are ready.", "Models"),
    Route("GET", "/v2/models/stats", all_statistics, "Statistics of all models.", "Statistics"),
    Route("GET", M, metadata, "Inputs and outputs of a model.", "Metadata", errors=(404, 503), versioned=True),
    Route("GET", M + "/config", config, "Configuration of a model.", "Config", errors=(404, 503), versioned=True),
    Route("GET", M + "/ready", model_ready, "The model can answer.", "ModelReady", errors=(404, 503), versioned=True),
    Route("GET", M + "/stats", statistics, "Statistics of a model.", "Statistics", errors=(404, 503), versioned=True),
    Route("POST", M + "/infer", infer, "Run a batch, or classify an image.", "Inference", "Inference", RUN, True),
    Route("POST", M + "/classify", classify, "Class probabilities of an image.", "Predictions", "Image", RUN, True),
    Route("POST", M + "/sample", sample, "Pictures made of noise.", "Picture", "SampleRequest", RUN, True),
    Route("POST", "/v2/repository/index", index, "All models with their states.", "Index", "IndexRequest", BODY),
    Route("POST", "/v2/repository/models/<model>/load", load, "Load a model, or load it again.", "Empty", "LoadRequest",
          (*BODY, 404, 503), scope="admin"),
    Route("POST", "/v2/repository/models/<model>/unload", unload, "Unload a model.", "Empty", "Object",
          (*BODY, 404), scope="admin"),
)  # fmt: skip
