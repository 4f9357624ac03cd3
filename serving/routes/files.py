"""Files as the clients of the OpenAI API send and fetch them."""

from collections.abc import Iterator
from pathlib import Path

from flask import Response, request

from serving.engine.errors import Missing, ServingError
from serving.engine.tuning.files import EXPIRIES, PURPOSE, Files, described
from serving.routes.forms import limit, listed, read_form
from serving.routes.schemas import MOST_FILES
from serving.routes.table import CHUNK, Route, answer, owner, service


def _files() -> Files:
    service().tuning.check()
    return service().tuning.files


def create_file() -> Response:
    """Keep what is sent, for jobs of this key."""
    fields, name, data = read_form()
    if fields.get("purpose") != PURPOSE:
        raise ServingError(f"[purpose] must be {PURPOSE}, got {fields.get('purpose')!r:.40}")
    if not data:
        raise ServingError("[file] is empty")
    return answer(described(_files().add(owner(), name, data, seconds=_expiry(fields))))


def _expiry(fields: dict[str, str]) -> int | None:
    """Seconds for which a file is to be kept. Raises ServingError."""
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    low, high = EXPIRIES
    is_number = seconds is not None and seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    if anchor != "created_at" or not is_number or not low <= int(seconds or 0) <= high:
        needed = f"the anchor created_at and from {low} to {high} seconds"
        raise ServingError(f"[expires_after] has {needed}, got {anchor!r:.40} and {seconds!r:.40}")
    return int(seconds or 0)


def list_files() -> Response:
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ServingError(f"[order] must be asc or desc, got {order!r:.40}")
    given = request.args
    if given.get("purpose") == "":
        raise ServingError("[purpose] must be a word, got none")
    most = limit(MOST_FILES, MOST_FILES)
    page = _files().list(owner(), given.get("purpose"), given.get("after"), most, order == "asc")
    return listed(page, described)


def get_file(file: str) -> Response:
    return answer(described(_files().get(owner(), file)))


def get_file_content(file: str) -> Response:
    """The bytes of a file as they are."""
    _files().get(owner(), file)
    path = _files().path(file)
    if not path.exists():
        raise Missing(f"[file] {file} was deleted")
    return Response(_pieces(path), mimetype="application/octet-stream")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def delete_file(file: str) -> Response:
    _files().delete(owner(), file)
    return answer({"id": file, "object": "file", "deleted": True})


F = "/v1/files"
ROUTES = (
    Route("POST", F, create_file, "Upload a file to learn from.", "FileObject", "Upload",
          (400, 408, 413, 415, 429, 503, 507), scope="train"),
    Route("GET", F, list_files, "The files of this key.", "Files", errors=(400, 404, 503), scope="train",
          query=("purpose", "limit:files", "after", "order")),
    Route("GET", F + "/<file>", get_file, "A file.", "FileObject", errors=(404, 503), scope="train"),
    Route("GET", F + "/<file>/content", get_file_content, "The bytes of a file.", "Content", errors=(404, 503),
          scope="train"),
    Route("DELETE", F + "/<file>", delete_file, "Delete a file.", "Deleted", errors=(404, 503), scope="train"),
)  # fmt: skip
