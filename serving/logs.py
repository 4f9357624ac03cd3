"""The log: lines for people, or with `--log-format json` one JSON object a line for what collects logs.

A record of JSON has `time` (RFC 3339, UTC), `level`, `logger`, `message`, where there is one the `exception`, and what
was given as `extra`: of each request `request`, `method`, `path`, `status`, `seconds`, `bytes`, and its `key` if any.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger

FORMATS = ("text", "json")
TEXT = "needle-serve: %(message)s"
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

requests = logging.getLogger("serving.requests")  # a record for each answer, where `--log-requests` asks for them


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: value for name, value in vars(record).items() if name not in OWN}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


class ServerLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, which says what it has to say through the one handler of the process."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def configure(form: str = "text", each_request: bool = False) -> None:
    """Let all loggers of the process write to standard error in one of the FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    requests.setLevel(logging.INFO if each_request else logging.CRITICAL)
