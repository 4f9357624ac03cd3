"""The models that there are, and adapters in the files of the library PEFT, which leave and enter as zip files."""

from typing import Any

from flask import Response

from serving.engine.errors import Forbidden, NotFound, ServingError
from serving.engine.registry import Row
from serving.engine.sources import is_tuned
from serving.engine.tuning.archive import pack_adapter
from serving.engine.tuning.models import CHECKPOINT
from serving.routes.forms import read_form
from serving.routes.table import Route, answer, owner, service


def list_models() -> Response:
    rows = service().registry.rows().values()
    own = [_described(row) for row in rows if row.wanted and not is_tuned(row.source.name)]
    tuned = [row for row in service().tuning.models.every(owner()) if CHECKPOINT not in row["name"]]
    return answer({"object": "list", "data": [*own, *map(_tuned, tuned)]})


def get_model(name: str) -> Response:
    if is_tuned(name):
        return answer(_tuned(service().tuning.models.get(owner(), name)))
    return answer(_described(_row(name)))


def delete_model(name: str) -> Response:
    if not is_tuned(name):
        reason = "is a model that the server was started with; unload it instead"
        raise Forbidden(f"[model] {_row(name).source.name} {reason}")
    service().delete(name, owner())
    return answer({"id": name, "object": "model", "deleted": True})


def get_adapter(name: str) -> Response:
    """The adapter of a fine-tuned model: a zip file of PEFT's two, and the card beside them."""
    models = service().tuning.models
    packed = pack_adapter(models.folder(models.get(owner(), name)))
    return Response(packed, mimetype="application/zip")


def create_adapter() -> Response:
    """Serve an adapter that was made elsewhere, for a model that the server has."""
    service().tuning.check()
    fields, _, data = read_form()
    name = fields.get("model", "")
    if not name:
        raise ServingError("[model] must be the name of the model that the adapter is of")
    source = service().known(name, owner()).source
    return answer(_tuned(service().tuning.take_adapter(owner(), source, fields.get("suffix", ""), data)))


def _row(name: str) -> Row:
    row = service().registry.rows().get(name)
    if row is None or not row.wanted:
        raise NotFound(f"[model] there is no model {name[:80]!r}")
    return row


def _described(row: Row) -> dict[str, Any]:
    name = row.source.name
    return {"id": name, "object": "model", "created": row.created, "owned_by": "needle", "root": name, "parent": None}


def _tuned(row: dict[str, Any]) -> dict[str, Any]:
    base = {"root": row["base"], "parent": row["base"]}
    return {"id": row["name"], "object": "model", "created": row["created"], "owned_by": "needle", **base}


M = "/v1/models"
ROUTES = (
    Route("GET", M, list_models, "The models that are loaded, and the fine-tuned ones of this key.", "OpenAIModels"),
    Route("GET", M + "/<model:name>", get_model, "A model.", "OpenAIModel", errors=(404,)),
    Route("DELETE", M + "/<model:name>", delete_model, "Remove a fine-tuned model.", "Deleted", errors=(403, 404),
          scope="train"),
    Route("GET", M + "/<model:name>/adapter", get_adapter, "The adapter of a fine-tuned model.", "Zip", errors=(404,),
          scope="train"),
    Route("POST", "/v1/adapters", create_adapter, "Add an adapter as a model.", "OpenAIModel", "AdapterUpload",
          (400, 404, 408, 413, 415, 429, 503, 507), scope="train"),
)  # fmt: skip
