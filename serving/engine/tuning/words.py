"""Jobs, events and checkpoints as the OpenAI API words them."""

import json
from typing import Any

from serving.engine.tuning.jobs import ORGANIZATION


def job(row: dict[str, Any]) -> dict[str, Any]:
    """A job."""
    settings = json.loads(row["settings"])
    return {
        "id": row["id"], "object": "fine_tuning.job", "created_at": row["created"], "finished_at": row["finished"],
        "model": row["model"], "fine_tuned_model": row["fine_tuned_model"], "organization_id": ORGANIZATION,
        "status": row["status"], "training_file": row["training_file"], "validation_file": row["validation_file"],
        "result_files": json.loads(row["result_files"]), "trained_tokens": row["trained_tokens"], "seed": row["seed"],
        "estimated_finish": row["estimated_finish"], "error": json.loads(row["error"] or "null"),
        "hyperparameters": settings["hyperparameters"],
        "method": {"type": "supervised", "supervised": settings},
        "metadata": json.loads(row["metadata"] or "null"), "user_provided_suffix": row["suffix"] or None,
        "integrations": [],
    }  # fmt: skip


def event(row: dict[str, Any]) -> dict[str, Any]:
    """Something that happened to a job."""
    return {
        "id": row["id"], "object": "fine_tuning.job.event", "created_at": row["created"], "level": row["level"],
        "message": row["message"], "type": row["type"], "data": json.loads(row["data"]),
    }  # fmt: skip


def checkpoint(row: dict[str, Any]) -> dict[str, Any]:
    """What a job had learned at a step."""
    return {
        "id": row["id"], "object": "fine_tuning.job.checkpoint", "created_at": row["created"],
        "fine_tuning_job_id": row["job"], "fine_tuned_model_checkpoint": row["model"], "step_number": row["step"],
        "metrics": json.loads(row["metrics"]),
    }  # fmt: skip
