"""Fine-tuning jobs as the clients of the OpenAI API make and watch them."""

import re
from collections.abc import Callable
from typing import Any

from flask import Response, request

from serving.engine.codec import parse_json
from serving.engine.errors import ServingError
from serving.engine.tuning import words
from serving.engine.tuning.asked import job_request
from serving.engine.tuning.service import Tuning
from serving.routes.forms import limit, listed
from serving.routes.schemas import MOST_LISTED
from serving.routes.table import Route, answer, owner, read_body, service

REPEAT = re.compile(r"[!-~]{1,255}")
PAIR = re.compile(r"metadata\[([^\]]{0,64})\]")


def _tuning() -> Tuning:
    service().tuning.check()
    return service().tuning


def create_fine_tuning_job() -> Response:
    """Let a model learn from a file, as soon as it is its turn."""
    asked = job_request(parse_json(read_body(), service().memory.need))
    key = request.headers.get("Idempotency-Key")
    if key is not None and not REPEAT.fullmatch(key):
        raise ServingError("[Idempotency-Key] must be 1 to 255 visible characters of ASCII")
    source = service().known(asked.model, owner()).source
    return answer(words.job(_tuning().create(owner(), asked, source, key)))


def list_fine_tuning_jobs() -> Response:
    metadata = {found[1]: value for name, value in request.args.items() if (found := PAIR.fullmatch(name))}
    none = request.args.get("metadata")
    if none not in (None, "null"):
        raise ServingError(f"[metadata] is null, or metadata[key]=value, got {none!r:.40}")
    page = _tuning().jobs.list(owner(), request.args.get("after"), limit(MOST_LISTED, 20), metadata, none == "null")
    return listed(page, words.job)


def get_fine_tuning_job(job: str) -> Response:
    return answer(words.job(_tuning().jobs.get(owner(), job)))


def _turned(turn: Callable[[Tuning, str, str], dict[str, Any]], job: str) -> Response:
    read_body()  # clients send none
    return answer(words.job(turn(_tuning(), owner(), job)))


def cancel_fine_tuning_job(job: str) -> Response:
    """End a job at its next step; its checkpoints stay."""
    return _turned(lambda tuning, owner, id: tuning.cancel(owner, id), job)


def pause_fine_tuning_job(job: str) -> Response:
    """Let a job wait, from its next step on."""
    return _turned(lambda tuning, owner, id: tuning.jobs.pause(owner, id), job)


def resume_fine_tuning_job(job: str) -> Response:
    """Let a job that was paused go on."""
    return _turned(lambda tuning, owner, id: tuning.jobs.resume(owner, id), job)


def list_fine_tuning_events(job: str) -> Response:
    page = _tuning().jobs.events(owner(), job, request.args.get("after"), limit(MOST_LISTED, 20))
    return listed(page, words.event)


def list_fine_tuning_checkpoints(job: str) -> Response:
    page = _tuning().jobs.checkpoints(owner(), job, request.args.get("after"), limit(MOST_LISTED, 10))
    return listed(page, words.checkpoint)


J = "/v1/fine_tuning/jobs"
BODY = (400, 408, 413, 415)
ROUTES = (
    Route("POST", J, create_fine_tuning_job, "Begin a fine-tuning job.", "Job", "JobRequest",
          (*BODY, 404, 422, 429, 503, 507), scope="train"),
    Route("GET", J, list_fine_tuning_jobs, "The jobs of this key, the newest first.", "Jobs", errors=(400, 404, 503),
          scope="train", query=("after", "limit", "metadata")),
    Route("GET", J + "/<job>", get_fine_tuning_job, "A job.", "Job", errors=(404, 503), scope="train"),
    Route("POST", J + "/<job>/cancel", cancel_fine_tuning_job, "Cancel a job.", "Job", errors=(*BODY, 404, 503),
          scope="train"),
    Route("POST", J + "/<job>/pause", pause_fine_tuning_job, "Pause a job.", "Job", errors=(*BODY, 404, 503),
          scope="train"),
    Route("POST", J + "/<job>/resume", resume_fine_tuning_job, "Resume a paused job.", "Job",
          errors=(*BODY, 404, 503), scope="train"),
    Route("GET", J + "/<job>/events", list_fine_tuning_events, "What happened to a job, the newest first.", "Events",
          errors=(400, 404, 503), scope="train", query=("after", "limit")),
    Route("GET", J + "/<job>/checkpoints", list_fine_tuning_checkpoints, "What a job had learned on its way.",
          "Checkpoints", errors=(400, 404, 503), scope="train", query=("after", "limit")),
)  # fmt: skip
